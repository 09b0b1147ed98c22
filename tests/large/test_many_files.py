"""Small files: what counts as finished, what is in the way, and what a worker does with an order."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from large_workshop import PROMPTS, SETTINGS, squares
from PIL import Image
from pixel_encoder import PixelEncoder

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.modality_files import Partner
from napari_promptseg.label_jobs import Job, plan
from napari_promptseg.large.bench import Bench, Setup
from napari_promptseg.large.job_digest import file_digest
from napari_promptseg.large.many_files import ManyFiles, Order, segment_order
from napari_promptseg.large.run_plan import RunPlan
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter


class Counting(PixelEncoder):
    """Counts the pictures it encodes."""

    seen = 0

    def encode_plane(self, picture, **options):
        type(self).seen += 1
        return super().encode_plane(picture, **options)


@pytest.fixture(autouse=True)
def nothing_seen():
    Counting.seen = 0


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    pixels, _ = squares(2, 2)
    for name in ("a", "b", "c"):
        Image.fromarray(np.roll(pixels, 30 * ord(name), axis=1)).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in ("a", "b", "c")]


def outcomes(pictures, *, prompts=PROMPTS, resume=False, jobs=None, **options):
    segmenter = Segmenter(Counting(), settings=SETTINGS)
    files = ManyFiles(segmenter, prompts, Setup.of(segmenter, prompts), RunPlan(resume=resume), **options)
    jobs = plan(pictures, pictures[0].parent / "out") if jobs is None else jobs
    return {o.job.image.name: o for o in files.outcomes(jobs, print)}


def test_what_is_finished_is_kept_and_not_done_again(pictures):
    first = outcomes(pictures[:2])
    before = {p: p.stat().st_mtime_ns for p in (pictures[0].parent / "out").iterdir()}
    again = outcomes(pictures, resume=True)
    assert Counting.seen == 3
    assert {n: o.error for n, o in again.items()} == dict.fromkeys(("a.png", "b.png", "c.png"))
    assert again["a.png"].shares == first["a.png"].shares
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


def test_another_picture_under_the_same_name_is_not_mixed_with_what_is_there(pictures):
    outcomes(pictures)
    Image.fromarray(squares(2, 2, seed=5)[0]).save(pictures[1])
    again = outcomes(pictures, resume=True)
    assert (again["a.png"].error, again["c.png"].error) == (None, None)
    assert "made from another picture, or with other prompts or settings" in str(again["b.png"].error)
    assert outcomes(pictures, overwrite=True)["b.png"].error is None


@pytest.mark.parametrize(
    "changed", [{"prompts": PromptSet.from_text("red", background=("black",))}, {"kind": "grey"}, {"series": "2"}]
)
def test_another_question_is_not_mixed_with_what_is_there(pictures, changed):
    outcomes(pictures[:1])
    assert "other prompts or settings" in str(outcomes(pictures[:1], resume=True, **changed)["a.png"].error)


def test_a_further_modality_that_changed_is_another_job(pictures, tmp_path):
    jobs = [replace(plan(pictures[:1], tmp_path / "out")[0], modalities=(Partner("lamp", "grey", pictures[1]),))]
    assert outcomes(pictures, jobs=jobs)["a.png"].error is None
    assert outcomes(pictures, jobs=jobs, resume=True)["a.png"].error is None
    os.utime(pictures[1], (1, 1))
    assert "another picture" in str(outcomes(pictures, jobs=jobs, resume=True)["a.png"].error)


def test_the_values_beside_a_header_count(tmp_path):
    setup = Setup.of(Segmenter(PixelEncoder(), settings=SETTINGS), PROMPTS)
    job = Job(tmp_path / "a.mhd", tmp_path / "a_labels.tif")
    assert file_digest(setup, job, "auto", None) == file_digest(setup, job, "auto", None)
    job.image.write_text("ElementDataFile = a.raw")
    (tmp_path / "a.raw").write_bytes(b"1")
    before = file_digest(setup, job, "auto", None)
    (tmp_path / "a.raw").write_bytes(b"22")
    assert file_digest(setup, job, "auto", None) != before


def test_a_kill_between_the_legend_and_the_labels_is_made_good(pictures):
    outcomes(pictures[:1])
    labels = pictures[0].parent / "out" / "a_labels.tif"
    whole = labels.read_bytes()
    labels.unlink()
    assert "exists already" in str(outcomes(pictures[:1])["a.png"].error)
    assert outcomes(pictures[:1], resume=True)["a.png"].error is None
    assert labels.read_bytes() == whole


@pytest.mark.parametrize("form", ["coco", "class-png", "ome-zarr", "png"])
def test_every_format_is_known_again(pictures, form):
    jobs = plan(pictures[:1], pictures[0].parent / "out", form)
    first = outcomes(pictures, jobs=jobs)["a.png"]
    assert first.error is None
    again = outcomes(pictures, jobs=jobs, resume=True)["a.png"]
    assert (again.error, again.shares) == (None, pytest.approx(first.shares))
    assert Counting.seen == 1


def order_of(job: Job, *, prompts=PROMPTS, **options) -> tuple[Bench, Order]:
    encoder = Counting()
    setup = Setup.of(Segmenter(encoder, settings=SETTINGS), prompts)
    return Bench(setup, encoder), Order(job, file_digest(setup, job, "auto", None), "auto", None, False, **options)


def test_a_worker_keeps_what_a_lost_one_has_finished(pictures, tmp_path):
    job = plan(pictures[:1], tmp_path / "out")[0]
    bench, order = order_of(job)
    shares, _ = segment_order(bench, order)
    assert segment_order(bench, order)[0] == shares
    assert Counting.seen == 1
    # lost between its two files
    job.labels.unlink()
    assert segment_order(bench, order)[0] == shares
    assert job.labels.exists()


def test_a_worker_leaves_labels_that_another_program_wrote_meanwhile(pictures, tmp_path, monkeypatch):
    job = plan(pictures[:1], tmp_path / "out")[0]
    other = order_of(job, prompts=PromptSet.from_text("red", background=("black",)))
    mine = order_of(job)
    encode = Counting.encode_plane

    def meanwhile(self, picture, **options):
        monkeypatch.setattr(Counting, "encode_plane", encode)
        segment_order(*other)
        return encode(self, picture, **options)

    monkeypatch.setattr(Counting, "encode_plane", meanwhile)
    with pytest.raises(OutputError, match="other prompts or settings"):
        segment_order(*mine)
    assert [c["name"] for c in json.loads(job.legend.read_text())["classes"]] == ["red"]


def test_a_worker_gets_further_modalities_with_the_file(pictures, tmp_path):
    job = plan(pictures[:1], tmp_path / "out")[0]
    with_lamp = replace(job, modalities=(Partner("lamp", "auto", pictures[1]),))
    segment_order(*order_of(with_lamp))
    assert Counting.seen == 2
    made = json.loads(job.legend.read_text())["provenance"]
    assert [m["name"] for m in made["modalities"]] == ["image", "lamp"]
    missing = replace(job, labels=tmp_path / "x.tif", modalities=(Partner("lamp", "auto", tmp_path / "gone.png"),))
    with pytest.raises(InputError, match=r"A worker does not see 'gone\.png'"):
        segment_order(*order_of(missing))


def test_the_labels_are_those_of_the_file(pictures, tmp_path):
    job = plan(pictures[:1], tmp_path / "out")[0]
    segment_order(*order_of(job))
    np.testing.assert_array_equal(tifffile.imread(job.labels), np.roll(squares(2, 2)[1], 30 * ord("a"), axis=1))
