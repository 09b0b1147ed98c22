"""A picture larger than memory in blocks: time and memory with 1 and 2 Dask workers, a kill at half, and going on.

The picture is made here, an RGB OME-Zarr of photographs side by side with noise, so that no two places are the same.
Every run is a program of its own, and the memory of it and its workers is sampled. `peak_mb` is resident memory, of
the fattest worker, of the program that writes, and of all together (where shared pages count once per process).
Workers compute with one thread each, so that 2 against 1 is 2 cores against 1. `ratio_to_encoder` sets the working
time against the bare forward passes of the picture's tiles, measured here with one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_CHUNK = 1024
#: Pixels on both sides of a border between blocks that count as near it.
_NEAR = 32

_WORDS = "cat, coffee cup, rocket, field, skin, cell"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=30000, help="of the picture, in pixels (default: 30000)")
    parser.add_argument("--tile", type=int, default=1024, help="pixels the model sees at a time (default: 1024)")
    parser.add_argument("--block-side", type=int, default=3584, help="of a block, in pixels (default: 3584)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--agreement", type=int, default=4000, help="side of a picture that is also done in one piece")
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
    slide = folder / "slide.ome.zarr"
    start = time.perf_counter()
    if not slide.exists():
        make_slide(slide, args.side, args.seed)
    made = time.perf_counter() - start
    n_tiles, forward = encoder_seconds(args, slide)
    bare = n_tiles * forward
    runs, digests = {}, []
    for n in args.workers:
        measured = measured_run(args, folder, n, f"workers{n}")
        measured["ratio_to_encoder"] = round(measured["worker_processor_seconds"] / bare, 2)
        runs[str(n)] = measured
        digests.append(labels_digest(labels_of(folder, f"workers{n}")))
    most = max(args.workers)
    killed = measured_run(args, folder, most, "killed", kill_at=0.5)
    before = entries(folder, "killed")
    resumed = measured_run(args, folder, most, "killed")
    numbers = [entry["block"] for entry in entries(folder, "killed")]
    digests.append(labels_digest(labels_of(folder, "killed")))
    one = runs[str(args.workers[0])]
    return {
        "side": args.side,
        "megapixels": round(args.side**2 / 1e6),
        "picture_mb_if_loaded": round(args.side**2 * 3 / 1e6),
        "picture_mb_on_disk": size_mb(slide),
        "labels_mb_on_disk": size_mb(labels_of(folder, "killed")),
        "made_in_seconds": round(made, 1),
        "tile": args.tile,
        "tiles": n_tiles,
        "encoder_processor_seconds_per_tile": round(forward, 4),
        "blocks": one["blocks"],
        "runs": runs,
        "speedup": {n: round(one["working_seconds"] / r["working_seconds"], 2) for n, r in runs.items()},
        "killed_and_resumed": {
            "workers": most,
            "blocks_before_the_kill": len(before),
            "blocks_kept": resumed["kept"],
            "blocks_in_the_journal": len(numbers),
            "done_twice": len(numbers) - len(set(numbers)),
            "lost": one["blocks"] - len(set(numbers)),
            "wall_seconds": [killed["wall_seconds"], resumed["wall_seconds"]],
            "peak_mb": resumed["peak_mb"],
        },
        "labels_equal_bit_for_bit": len(set(digests)) == 1,
        "blocks_against_one_piece": agreement(args, folder) if args.agreement else None,
    }


def agreement(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """How many pixels have the same label from small blocks and from the plane in one piece."""
    import zarr

    from napari_promptseg import PromptSet, Segmenter, load_encoder, read_image
    from napari_promptseg.batch import Job
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.crew import Threads
    from napari_promptseg.large.labelling import label_picture
    from napari_promptseg.large.pictures import Picture

    slide, settings = folder / "small.ome.zarr", settings_of(args)
    side = 2 * (args.tile - args.tile // 8)
    if not slide.exists():
        make_slide(slide, args.agreement, args.seed)
    segmenter = Segmenter(load_encoder(args.model, device="cpu"), settings=settings)
    prompts = PromptSet.from_text(_WORDS)
    job = Job(slide, folder / "small" / "small_labels.ome.zarr")
    setup = Setup.of(segmenter, prompts)
    crew = Threads(setup, segmenter.encoder)
    label_picture(job, segmenter, prompts, setup, crew, side=side, overwrite=True)
    segmenter.set_image(read_image(slide))
    whole = segmenter.segment(prompts).labels
    same = np.asarray(zarr.open_group(job.labels, mode="r")["0"]) == whole
    near = np.zeros(same.shape, bool)
    for start in range(side, args.agreement, side):
        near[start - _NEAR : start + _NEAR] = True
        near[:, start - _NEAR : start + _NEAR] = True
    return {
        "side": args.agreement,
        "block_side": side,
        "blocks": len(Picture.of(job, "auto", settings, side)[0].plan),
        "equal_share": round(float(same.mean()), 5),
        f"equal_share_within_{_NEAR}_pixels_of_a_border": round(float(same[near].mean()), 5),
        "foreground_share": round(float((whole > 0).mean()), 3),
    }


def make_slide(path: Path, side: int, seed: int) -> None:
    """Write an RGB OME-Zarr of ``side x side`` pixels, chunk by chunk."""
    import zarr
    from PIL import Image

    from napari_promptseg.resource_files import resource

    rng = np.random.default_rng(seed)
    files = [f for f in sorted(resource("samples").iterdir()) if f.suffix in (".png", ".jpg") and "nir" not in f.name]
    tiles = []
    for file in files:
        with Image.open(file) as image:
            tiles.append(np.asarray(image.convert("RGB").resize((_CHUNK, _CHUNK))).astype(np.int16))
    noise = rng.integers(-4, 5, (2 * _CHUNK, 2 * _CHUNK, 1), dtype=np.int16)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array("0", shape=(3, side, side), dtype="uint8", chunks=(3, _CHUNK, _CHUNK))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    levels = [{"path": "0", "coordinateTransformations": scale}]
    colours = [{"label": name, "color": c} for name, c in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"name": "slide", "axes": axes, "datasets": levels}],
        "omero": {"channels": [{**c, "active": True, "window": _window()} for c in colours]},
    }
    for top in range(0, side, _CHUNK):
        for left in range(0, side, _CHUNK):
            shift = rng.integers(0, _CHUNK, 2)
            own = tiles[int(rng.integers(len(tiles)))] + noise[shift[0] :, shift[1] :][:_CHUNK, :_CHUNK]
            own = np.roll(own, rng.integers(0, _CHUNK, 2), axis=(0, 1)).clip(0, 255).astype(np.uint8)
            part = own[: side - top, : side - left]
            array[:, top : top + part.shape[0], left : left + part.shape[1]] = part.transpose(2, 0, 1)


def _window() -> dict[str, int]:
    return {"min": 0, "max": 255, "start": 0, "end": 255}


def encoder_seconds(args: argparse.Namespace, slide: Path) -> tuple[int, float]:
    """How many tiles the picture has, and the processor time of one forward pass with one thread (median of 7)."""
    import torch

    from napari_promptseg import load_encoder, read_image
    from napari_promptseg.segmentation.tiling import Layout

    stack = read_image(slide)
    picture = stack.picture(0, slice(0, args.tile), slice(0, args.tile))
    encoder = load_encoder(args.model, device="cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = [seconds(lambda: encoder.encode_plane(picture, quality="fast")) for _ in range(8)][1:]
    finally:
        torch.set_num_threads(threads)
    return len(Layout(stack.plane_shape, args.tile, args.tile // 8)), float(np.median(times))


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def labels_of(folder: Path, name: str) -> Path:
    """Where a run's labels are."""
    return folder / name / "slide_labels.ome.zarr"


def entries(folder: Path, name: str) -> list[dict[str, Any]]:
    """The blocks in a run's journal."""
    from napari_promptseg.batch import journal_path

    path = journal_path(labels_of(folder, name))
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines[1:]]


def measured_run(
    args: argparse.Namespace, folder: Path, n: int, name: str, kill_at: float | None = None
) -> dict[str, Any]:
    """One run as a program of its own, killed when a share of its blocks is finished if asked to."""
    words = ["big", "--one", str(n), "--side", str(args.side), "--tile", str(args.tile), "--model", args.model]
    words += ["--block-side", str(args.block_side), "--keep", str(folder / name), "--threads", "1"]
    start = time.perf_counter()
    program = subprocess.Popen([sys.executable, "-m", "benchmarks", *words], stdout=subprocess.PIPE, text=True)
    memory = Memory(program.pid)
    total = len(plan_of(args, folder))
    while program.poll() is None:
        memory.look()
        if kill_at is not None and len(entries(folder, name)) >= kill_at * total:
            program.kill()
        time.sleep(0.25)
    said = program.communicate()[0]
    wall = round(time.perf_counter() - start, 1)
    if kill_at is not None:
        if program.returncode == 0:
            raise RuntimeError("The run ended before it was killed: use smaller blocks.")
        return {"wall_seconds": wall}
    if program.returncode:
        raise RuntimeError(f"The run with {n} workers failed.")
    used = round(sum(memory.processor.values()), 1)
    return {"wall_seconds": wall, **json.loads(said)["one"], "worker_processor_seconds": used, "peak_mb": memory.peaks}


def plan_of(args: argparse.Namespace, folder: Path) -> Any:
    """The picture's blocks."""
    from napari_promptseg.large.blocks import BlockPlan

    return BlockPlan.fitting((args.side, args.side), settings_of(args), args.block_side)


def settings_of(args: argparse.Namespace) -> Any:
    """As ``segment --quality fast --tile N`` has them."""
    from napari_promptseg.segmentation.settings import SegmentationSettings

    return SegmentationSettings(
        tile_size=args.tile, tile_overlap=args.tile // 8, whole_up_to=max(2048, args.tile), quality="fast"
    )


def one_run(args: argparse.Namespace) -> dict[str, Any]:
    """In a program of its own: segment the picture with some workers."""
    from napari_promptseg import PromptSet, Segmenter, load_encoder
    from napari_promptseg.batch import Job
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.cluster import DaskCrew, local_workers
    from napari_promptseg.large.labelling import label_picture

    segmenter = Segmenter(load_encoder(args.model, device="cpu"), settings=settings_of(args))
    prompts = PromptSet.from_text(_WORDS)
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
                except psutil.NoSuchProcess:  # it ended between the two calls
                    continue
        except psutil.NoSuchProcess:
            return
        seen = {"program": own, "worker": max(others, default=0), "together": own + sum(others)}
        self.peaks = {k: max(self.peaks[k], round(v / 1e6)) for k, v in seen.items()}


def labels_digest(labels: Path) -> str:
    """Digest of all labels, read band by band."""
    import zarr

    array = zarr.open_group(labels, mode="r")["0"]
    digest = hashlib.blake2b(digest_size=16)
    band = int(array.chunks[0])
    for top in range(0, array.shape[0], band):
        values: npt.NDArray[Any] = np.ascontiguousarray(array[top : top + band])
        digest.update(values.data)
    return digest.hexdigest()


def size_mb(folder: Path) -> float:
    """Of all files in a folder, in 10^6 bytes."""
    return round(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, 1)
