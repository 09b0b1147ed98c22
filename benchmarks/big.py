"""A picture larger than memory in blocks: time and memory with 1 and 2 Dask workers, a kill at half, and going on.

The picture is made here, an RGB OME-Zarr of photographs side by side with noise, so that no two places are the same.
Every run is a program of its own, and the memory of it and its workers is sampled. `peak_mb` is resident memory, of
the fattest worker, of the program that writes, and of all together (where shared pages count once per process).
Workers compute with one thread each, so that 2 against 1 is 2 cores against 1. `ratio_to_encoder` sets the working
time against the bare forward passes of the picture's tiles, measured here with one thread. Figures of a part are in
the file of ``--json`` as soon as they are known.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._big_blocks import agreement, block_shares, encoder_seconds
from benchmarks._big_labels import compared
from benchmarks._big_runs import chunk_times, chunks_of, entries, labels_of, measured_run, one_run, plan_of
from benchmarks._big_slide import make_slide


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=30000, help="of the picture, in pixels (default: 30000)")
    parser.add_argument("--tile", type=int, default=1024, help="pixels the model sees at a time (default: 1024)")
    parser.add_argument("--block-side", type=int, default=3584, help="of a block, in pixels (default: 3584)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--agreement", type=int, default=4000, help="side of a picture that is also done in one piece")
    parser.add_argument("--minutes", type=float, default=60, help="a run that takes longer is ended (default: 60)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and keep it")
    parser.add_argument("--one", type=int, metavar="N", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.one is not None:
        return one_run(args)
    folder = args.keep or Path(tempfile.mkdtemp(prefix="promptseg-big-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return compare(args, folder)
    finally:
        if args.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def compare(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Make the picture, segment it with each number of workers, then kill one run at half and let it go on."""
    report = Report(getattr(args, "json", None))
    slide = folder / "slide.ome.zarr"
    for name in ("slide.ome.zarr", "small.ome.zarr", "killed", *(f"workers{n}" for n in args.workers)):
        shutil.rmtree(folder / name, ignore_errors=True)
    report.say(f"making a picture of {args.side} x {args.side} pixels")
    start = time.perf_counter()
    make_slide(slide, args.side, args.seed)
    report.take(
        side=args.side,
        megapixels=round(args.side**2 / 1e6),
        picture_mb_if_loaded=round(args.side**2 * 3 / 1e6),
        picture_mb_on_disk=size_mb(slide),
        made_in_seconds=round(time.perf_counter() - start, 1),
    )
    n_tiles, forward = encoder_seconds(args, slide)
    report.take(tile=args.tile, tiles=n_tiles, encoder_processor_seconds_per_tile=round(forward, 4))
    report.take(blocks=len(plan_of(args)), block_side=plan_of(args).side)
    report.take(block=block_shares(args, slide, folder))
    runs: dict[str, Any] = {}
    for n in args.workers:
        measured = measured_run(args, folder, n, f"workers{n}", report.say)
        measured["ratio_to_encoder"] = round(measured["worker_processor_seconds"] / (n_tiles * forward), 2)
        runs[str(n)] = measured
        report.take(runs=runs)
    one = runs[str(args.workers[0])]
    report.take(speedup={n: round(one["working_seconds"] / r["working_seconds"], 2) for n, r in runs.items()})
    report.take(killed_and_resumed=killed_and_resumed(args, folder, report))
    report.take(labels_mb_on_disk=size_mb(labels_of(folder, "killed")))
    others = {name: labels_of(folder, name) for name in (*(f"workers{n}" for n in args.workers[1:]), "killed")}
    report.take(**compared(labels_of(folder, f"workers{args.workers[0]}"), others))
    report.take(blocks_against_one_piece=agreement(args, folder) if args.agreement else None)
    return report.figures


def killed_and_resumed(args: argparse.Namespace, folder: Path, report: Report) -> dict[str, Any]:
    """Kill a run when half of its blocks are finished, and run it again."""
    most, plan = max(args.workers), plan_of(args)
    killed = measured_run(args, folder, most, "killed", report.say, kill_at=0.5)
    before = [entry["block"] for entry in entries(folder, "killed")]
    written = chunk_times(folder, "killed")
    resumed = measured_run(args, folder, most, "killed", report.say)
    numbers = [entry["block"] for entry in entries(folder, "killed")]
    vouched = set().union(*(chunks_of(plan, block, folder, "killed") for block in before))
    after = chunk_times(folder, "killed")
    return {
        "workers": most,
        "blocks_before_the_kill": len(before),
        "blocks_kept": resumed["kept"],
        "blocks_in_the_journal": len(numbers),
        "done_twice": len(numbers) - len(set(numbers)),
        "finished_chunks_written_again": sum(after.get(file) != written[file] for file in vouched & set(written)),
        "lost": len(plan) - len(set(numbers)),
        "wall_seconds": [killed["wall_seconds"], resumed["wall_seconds"]],
        "peak_mb": resumed["peak_mb"],
    }


class Report:
    """The figures so far, in the file as soon as they are known.

    Parameters
    ----------
    file : pathlib.Path, optional
        Where they are written.
    """

    def __init__(self, file: Path | None) -> None:
        self.figures: dict[str, Any] = {}
        self._file, self._start = file, time.perf_counter()

    def take(self, **figures: Any) -> None:
        """Add figures, tell them, and write all."""
        self.figures.update(figures)
        self.say(json.dumps(figures))
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps({"unfinished": True, **self.figures}, indent=2) + "\n", encoding="utf-8")

    def say(self, text: str) -> None:
        """Tell a person how far it is."""
        print(f"[{time.perf_counter() - self._start:6.0f} s] {text}", file=sys.stderr, flush=True)


def size_mb(folder: Path) -> float:
    """Of all files in a folder, in 10^6 bytes."""
    return round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, 1)
