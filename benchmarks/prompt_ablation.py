"""Prompt tuning with each of its parts switched off in turn, tested on images it did not see."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from benchmarks import _shots

#: What each row changes in the options.
ROWS: dict[str, dict[str, Any]] = {
    "full method": {},
    "without views": {"n_views": 1},
    "without orthogonal loss": {"orthogonal": 0.0},
    "without global prompt refining": {"global_refining": False},
    "without presence loss": {"image_labels": 0.0},
    "without anchor": {"anchor": 0.0},
    "without protection of unpainted classes": {"keep_others": 0.0},
    "without warm start": {"warm_start": 0.0},
    "without pseudo-labels": {"pseudo_labels": 0.0},
    "without learned temperatures": {"learned_temperature": False},
    "without beginning at the words": {"from_words": False},
    "own tokens for each class": {"shared_context": False},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _shots.add_arguments(parser)
    parser.add_argument("--shots", type=int, default=5, help="images to tune on (default: 5)")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), metavar="ROW", help="only these (default: all)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Tune with every set of options on the same pixels and measure on the same images."""
    from napari_promptseg.learning.prompt_tuning import tune_prompts
    from napari_promptseg.learning.tuning_options import TuningOptions

    parting = _shots.part(args, args.shots)
    segmenter = _shots.make_segmenter(args, len(parting.tests) + args.shots)
    samples = _shots.shots(segmenter, parting, args.shots, args.seed)
    prompts = parting.pack.prompts()
    plain = TuningOptions(steps=args.steps, seed=args.seed)
    rows: dict[str, Any] = {"words, not tuned": _shots.measure(segmenter, parting, prompts)}
    for name in args.rows or ROWS:
        options = replace(plain, **ROWS[name])
        result = tune_prompts(segmenter.encoder, prompts, samples, options=options)
        rows[name] = {
            **_shots.measure(segmenter, parting, result.candidate),
            "view_correlation": _shots.correlation(segmenter, parting, result.candidate),
            "held_out_dice": [result.verdict.before, result.verdict.after],
            "kept": result.kept,
            "mean_drift": sum(result.drift.values()) / len(result.drift),
            "seconds": result.seconds,
        }
        print(f"{name}: mean IoU {rows[name]['mean_iou']:.3f}", file=sys.stderr, flush=True)
    return {
        **_shots.described(args, parting, segmenter),
        "shots": args.shots,
        "tuned_on": [p.name for p in parting.order],
        "options": plain.as_dict(),
        "rows": rows,
    }
