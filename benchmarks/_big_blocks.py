"""Blocks seen closely: where their time goes, and whether they give what one piece gives."""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._big_runs import WORDS, settings_of
from benchmarks._big_slide import make_slide

#: Pixels on both sides of a border between blocks that count as near it.
_NEAR = 32

#: Parts of a block's work, by the function that does it: its file's end and its name.
_PARTS = {
    "reading": ("large/pictures.py", "block_stack"),
    "encoding": ("large/plain_encoder.py", "encode_plane"),
    "blending": ("segmentation/tiling.py", "add"),
    "deciding": ("segmentation/window_decision.py", "decide_windows"),
    "writing": ("large/labelling.py", "write_block"),
}


def encoder_seconds(args: argparse.Namespace, slide: Path) -> tuple[int, float]:
    """How many tiles the picture has, and the processor time of one forward pass with one thread (median of 7)."""
    from napari_promptseg import load_encoder, read_image
    from napari_promptseg.segmentation.tiling import Layout

    stack = read_image(slide)
    picture = stack.picture(0, slice(0, args.tile), slice(0, args.tile))
    encoder = load_encoder(args.model, device="cpu")
    times = _with_one_thread(
        lambda: [_seconds(lambda: encoder.encode_plane(picture, quality="fast")) for _ in range(8)]
    )
    return len(Layout(stack.plane_shape, args.tile, args.tile // 8)), float(np.median(times[1:]))


def block_shares(args: argparse.Namespace, slide: Path, folder: Path) -> dict[str, Any]:
    """Processor time of the parts of a block's work, for blocks in the second row, whose upper tiles are known.

    Returns
    -------
    dict
        Seconds a block, and the shares of its parts.
    """
    from napari_promptseg import PromptSet, Segmenter, load_encoder
    from napari_promptseg.images.zarr_labels import create_labels
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.large.bench import Bench, Setup
    from napari_promptseg.large.labelling import write_block
    from napari_promptseg.large.pictures import Picture

    segmenter = Segmenter(load_encoder(args.model, device="cpu"), settings=settings_of(args))
    prompts = PromptSet.from_text(WORDS)
    bench = Bench(Setup.of(segmenter, prompts), segmenter.encoder)
    picture, stack = Picture.of(Job(slide, folder / "none.zarr"), "auto", segmenter.settings, args.block_side)
    plan = picture.plan
    columns = min(8, plan.counts[2])
    blocks = range(columns, min(2 * columns, len(plan)))
    if not blocks:
        return {}
    array = create_labels(folder / "shares.zarr", plan.grid, np.uint8, stack, prompts, plan.chunks, overwrite=True)
    for number in range(columns):
        bench.label_block(picture, number)
    watch = cProfile.Profile(time.process_time)
    watch.enable()
    for number in blocks:
        write_block(array, plan[number], bench.label_block(picture, number))
    watch.disable()
    found: Any = pstats.Stats(watch)
    spent = {
        part: sum(row[3] for (file, _, name), row in found.stats.items() if file.endswith(end) and name == function)
        for part, (end, function) in _PARTS.items()
    }
    total = found.total_tt
    return {
        "blocks": len(blocks),
        "processor_seconds_per_block": round(total / len(blocks), 2),
        "shares": {part: round(seconds / total, 3) for part, seconds in spent.items()},
    }


def agreement(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """How many pixels have the same label from small blocks and from the plane in one piece."""
    import zarr

    from napari_promptseg import PromptSet, Segmenter, load_encoder, read_image
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.crew import Threads
    from napari_promptseg.large.labelling import label_picture
    from napari_promptseg.large.pictures import Picture

    slide, settings = folder / "small.ome.zarr", settings_of(args)
    side = 2 * (args.tile - args.tile // 8)
    make_slide(slide, args.agreement, args.seed)
    segmenter = Segmenter(load_encoder(args.model, device="cpu"), settings=settings)
    prompts = PromptSet.from_text(WORDS)
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


def _with_one_thread(work: Callable[[], list[float]]) -> list[float]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return work()
    finally:
        torch.set_num_threads(threads)


def _seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start
