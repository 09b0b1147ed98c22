"""Runs of the benchmark of big pictures: each a program of its own, watched, and killed where asked to."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = "cat, coffee cup, rocket, field, skin, cell"

#: How often a run is looked at, in seconds.
_LOOK = 0.25

#: How often a person is told how far it is, in seconds.
_TELL = 20.0


def labels_of(folder: Path, name: str) -> Path:
    """Where a run's labels are."""
    return folder / name / "slide_labels.ome.zarr"


def entries(folder: Path, name: str) -> list[dict[str, Any]]:
    """The blocks in a run's journal."""
    from napari_promptseg.label_jobs import journal_path

    path = journal_path(labels_of(folder, name))
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines[1:]]


def chunk_times(folder: Path, name: str) -> dict[Path, int]:
    """When each chunk file of a run's labels was written, in nanoseconds."""
    level = labels_of(folder, name) / "0"
    return {f: f.stat().st_mtime_ns for f in level.rglob("*") if f.is_file()}


def chunks_of(plan: Any, block: int, folder: Path, name: str) -> set[Path]:
    """Chunk files that a block may have."""
    own, side = plan[block], plan.chunk
    rows = range(own.rows.start // side, -(-own.rows.stop // side))
    columns = range(own.columns.start // side, -(-own.columns.stop // side))
    level = labels_of(folder, name) / "0" / "c"
    return {level / str(row) / str(column) for row in rows for column in columns}


def plan_of(args: argparse.Namespace) -> Any:
    """The picture's blocks."""
    from napari_promptseg.large.blocks import BlockPlan

    return BlockPlan.fitting((args.side, args.side), settings_of(args), args.block_side)


def settings_of(args: argparse.Namespace) -> Any:
    """As ``segment --quality fast --tile N`` has them."""
    from napari_promptseg.segmentation.settings import SegmentationSettings

    return SegmentationSettings(
        tile_size=args.tile, tile_overlap=args.tile // 8, whole_up_to=max(2048, args.tile), quality="fast"
    )


def measured_run(
    args: argparse.Namespace,
    folder: Path,
    n: int,
    name: str,
    say: Callable[[str], None],
    kill_at: float | None = None,
) -> dict[str, Any]:
    """One run as a program of its own, killed when a share of its blocks is finished if asked to.

    Raises
    ------
    RuntimeError
        If it failed, took longer than allowed, or was finished before it could be killed.
    """
    words = ["big", "--one", str(n), "--side", str(args.side), "--tile", str(args.tile), "--model", args.model]
    words += ["--block-side", str(args.block_side), "--keep", str(folder / name), "--threads", "1"]
    start = told = time.perf_counter()
    program = subprocess.Popen([sys.executable, "-m", "benchmarks", *words], stdout=subprocess.PIPE, text=True)
    memory, total = Memory(program.pid), len(plan_of(args))
    try:
        while program.poll() is None:
            memory.look()
            done, now = len(entries(folder, name)), time.perf_counter()
            if now - told > _TELL:
                told = now
                say(f"{name}: {done} of {total} blocks after {now - start:.0f} s")
            if kill_at is not None and done >= kill_at * total:
                program.kill()
                break
            if now - start > 60 * args.minutes:
                raise RuntimeError(f"The run {name!r} took longer than --minutes {args.minutes:g}.")
            time.sleep(_LOOK)
        said = program.communicate()[0]
    finally:
        if program.poll() is None:
            program.kill()
            program.communicate()
        memory.wait_for_workers()
    wall = round(time.perf_counter() - start, 1)
    if kill_at is not None:
        if program.returncode == 0:
            raise RuntimeError("The run ended before it was killed: use smaller blocks.")
        return {"wall_seconds": wall}
    if program.returncode:
        raise RuntimeError(f"The run with {n} workers failed.")
    used = round(sum(memory.processor.values()), 1)
    return {"wall_seconds": wall, **json.loads(said)["one"], "worker_processor_seconds": used, "peak_mb": memory.peaks}


def one_run(args: argparse.Namespace) -> dict[str, Any]:
    """In a program of its own: segment the picture with some workers."""
    from napari_promptseg import PromptSet, Segmenter, load_encoder
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.cluster import DaskCrew, local_workers
    from napari_promptseg.large.labelling import label_picture

    segmenter = Segmenter(load_encoder(args.model, device="cpu"), settings=settings_of(args))
    prompts = PromptSet.from_text(WORDS)
    setup = Setup.of(segmenter, prompts, model=args.model)
    job = Job(args.keep.parent / "slide.ome.zarr", labels_of(args.keep.parent, args.keep.name))
    began = time.perf_counter()
    with local_workers(args.one, threads=1) as client:
        crew = DaskCrew(client, setup, ours=True)
        start = time.perf_counter()
        marks: list[float] = []

        def mark(done: int, total: int, description: str) -> None:
            if description.startswith("block"):
                marks.append(time.perf_counter())

        result = label_picture(job, segmenter, prompts, setup, crew, side=args.block_side, progress=mark)
        ended = time.perf_counter()
    return {
        "one": {
            "blocks": result.blocks,
            "kept": result.kept,
            "starting_seconds": round(start - began, 1),
            "working_seconds": round(marks[-1] - start, 1),
            "pyramid_seconds": round(ended - marks[-1], 1),
        }
    }


class Memory:
    """Highest resident memory seen of a program and the processes it started, in 10^6 bytes.

    Beside it the processor time of those processes, as last seen.
    """

    def __init__(self, pid: int) -> None:
        import psutil

        self._program = psutil.Process(pid)
        self._others: dict[int, Any] = {}
        self.peaks = {"program": 0, "worker": 0, "together": 0}
        self.processor: dict[int, float] = {}

    def look(self) -> None:
        """Take a sample."""
        import psutil

        try:
            own = self._program.memory_info().rss
            others = []
            for child in self._program.children(recursive=True):
                try:
                    others.append(child.memory_info().rss)
                    self.processor[child.pid] = sum(child.cpu_times()[:2])
                    self._others[child.pid] = child
                except psutil.NoSuchProcess:  # it ended between the two calls
                    continue
        except psutil.NoSuchProcess:
            return
        seen = {"program": own, "worker": max(others, default=0), "together": own + sum(others)}
        self.peaks = {k: max(self.peaks[k], round(v / 1e6)) for k, v in seen.items()}

    def wait_for_workers(self) -> None:
        """Until the processes of a killed program have noticed that it is gone, so that the next run has the cores."""
        import psutil

        psutil.wait_procs(list(self._others.values()), timeout=30)
