"""Several modalities of a scene: one alone, channels stacked, late fusion, a random forest, grouping prompt tuning.

All learn from the same labelled pixels and are tested on the same planes. One modality alone, stacked channels and late
fusion have the same learner, weights on frozen features, which are also the head of grouping prompt tuning; what words
alone give, without any label, is reported as ``zero_shot``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import _modality_methods, _modality_scenes
from napari_promptseg.errors import InputError

#: What each row of the ablation changes in the prompters; None trains without any.
ABLATION: dict[str, dict[str, Any] | None] = {
    "no prompters": None,
    "all of it": {},
    "soft grouping": {"hard": False},
    "uni-modal only": {"cross_modal": False},
    "cross-modal only": {"uni_modal": False},
    "first stage only": {"stages": "first"},
    "last stage only": {"stages": "last"},
    "separate cross-modal": {"shared": False},
}

METHODS = ("single", "stacked", "late_fusion", "random_forest", "gopt")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _modality_scenes.add_arguments(parser)
    parser.add_argument("--shots", default="1,5,20", help="numbers of labelled images (default: 1,5,20)")
    parser.add_argument(
        "--seeds", default="0,1,2", help="of images and pixels drawn; of volumes, the patient tested on"
    )
    parser.add_argument("--limit", type=int, default=40, help="test planes, evenly spread; 0 for all (default: 40)")
    parser.add_argument("--steps", type=int, default=None, help="of the prompters' training (default: the tool's own)")
    parser.add_argument("--ablation", action="store_true", help="also tune with parts of the prompters left out")
    parser.add_argument("--rows", nargs="+", choices=list(ABLATION), metavar="ROW", help="only these of the ablation")
    parser.add_argument("--forest", action=argparse.BooleanOptionalAction, default=True, help="the random forest too")
    parser.add_argument("--demonstrate", type=Path, metavar="PNG", help="also draw some test planes with their masks")
    parser.add_argument("--device-speed", action="store_true", help="only time steps in a ViT-B/16 of random weights")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Learn and test with each seed, then average."""
    if args.device_speed:
        from benchmarks._modality_speed import device_speed

        return device_speed(args.device)
    if args.pack is None or not args.modality:
        raise InputError("Name a --pack and each --modality of it, or ask for --device-speed.")
    counts = sorted({int(n) for n in args.shots.split(",")})
    seeds = [int(s) for s in args.seeds.split(",")]
    runs = [_run(args, counts, seed) for seed in seeds]
    shots = {str(n): _together([r["shots"][str(n)] for r in runs]) for n in counts}
    over = {m: statistics.fmean(shots[str(n)][m] for n in counts) for m in METHODS if m in shots[str(counts[0])]}
    return {
        "pack": args.pack.name,
        "model": args.model,
        "seeds": seeds,
        "test_planes": [r["test_planes"] for r in runs],
        "parted_by": runs[0]["parted_by"],
        "figures_over": runs[0]["figures_over"],
        "keys": {
            "single": "weights on frozen features of the one modality that is best on the test planes",
            "stacked": "the same learner on one picture of three channels taken from all modalities",
            "late_fusion": "each modality's own weights, fused by confidence",
            "gopt": "grouping prompt tuning; gopt_trainable_share counts its prompters and weights",
        },
        "shots": shots,
        "mean_over_shots": over,
        "zero_shot": _together([r["zero_shot"] for r in runs]),
        "runs": runs,
    }


def _run(args: argparse.Namespace, counts: list[int], seed: int) -> dict[str, Any]:
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.learning.modalities import ModalitySettings

    def say(text: str) -> None:
        print(f"[seed {seed}] {text}", file=sys.stderr, flush=True)

    began = time.perf_counter()
    scenes = _modality_scenes.part(args.pack, args.modality, counts[-1], args.limit, seed)
    encoder = load_encoder(args.model, device=args.device)
    segmenter = Segmenter(encoder, cache=FeatureCache(memory_mb=2000.0))
    settings = ModalitySettings(seed=seed, **({} if args.steps is None else {"steps": args.steps}))
    rows = _rows(encoder, settings, args.rows or list(ABLATION)) if args.ablation or args.rows else {}
    learned = {}
    for n in counts:
        say(f"{n} shots")
        learned[n] = _modality_methods.learn(
            segmenter, scenes, scenes.teach[:n], settings, rows, forest=args.forest, say=say
        )
    tally = _modality_methods.judge(segmenter, scenes, learned, say)
    if args.demonstrate is not None:
        from benchmarks._modality_picture import demonstrate

        demonstrate(args.demonstrate, segmenter, scenes, learned[counts[-1]])
    found = {str(n): _figures(tally, n, scenes, learned[n], rows) for n in counts}
    for n, figures in found.items():
        say(f"{n} shots: " + ", ".join(f"{m} {figures[m]:.3f}" for m in METHODS if m in figures))
    return {
        "seed": seed,
        "test_planes": len(scenes.test),
        "parted_by": scenes.parted_by,
        "figures_over": "all pixels" if scenes.zero_is_background else "labelled pixels",
        "shots": found,
        "zero_shot": _alone(tally, 0, scenes),
        "seconds": time.perf_counter() - began,
    }


def _figures(
    tally: _modality_methods.Tally, n: int, scenes: Any, learned: _modality_methods.Learned, rows: dict[str, Any]
) -> dict[str, Any]:
    """Mean IoU of each way, and what else is worth knowing."""
    found = _alone(tally, n, scenes)
    if learned.forest is not None:
        found["random_forest"] = tally.mean(f"{n}/random_forest")
    found["gopt"] = tally.mean(f"{n}/gopt")
    found["gopt_trainable_share"] = learned.facts["gopt"]["trained_share"]
    found["gopt_classes"] = tally.ious(f"{n}/gopt")
    if rows:
        found["ablation"] = {row: tally.mean(f"{n}/{row}") for row in rows}
    found["learning"] = learned.facts
    return found


def _alone(tally: _modality_methods.Tally, n: int, scenes: Any) -> dict[str, Any]:
    by_modality = {a.name: tally.mean(f"{n}/single/{a.name}") for a in scenes.asked}
    return {
        "single": max(by_modality.values()),
        "single_by_modality": by_modality,
        "stacked": tally.mean(f"{n}/stacked"),
        "late_fusion": tally.mean(f"{n}/late_fusion"),
    }


def _rows(encoder: Any, settings: Any, wanted: list[str]) -> dict[str, Any]:
    """Settings of each row of the ablation; prompters are used whether held-out labels like them or not."""
    from napari_promptseg.encoders.stages import staged_tower

    stages = staged_tower(encoder).default_stages
    places = {"first": stages[:1], "last": stages[-1:]}
    made = {}
    for name in wanted:
        change = ABLATION[name]
        if change is None:
            made[name] = replace(settings, grouping=None)
            continue
        change = {k: places[v] if k == "stages" else v for k, v in change.items()}
        made[name] = replace(settings, always=True, grouping=replace(settings.grouping, **change))
    return made


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds of all plain numbers, one level of dictionaries deep."""
    found: dict[str, Any] = {}
    for key, value in runs[0].items():
        if isinstance(value, float):
            found[key] = statistics.fmean(r[key] for r in runs)
        elif isinstance(value, dict) and key != "learning":
            shared = [k for k in value if all(k in r[key] for r in runs)]
            found[key] = {k: statistics.fmean(r[key][k] for r in runs) for k in shared}
    if "learning" in runs[0]:
        found["seconds"] = statistics.fmean(r["learning"]["gopt"]["seconds"] for r in runs)
        found["seconds_per_step"] = statistics.fmean(r["learning"]["gopt"]["seconds_per_step"] for r in runs)
        found["prompters_kept"] = sum(r["learning"]["gopt"]["prompters_kept"] for r in runs)
    return found
