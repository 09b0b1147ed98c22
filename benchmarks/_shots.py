"""What benchmarks of prompt tuning share: images to tune on and to test on, unseen classes, and the same figures."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

#: Packs that the shipped model's head was trained on, so that its words cannot be improved much there.
TRAINED_ON = ("coco128_seg", "dsb2018_nuclei", "isic_skin")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of both benchmarks."""
    parser.add_argument("--pack", type=Path, required=True, help="folder with images/, masks/ and classes.json")
    parser.add_argument("--seed", type=int, default=0, help="of images, classes and pixels drawn (default: 0)")
    parser.add_argument("--half", choices=("all", "even", "odd"), default="all", help="use only every second image")
    parser.add_argument("--images", type=int, default=0, help="test on so many, evenly spread; 0 for all (default)")
    parser.add_argument("--unseen", type=float, default=0.5, help="share of classes never tuned (default: 0.5)")
    parser.add_argument("--steps", type=int, default=50, help="tuning steps (default: 50)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--edges", default="guided", help="none, guided, superpixels or pamr (default: guided)")


@dataclass(frozen=True)
class Parting:
    """A pack in parts.

    Parameters
    ----------
    pack : DataPack
        The whole of it.
    order : tuple of LabelledImage
        Images to tune on; the first k are those of k shots.
    tests : DataPack
        All others, or some of them.
    unseen : frozenset of int
        Classes that are never tuned; empty for packs of one or two classes.
    zero_is_background : bool
    """

    pack: Any
    order: tuple[Any, ...]
    tests: Any
    unseen: frozenset[int]
    zero_is_background: bool


def part(args: argparse.Namespace, most_shots: int) -> Parting:
    """Draw images and classes; the tests are the same for every number of shots."""
    from napari_promptseg.errors import InputError
    from napari_promptseg.evaluation.packs import DataPack, zero_is_background

    pack = DataPack.from_folder(args.pack)
    if args.half != "all":
        pack = replace(pack, pairs=pack.pairs[args.half == "odd" :: 2])
    if most_shots >= len(pack):
        raise InputError(f"{most_shots} images of {len(pack)} leave none to test on: ask for fewer shots.")
    rng = np.random.default_rng(args.seed)
    ids = list(pack.classes)
    hidden = rng.permutation(ids)[: round(args.unseen * len(ids))].tolist() if len(ids) > 2 else []
    drawn = rng.permutation(len(pack)).tolist()
    rest = sorted(drawn[most_shots:])
    if 0 < args.images < len(rest):
        rest = [rest[int((i + 0.5) * len(rest) / args.images)] for i in range(args.images)]
    return Parting(
        pack,
        tuple(pack.pairs[i] for i in drawn[:most_shots]),
        replace(pack, pairs=tuple(pack.pairs[i] for i in rest)),
        frozenset(hidden),
        zero_is_background(args.pack / "classes.json"),
    )


def make_segmenter(args: argparse.Namespace, n_images: int) -> Any:
    """A segmenter that encodes each picture once."""
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.segmentation.settings import SegmentationSettings

    encoder = load_encoder(args.model, device=args.device)
    settings = SegmentationSettings(refinement=args.edges)
    # fine features are made for the tuned pictures only, so coarse ones bound what is kept
    return Segmenter(encoder, settings=settings, cache=FeatureCache(memory_mb=40.0 * n_images))


def measure(segmenter: Any, parting: Parting, prompts: Any) -> dict[str, Any]:
    """Agreement on the test images, of all classes and of tuned and unseen ones apart.

    Over all pixels where the pack labels them all, otherwise over its labelled pixels; every class of the pack
    competes for every pixel, whether it was tuned or not.
    """
    from napari_promptseg.evaluation.evaluate import evaluate

    found = evaluate(segmenter, parting.tests, prompts=prompts)
    out: dict[str, Any] = {"mean_iou": None, "mean_dice": None}
    for name, figures in (("labelled_pixels", found.foreground), ("all_pixels", found.full)):
        if name == "all_pixels" and not parting.zero_is_background:
            continue
        if name == "labelled_pixels" and len(parting.pack.classes) == 1:
            continue  # one class has no rival there
        by_id = {v: figures.per_class[n] for v, n in parting.pack.classes.items() if n in figures.per_class}
        out[name] = {"mean_iou": figures.mean_iou, "mean_dice": figures.mean_dice, **sides(by_id, parting.unseen)}
        out |= {"mean_iou": figures.mean_iou, "mean_dice": figures.mean_dice, **sides(by_id, parting.unseen)}
    return out


def sides(by_id: dict[int, Any], unseen: Collection[int]) -> dict[str, float | None]:
    """Mean IoU over classes that may be tuned and over those that are not."""
    parts: dict[str, list[float]] = {"seen_iou": [], "unseen_iou": []}
    for value, figures in by_id.items():
        parts["unseen_iou" if value in unseen else "seen_iou"].append(figures.iou)
    return {k: statistics.fmean(v) if v else None for k, v in parts.items()}


def correlation(segmenter: Any, parting: Parting, prompts: Any, most: int = 12) -> float | None:
    """Mean pairwise correlation of the maps of a class's views, over classes and some images; None for one view."""
    from napari_promptseg.prompts.multiview import mean_correlation, view_maps

    learned = prompts.learned
    several = [v for v, rows in (learned.views if learned else {}).items() if v and len(rows) > 1]
    found = []
    for pair in parting.tests.pairs[:: max(1, len(parting.tests) // most)]:
        features = segmenter.set_image(parting.pack.load(pair)[0])
        for value in several:
            maps = view_maps(prompts, value, features)
            found.append(mean_correlation(maps[len(maps) - len(learned.views[value]) :]))
    return statistics.fmean(found) if found else None


def shots(segmenter: Any, parting: Parting, n: int, seed: int) -> Sequence[Any]:
    """The first `n` images as samples, without the pixels of unseen classes."""
    from napari_promptseg.evaluation.few_shot import encode_shots

    return encode_shots(
        segmenter,
        parting.pack,
        parting.order[:n],
        zero_is_background=parting.zero_is_background,
        unseen=parting.unseen,
        seed=seed,
    )


def described(args: argparse.Namespace, parting: Parting, segmenter: Any) -> dict[str, Any]:
    """What the figures were measured on."""
    names = parting.pack.classes
    trained = args.model == "embedded" and args.pack.name in TRAINED_ON
    return {
        "pack": args.pack.name,
        "half": args.half,
        "test_images": len(parting.tests),
        "seed": args.seed,
        "model": args.model,
        "device": str(segmenter.encoder.device),
        "model_was_trained_on_this_pack": trained,
        "figures_over": "all pixels" if parting.zero_is_background else "labelled pixels",
        "unseen_classes": sorted(names[v] for v in parting.unseen),
    }
