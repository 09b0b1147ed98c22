"""Prompts tuned on a few images and tested on others, classes nobody tuned among them, beside a random forest."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import _shots

#: Largest loss that counts as none, of the mean IoU of classes that were not tuned.
GOAL = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _shots.add_arguments(parser)
    parser.add_argument("--shots", default="1,5,10", help="numbers of images to tune on (default: 1,5,10)")
    parser.add_argument("--forest", action=argparse.BooleanOptionalAction, default=True, help="the random forest too")
    parser.add_argument("--forest-pixels", type=int, default=20_000, help="of a test image, evenly drawn; all for 0")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Tune on the first images of one order, more of them each time, and test on images that are in none."""
    from napari_promptseg.errors import InputError
    from napari_promptseg.learning.prompt_tuning import tune_prompts
    from napari_promptseg.learning.tuning_options import TuningOptions

    counts = sorted({int(n) for n in args.shots.split(",")})
    parting = _shots.part(args, counts[-1])
    segmenter = _shots.make_segmenter(args, len(parting.tests) + counts[-1])
    prompts = parting.pack.prompts()
    options = TuningOptions(steps=args.steps, seed=args.seed)
    before = _shots.measure(segmenter, parting, prompts)
    found: dict[str, Any] = {}
    for n in counts:
        samples = _shots.shots(segmenter, parting, n, args.seed)
        try:
            result = tune_prompts(segmenter.encoder, prompts, samples, options=options)
        except InputError as error:
            found[str(n)] = {"not_tuned": str(error)}
            continue
        tuned = sorted({int(v) for s in samples for v in s.values if v})
        after = _shots.measure(segmenter, parting, result.candidate)
        found[str(n)] = {
            "tuned_classes": [parting.pack.classes[v] for v in tuned],
            "pixels": sum(len(s.values) for s in samples),
            "before": before,
            "after": after,
            "unseen_drop": None
            if before.get("unseen_iou") is None
            else {k: before[k]["unseen_iou"] - after[k]["unseen_iou"] for k in before if isinstance(before[k], dict)},
            "held_out_dice": [result.verdict.before, result.verdict.after],
            "kept": result.kept,
            "seconds": result.seconds,
        }
        print(f"{n} shots: mean IoU {after['mean_iou']:.3f}", file=sys.stderr, flush=True)
        if args.forest:
            start = time.perf_counter()
            forest = Forest(parting, parting.order[:n], samples, args.seed)
            found[str(n)]["random_forest"] = forest.measure(args.forest_pixels, args.seed)
            found[str(n)]["random_forest"]["seconds"] = time.perf_counter() - start
    return {
        **_shots.described(args, parting, segmenter),
        "unseen_drop_goal": GOAL,
        "options": options.as_dict(),
        "shots": found,
    }


class Forest:
    """scikit-image's basic features and a random forest, trained on exactly the pixels that prompts are tuned on."""

    def __init__(self, parting: _shots.Parting, pairs: Sequence[Any], samples: Sequence[Any], seed: int) -> None:
        from napari_promptseg.errors import ModelError

        try:
            from sklearn.ensemble import RandomForestClassifier
        except ImportError as error:
            raise ModelError("The random forest needs scikit-learn: pip install scikit-learn.") from error

        self._parting = parting
        if len(samples) != len(pairs):
            # images without annotation gave no sample; the others keep their order
            pairs = [p for p in pairs if self._annotated(p)]
        x, y = [], []
        for pair, sample in zip(pairs, samples, strict=True):
            maps = basic_features(parting.pack.load(pair)[0].picture())
            x.append(maps[sample.rows, sample.columns])
            y.append(sample.values)
        self._forest = RandomForestClassifier(100, n_jobs=2, random_state=seed, class_weight="balanced")
        self._forest.fit(np.concatenate(x), np.concatenate(y))

    def measure(self, per_image: int, seed: int) -> dict[str, Any]:
        """The figures of `_shots.measure`, from pixels drawn evenly from the test images."""
        from napari_promptseg.evaluation.metrics import class_dice, class_iou, confusion_matrix, present
        from napari_promptseg.evaluation.packs import IGNORED

        parting = self._parting
        ids = [0, *parting.pack.classes] if parting.zero_is_background else list(parting.pack.classes)
        column = {v: i for i, v in enumerate(ids)}
        counts = np.zeros((len(ids), len(ids)), np.int64)
        rng = np.random.default_rng(seed)
        for pair in parting.tests:
            stack, mask = parting.pack.load(pair)
            counted = (mask != IGNORED) & (parting.zero_is_background | (mask > 0))
            at = np.flatnonzero(counted)
            if 0 < per_image < at.size:
                at = rng.choice(at, per_image, replace=False)
            if not at.size:
                continue
            guess = self._forest.predict(basic_features(stack.picture()).reshape(mask.size, -1)[at])
            true, said = (np.array([column[int(v)] for v in values]) for values in (mask.ravel()[at], guess))
            counts += confusion_matrix(true, said, len(ids))
        first = int(parting.zero_is_background)
        there = present(counts)[first:]
        ious, dices = class_iou(counts)[first:], class_dice(counts)[first:]
        sides: dict[str, list[float]] = {"seen_iou": [], "unseen_iou": []}
        for value, is_there, iou in zip(ids[first:], there, ious, strict=True):
            if is_there:
                sides["unseen_iou" if value in parting.unseen else "seen_iou"].append(float(iou))
        return {
            "mean_iou": float(ious[there].mean()),
            "mean_dice": float(dices[there].mean()),
            **{k: statistics.fmean(v) if v else None for k, v in sides.items()},
        }

    def _annotated(self, pair: Any) -> bool:
        from napari_promptseg.evaluation.packs import IGNORED

        mask = self._parting.pack.load(pair)[1]
        hidden = [IGNORED, *self._parting.unseen, *([] if self._parting.zero_is_background else [0])]
        return not bool(np.isin(mask, hidden).all())


def basic_features(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """``(Y, X, k)``: intensity, edges and texture at sigma 1 to 16, as `evaluation.baselines.RandomForest` has them."""
    from skimage.feature import multiscale_basic_features

    found: npt.NDArray[Any] = multiscale_basic_features(picture, channel_axis=-1, sigma_min=1, sigma_max=16)
    return found.astype(np.float32)
