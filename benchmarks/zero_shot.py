"""Words to masks without any correction: agreement with the labelled packs in a folder, beside what chance gives."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: 2-D packs that are looked for when none is named.
PACKS = ("coco128_seg", "camvid11", "kvasir_seg", "dsb2018_nuclei", "isic_skin", "busi", "naip_rgb_nir", "rgbt_mini")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="folder of the packs (default: PROMPTSEG_DATA, or ../shared/data)")
    parser.add_argument("--packs", nargs="+", metavar="NAME", help="only these (default: those of the list found)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--quality", default="fast", help="fast or fine")
    parser.add_argument("--edges", nargs="+", default=["guided"], help="one or more of none guided superpixels pamr")
    parser.add_argument("--images", type=int, default=0, metavar="N", help="at most N images a pack, evenly spread")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.evaluation.evaluate import evaluate
    from napari_promptseg.evaluation.report import as_json
    from napari_promptseg.segmentation.settings import SegmentationSettings

    encoder = load_encoder(args.model, device=args.device)
    measured: dict[str, Any] = {}
    for name, pack in packs(args).items():
        measured[name] = {"baselines": baselines(pack)}
        for edges in args.edges:
            settings = SegmentationSettings(quality=args.quality, refinement=edges)
            measured[name][edges] = as_json(evaluate(Segmenter(encoder, settings=settings), pack))
    return {"model": encoder.describe(), "packs": measured}


def packs(args: argparse.Namespace) -> dict[str, Any]:
    """The packs asked for, or those of the list that are there; thinned out evenly where `--images` says so."""
    from dataclasses import replace

    from napari_promptseg.errors import InputError
    from napari_promptseg.evaluation.packs import DataPack

    checkout = Path(__file__).resolve().parent.parent
    root = args.data or Path(os.environ.get("PROMPTSEG_DATA", checkout.parent / "shared" / "data"))
    names = args.packs or [n for n in PACKS if (root / n).is_dir()]
    if not names:
        raise InputError(f"There is no data pack in {str(root)!r}: name their folder with --data or PROMPTSEG_DATA.")
    found = {n: DataPack.from_folder(root / n) for n in names}
    if args.images:
        for name, pack in found.items():
            some = np.unique(np.linspace(0, len(pack) - 1, args.images).round().astype(int))
            found[name] = replace(pack, pairs=tuple(pack.pairs[i] for i in some))
    return found


def baselines(pack: Any) -> dict[str, dict[str, float]]:
    """What no model at all reaches over labelled pixels: always the commonest class, or a class at random.

    Random guessing is worked out, not drawn: of a class's n pixels among N, n/C are hit and N/C guessed.
    """
    from napari_promptseg.evaluation.metrics import class_iou, present

    ids = np.array(list(pack.classes))
    counts: npt.NDArray[np.int64] = np.zeros(len(ids), np.int64)
    for pair in pack:
        _, mask = pack.load(pair)
        counts += np.array([(mask == i).sum() for i in ids])
    there = counts > 0
    most = np.zeros((len(ids), len(ids)), np.int64)
    most[:, counts.argmax()] = counts
    hit = counts / len(ids)
    chance = hit / np.maximum(counts + counts.sum() / len(ids) - hit, 1)
    return {
        "commonest class": {"mean_iou": float(class_iou(most)[present(most)].mean())},
        "random class": {"mean_iou": float(chance[there].mean())},
    }
