"""Dask workers: the same labels, a lost worker's blocks done by others, errors as sentences."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from large_workshop import Workshop
from PIL import Image

from napari_promptseg.errors import InputError, ModelError, OutputError
from napari_promptseg.label_jobs import Job, plan
from napari_promptseg.large import cluster
from napari_promptseg.large.bench import Setup
from napari_promptseg.large.labelling import label_picture
from napari_promptseg.large.many_files import ManyFiles
from napari_promptseg.large.run_plan import RunPlan
from napari_promptseg.large.shares import Shares
from napari_promptseg.segmentation.segmenter import Segmenter

pytest.importorskip("distributed")


@pytest.fixture
def pixel_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes started meanwhile have the pixel encoder for a model."""
    import dask

    with dask.config.set({"distributed.worker.preload": [str(Path(__file__).with_name("pixel_worker.py"))]}):
        yield


def run_on(client, workshop: Workshop, progress=lambda *_: None):
    segmenter = Segmenter(workshop.encoder, settings=workshop.settings)
    setup = Setup.of(segmenter, workshop.prompts)
    crew = cluster.DaskCrew(client, setup, ours=True)
    job = Job(workshop.image, workshop.labels)
    return label_picture(job, segmenter, workshop.prompts, setup, crew, side=96, progress=progress)


@pytest.mark.slow
def test_a_worker_killed_in_the_run_loses_no_block(workshop, pixel_workers, monkeypatch):
    monkeypatch.setenv("PIXEL_ENCODER_SECONDS", "0.02")
    killed = []
    with cluster.local_workers(2, threads=1) as client:
        assert client.dashboard_link.startswith("http://127.0.0.1:")
        # set, it would have memory taken from the system again for every layer of the model
        assert not any(client.run(os.environ.get, "MALLOC_TRIM_THRESHOLD_").values())

        def kill(done, total, description):
            if done == 6 and not killed:
                pids = client.run(os.getpid)
                killed.append(min(pids.values()))
                os.kill(killed[0], signal.SIGKILL)

        result = run_on(client, workshop, kill)
    assert killed
    assert sorted(workshop.blocks()) == list(range(20))
    assert (result.blocks, result.kept) == (20, 0)
    np.testing.assert_array_equal(workshop.written(), workshop.truth)


@pytest.mark.slow
def test_files_of_all_sizes_on_workers(workshop, pixel_workers, tmp_path, monkeypatch):
    monkeypatch.setenv("PIXEL_ENCODER_LOADS", str(tmp_path / "loads"))
    Image.fromarray(np.load(workshop.image)[:60, :60]).save(tmp_path / "small.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "labels"
    images = [workshop.image, tmp_path / "broken.png", tmp_path / "small.png"]
    segmenter = Segmenter(workshop.encoder, settings=workshop.settings)
    said = []

    def outcomes(**options):
        files = ManyFiles(
            segmenter,
            workshop.prompts,
            Setup.of(segmenter, workshop.prompts),
            RunPlan(workers=2, blocks_above=100, block_side=96, **options),
        )
        return {o.job.image.name: o for o in files.outcomes(plan(images, out), said.append)}

    first = outcomes()
    assert said[0].startswith("Dashboard: http://127.0.0.1")
    assert "cannot be read" in str(first["broken.png"].error)
    assert first["small.png"].shares == pytest.approx(
        {"red": (workshop.truth[:60, :60] == 1).mean(), "green": (workshop.truth[:60, :60] == 2).mean()}
    )
    large = first["slide.npy"]
    assert large.job.labels == out / "slide_labels.ome.zarr"
    assert large.shares["red"] == pytest.approx((workshop.truth == 1).mean())
    loads = (tmp_path / "loads").read_text().split()
    assert len(loads) == len(set(loads)) <= 2, "the model is loaded once per worker"
    again = outcomes(resume=True)
    assert again["slide.npy"].error is None
    assert again["small.png"].shares == pytest.approx(first["small.png"].shares)


class Vanishing(cluster.DaskCrew):
    """Its one worker is gone each time one looks, and another is there."""

    def __init__(self):
        self.looks, self.given_up, self._runs, self._plugin, self._client = 0, 0, 0, "plugin", self

    def submit(self, *arguments, **options):
        return object()

    def _workers(self):
        self.looks += 1
        return {f"tcp://127.0.0.1:{self.looks}": 1}

    def _finished(self, futures):
        return []

    def _give_up(self, futures):
        self.given_up += len(futures)


def test_work_that_ends_every_worker_is_given_up():
    crew = Vanishing()
    ((number, error),) = crew._spread([1], lambda n: (print, n), errors=True)
    assert number == 1
    assert isinstance(error, ModelError)
    assert "has ended several workers" in str(error)
    assert crew.given_up == 4
    with pytest.raises(ModelError, match="has ended several workers"):
        list(Vanishing()._spread([1], lambda n: (print, n)))


@dataclass(frozen=True)
class Task:
    """Stands for a future."""

    number: int
    worker: str

    def release(self):
        """Nothing is held."""


def test_what_lost_workers_had_goes_to_one_that_comes_later():
    class Replaced(Vanishing):
        """Two workers, then for a while none, then another one; results of the first are lost with it."""

        def submit(self, work, number, *, workers, **options):
            return Task(number, workers[0])

        def _workers(self):
            self.looks += 1
            return {2: {"a": 1, "b": 1}, 3: {}, 4: {}}.get(self.looks, {"c": 1} if self.looks > 4 else {"a": 1, "b": 1})

        def _finished(self, futures):
            return futures[:1]

        def _result(self, future, errors):
            return future.number if future.worker == "c" else cluster._NOT_THERE

    crew = Replaced()
    assert sorted(crew._spread(list(range(6)), lambda n: (print, n))) == [(n, n) for n in range(6)]
    assert crew.given_up == 4


@pytest.mark.slow
def test_two_programs_with_the_same_setup_do_not_disturb_each_other(workshop, pixel_workers):
    setup = Setup.of(Segmenter(workshop.encoder, settings=workshop.settings), workshop.prompts)
    with cluster.local_workers(1, threads=1) as client:
        mine, other = (cluster.DaskCrew(client, setup, ours=False) for _ in range(2))
        found = mine.do(bare_number, [1, 2, 3, 4, 5, 6])
        first = next(found)
        assert [result for _, result in other.do(bare_number, [1, 2, 3])] == [10, 20, 30]
        other.close()
        assert sorted([first, *found]) == [(n, 10 * n) for n in range(1, 7)]


def bare_number(bench, number):
    """Work for a bench, done in a moment."""
    assert bench.prompts().names
    return 10 * number


def test_neighbours_go_to_one_worker_and_nobody_idles():
    shares = Shares(list(range(10)), ["a", "b"])
    assert [shares.next_for("a") for _ in range(3)] == [0, 1, 2]
    assert shares.next_for("b") == 5
    # a worker that came later takes the end of the longest run
    assert shares.next_for("c") == 8
    rest = []
    while (number := shares.next_for("b")) is not None:
        rest.append(number)
    assert sorted([0, 1, 2, 5, 8, *rest]) == list(range(10))
    assert shares.next_for("a") is None
    shares.again(7)
    assert [shares.next_for("b"), shares.next_for("a")] == [7, None]
    assert Shares([], []).next_for("a") is None


def test_workers_that_do_not_start_are_told_in_a_sentence(monkeypatch):
    def refuse(**options):
        raise RuntimeError("Nanny failed to start worker process")

    monkeypatch.setattr("distributed.LocalCluster", refuse)
    with pytest.raises(OutputError, match=r"The 3 worker processes did not start \(Nanny failed"):
        cluster.local_workers(3).__enter__()


def test_the_logs_of_a_client_are_silent_and_then_as_before(caplog):
    loud = logging.getLogger("distributed.client")
    before = loud.level
    loud.setLevel(logging.WARNING)
    try:
        with caplog.at_level(logging.WARNING, "distributed.client"):
            with cluster._silent_logs():
                loud.error("Failed to reconnect")
            assert not caplog.records
            loud.error("afterwards")
            assert len(caplog.records) == 1
    finally:
        loud.setLevel(before)


def test_without_distributed_one_sentence_says_what_to_install(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "napari-promptseg\[cluster\]"'):
        cluster.check_installed()


def test_a_worker_with_another_model_refuses(workshop):
    from dataclasses import replace

    from napari_promptseg.large.bench import Bench

    setup = Setup.of(Segmenter(workshop.encoder), workshop.prompts)
    with pytest.raises(ModelError, match="another version of the model"):
        Bench(replace(setup, fingerprint="other"), workshop.encoder).encoder()


@pytest.mark.slow
def test_nothing_answers_there():
    from napari_promptseg.large.cluster_address import ClusterAddress

    cluster_seconds, cluster.CONNECT_SECONDS = cluster.CONNECT_SECONDS, 0.5
    try:
        with (
            pytest.raises(InputError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"),
            cluster.running_cluster(ClusterAddress.parse("tcp://127.0.0.1:9")),
        ):
            pass
    finally:
        cluster.CONNECT_SECONDS = cluster_seconds
