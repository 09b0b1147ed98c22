"""Dice of finding elsewhere what was drawn: by its name, by mean features, by words, and by what is learned from it.

Regions are drawn in some images of a pack and the same class is looked for in others; in volumes they are drawn on
planes (the one with the largest section first), and the thing is looked for on all other planes of the same volume.
No image or plane that a region came from is ever looked in.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._roi_cases import Draw, Mask, image_draws, is_volumes, volume_draws
from benchmarks._roi_methods import BETTER_OF, COLUMNS, FURTHER, Learner, Method
from benchmarks.attributes import KINDS

Score = dict[tuple[int, str], list[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack",
        type=Path,
        required=True,
        help="folder with images/, masks/ (or labels/) and classes.json, or of cases with label.nii.gz; or its name "
        "in PROMPTSEG_DATA (default: ../shared/data)",
    )
    parser.add_argument("--rois", default="1,3,5", help="numbers of regions, one from each image (default: 1,3,5)")
    parser.add_argument("--draws", type=int, default=3, help="choices of regions; volumes have one each (default: 3)")
    parser.add_argument("--limit", type=int, default=0, help="look in so many images, or take so many volumes")
    parser.add_argument("--planes", type=int, default=0, help="look in so many planes of a volume; 0 for all (default)")
    parser.add_argument(
        "--part",
        choices=("one", "whole"),
        default="one",
        help="a region is one part or all of the class (default: one)",
    )
    parser.add_argument("--as-one", metavar="NAME", help="take all classes of the pack together as one of this name")
    parser.add_argument("--modality", help="of packs with a folder for each case (default: the first)")
    parser.add_argument("--columns", default="", help="only these, parted by commas (default: all)")
    parser.add_argument("--kind", help="of the pictures (default: by the pack's name; mr for volumes)")
    parser.add_argument("--seed", type=int, default=0, help="of images, regions and learning (default: 0)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--quality", default="fast", choices=("fast", "fine"), help="of the encoding (default: fast)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Draw, learn, and look for the thing where it was not drawn."""
    from benchmarks.interaction import folder_of
    from napari_promptseg.errors import InputError

    args.pack = folder_of(args.pack)
    counts = sorted({int(n) for n in args.rois.split(",")})
    columns = [c for c in args.columns.split(",") if c] or [*COLUMNS, *FURTHER]
    strange = set(columns) - {*COLUMNS, *FURTHER}
    if strange or counts[0] < 1:
        raise InputError(f"Columns are {', '.join([*COLUMNS, *FURTHER])}, and numbers of regions at least 1.")
    volumes = is_volumes(args.pack)
    args.kind = args.kind or ("mr" if volumes else None) or _kind_of(args.pack.name)
    args.values = args.kind if args.kind in ("ct", "mr") else "auto"
    start = time.perf_counter()
    learner = Learner(_segmenter(args), columns, args.kind, args.seed)
    scores: Score = defaultdict(list)
    looked_in = draws = groups = 0
    for together in (volume_draws if volumes else image_draws)(args, counts[-1]):
        dice, n_pictures, n_groups = _measured(learner, together, counts)
        looked_in += n_pictures
        groups += n_groups
        draws += len(together)
        for key, values in dice.items():
            scores[key] += values
    if not draws:
        raise InputError(f"The pack {args.pack.name!r} shows nothing on enough planes for {counts[-1]} regions.")
    rois = {n: _row(scores, n, columns) for n in counts}
    return {
        "pack": args.pack.name,
        "images": looked_in,
        "images_are": "planes of volumes" if volumes else "images",
        "dice_over": "all other planes of a volume" if volumes else "each image",
        "volumes": groups if volumes else None,
        "rois": {str(n): {c: row[c][0] if c in row else None for c in columns} for n, row in rois.items()},
        "standard_error": {str(n): {c: row[c][1] for c in row} for n, row in rois.items()},
        "better_of": {str(n): {c: row[c][0] for c in row if c not in columns} for n, row in rois.items()},
        "draws": draws,
        "regions_are": "one part of the class" if args.part == "one" else "all pixels of the class in a picture",
        "classes_as_one": args.as_one,
        "model": args.model,
        "quality": args.quality,
        "kind": args.kind,
        "seed": args.seed,
        "chosen": {what: learner.chosen.count(what) for what in sorted(set(learner.chosen))},
        "seconds_per_draw": {what: statistics.median(times) for what, times in learner.seconds.items()},
        "seconds": time.perf_counter() - start,
    }


def _measured(learner: Learner, draws: Sequence[Draw], counts: Sequence[int]) -> tuple[Score, int, int]:
    """Mean Dice of each draw by number of regions and column; how many pictures and groups were looked in."""
    from napari_promptseg.segmentation.refinement import make_refiner

    segmenter = learner.segmenter
    made: list[dict[tuple[int, str], Method]] = []
    for draw in draws:
        methods: dict[tuple[int, str], Method] = {}
        for n in counts:
            found = learner.methods(draw.drawn[:n], draw.value, draw.name)
            methods |= {(n, column): method for column, method in found.items()}
        made.append(methods)
    dice: list[Score] = [defaultdict(list) for _ in draws]
    n_pictures = n_groups = 0
    for group in draws[0].targets():
        sums = [defaultdict[tuple[int, str], Any](lambda: np.zeros(2)) for _ in draws]
        for picture in group:
            n_pictures += 1
            segmenter.set_image(picture.stack, plane=picture.plane)
            refiner = make_refiner(picture.stack.picture(picture.plane), segmenter.settings)
            named: dict[str, Mask] = {}
            for methods, parts in zip(made, sums, strict=True):
                for (n, column), method in methods.items():
                    if column.startswith("name"):
                        # neither the number of regions nor the draw changes it
                        mask = named[column] if column in named else method(segmenter, refiner)
                        named[column] = mask
                    else:
                        mask = method(segmenter, refiner)
                    parts[n, column] += _overlap(mask & picture.counted, picture.truth & picture.counted)
        n_groups += 1
        for found, parts in zip(dice, sums, strict=True):
            for key, (twice, both) in parts.items():
                found[key].append(twice / both if both else 1.0)
    means: Score = defaultdict(list)
    for found in dice:
        for key, values in found.items():
            means[key].append(statistics.fmean(values))
    return means, n_pictures, n_groups


def _overlap(mask: Mask, truth: Mask) -> Any:
    """Twice the common pixels, and the pixels of both: sums of either may be added before they are divided."""
    return np.array([2 * np.count_nonzero(mask & truth), np.count_nonzero(mask) + np.count_nonzero(truth)], float)


def _row(scores: Score, n: int, columns: Sequence[str]) -> dict[str, tuple[float, float | None]]:
    """Mean over draws (volumes) and its standard error; a name's and a sentence's the better of two ways."""
    row = {}
    for (count, column), values in scores.items():
        if count == n:
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
            row[column] = (statistics.fmean(values), error)
    for column in columns:
        if column in BETTER_OF:
            row[column] = max((row[way] for way in BETTER_OF[column]), key=lambda found: found[0])
    return row


def _kind_of(pack: str) -> str:
    return next((kind for begin, kind in KINDS.items() if pack.startswith(begin)), "natural")


def _segmenter(args: argparse.Namespace) -> Any:
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.segmentation.settings import SegmentationSettings

    settings = SegmentationSettings(quality=args.quality)
    return Segmenter(load_encoder(args.model, device="cpu"), settings=settings, cache=FeatureCache(memory_mb=1500))
