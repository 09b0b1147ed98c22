"""Cost and gain of each way from score maps to pixel edges, on labelled packs."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PACKS = ("isic_skin", "dsb2018_nuclei", "camvid11", "coco128_seg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Path(os.environ.get("PROMPTSEG_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of packs (default: PROMPTSEG_DATA)")
    parser.add_argument("--packs", nargs="+", default=list(PACKS), help=f"default: {' '.join(PACKS)}")
    parser.add_argument("--limit", type=int, default=20, help="images per pack, evenly spread (default: 20)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--quality", default="fast", choices=("fast", "fine"))
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="NAME,SETTING=VALUE,...",
        help="a refinement with other settings, e.g. guided,guided_radius=6; default: the four as they are",
    )


@dataclass
class _Tally:
    """Counts and times of one variant on one pack."""

    counts: Any = 0
    near_outlines: Any = 0
    all_pixels: Any = 0
    prepare: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Encode each image once and segment it by every variant."""
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.segmentation.settings import REFINEMENTS

    variants = {text: settings_from(text, args.quality) for text in (args.variant or REFINEMENTS)}
    segmenter = Segmenter(load_encoder(args.model, device="cpu"))
    result: dict[str, Any] = {}
    for name in args.packs:
        pack = DataPack.from_folder(args.data / name)
        pairs = [pack.pairs[i] for i in spread(len(pack.pairs), args.limit)]
        tallies = {text: _Tally() for text in variants}
        for pair in pairs:
            stack, truth = pack.load(pair)
            segmenter.set_image(stack, quality=args.quality)
            for text, settings in variants.items():
                segmenter.settings = settings
                _measure(segmenter, pack, truth, tallies[text])
        result[name] = {"images": len(pairs), **{text: _summary(t, unlabelled(pack)) for text, t in tallies.items()}}
    return {"model": args.model, "packs": result}


def settings_from(text: str, quality: str) -> Any:
    """``"guided,guided_radius=6"`` as settings; numbers keep the type of the default."""
    from napari_promptseg.segmentation.settings import SegmentationSettings

    name, *changes = text.split(",")
    plain = SegmentationSettings()
    given: dict[str, Any] = {"refinement": name, "quality": quality}
    for change in changes:
        key, value = change.split("=", 1)
        given[key] = type(getattr(plain, key))(value)
    return SegmentationSettings(**given)


def spread(total: int, limit: int) -> list[int]:
    """At most `limit` indices, evenly over all."""
    return sorted({round(i) for i in np.linspace(0, total - 1, min(total, limit))})


def unlabelled(pack: Any) -> bool:
    """Whether id 0 of the pack means "not labelled": with several classes it does, with one it is the rest."""
    return len(pack.classes) > 1


def _measure(segmenter: Any, pack: Any, truth: Any, tally: _Tally) -> None:
    from napari_promptseg.evaluation.metrics import confusion_matrix

    prompts = pack.prompts()
    times = []
    for _ in range(2):  # the first call prepares what depends on the picture alone
        start = time.perf_counter()
        labels = segmenter.segment(prompts).labels
        times.append(time.perf_counter() - start)
    tally.prepare.append(times[0] - times[1])
    tally.again.append(times[1])
    ids = np.full(256, -1)
    ids[0] = 0
    for i, value in enumerate(pack.classes, start=1):
        ids[value] = i
    counted = truth != 255
    size = len(pack.classes) + 1
    # what is drawn where nothing is labelled counts here: without it the choice that draws most would win
    tally.all_pixels = tally.all_pixels + confusion_matrix(ids[truth[counted]], ids[labels[counted]], size)
    if unlabelled(pack):
        counted &= truth != 0
    tally.counts = tally.counts + confusion_matrix(ids[truth[counted]], ids[labels[counted]], size)
    counted &= outline_band(truth)
    tally.near_outlines = tally.near_outlines + confusion_matrix(ids[truth[counted]], ids[labels[counted]], size)


def outline_band(truth: Any, share: float = 0.01) -> Any:
    """Pixels within `share` of the diagonal of a place where the truth changes: where refinement can matter."""
    from scipy.ndimage import distance_transform_edt

    changes = np.zeros(truth.shape, bool)
    down, along = truth[1:] != truth[:-1], truth[:, 1:] != truth[:, :-1]
    changes[1:] |= down
    changes[:-1] |= down
    changes[:, 1:] |= along
    changes[:, :-1] |= along
    if not changes.any():
        return changes
    return distance_transform_edt(~changes) <= max(1.0, share * float(np.hypot(*truth.shape)))


def _summary(tally: _Tally, labelled_only: bool) -> dict[str, float | None]:
    from napari_promptseg.evaluation.metrics import class_dice, class_iou

    counts, near = tally.counts, tally.near_outlines
    there = [c for c in range(1, counts.shape[0]) if counts[c].sum() > 0]
    outlined = [c for c in there if near[c].sum() > 0]
    return {
        "mean_iou": round(float(np.mean(class_iou(counts)[there])), 4),
        "mean_iou_all_pixels": round(float(np.mean(class_iou(tally.all_pixels)[there])), 4),
        "mean_iou_near_outlines": round(float(np.mean(class_iou(near)[outlined])), 4) if outlined else None,
        "mean_dice": round(float(np.mean(class_dice(counts)[there])), 4),
        "prepare_ms": round(1e3 * statistics.median(tally.prepare), 2),
        "segment_ms": round(1e3 * statistics.median(tally.again), 2),
        "labelled_pixels_only": labelled_only,
    }
