"""Dice of structures throughout volumes: by name, from one region, from a few corrected planes, and by a random forest.

Per structure of a volume: its name alone (``text``); its section drawn on the plane where it is largest and looked for
on every other (``roi``); 1, 3 or 10 planes corrected by a user who makes them right (``planes1`` ...), evenly spread
over the structure's extent; a random forest on classical filters taught on the very same planes (``forest3`` ...).

Planes that a method was shown are left out of its own Dice; ``planes3_whole`` ... counts them too, as the user made
them: that is what the user gets, and easier the more of a structure's planes were corrected. With --planes some of the
others are measured, two thirds of them where the structure is, each counted as often as planes it stands for.

The settings of place and pixels were chosen on the volumes number 1, 3, 5, ... of the packs: --half even has the
others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._volume_methods import ABLATIONS, COLUMNS, Method, Planes, methods


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack",
        type=Path,
        required=True,
        help="folder with images/, labels/ and classes.json, or of cases with label.nii.gz; or its name in "
        "PROMPTSEG_DATA (default: ../shared/data)",
    )
    parser.add_argument("--modality", help="of packs with a folder for each case (default: the first)")
    parser.add_argument(
        "--kind", choices=("ct", "mr"), help="of the values (default: ct where the name says so, else mr)"
    )
    parser.add_argument("--limit", type=int, default=3, help="volumes, evenly spread; 0 for all (default: 3)")
    parser.add_argument(
        "--half", choices=("odd", "even", "all"), default="all", help="volumes number 1, 3, .. or 2, 4, .."
    )
    parser.add_argument(
        "--structures", type=int, default=2, help="of each volume, large to small; 0 for all (default: 2)"
    )
    parser.add_argument("--planes", type=int, default=12, help="measured for each structure; 0 for all (default: 12)")
    parser.add_argument("--all", action="store_true", help="all volumes, structures and planes")
    parser.add_argument("--columns", default=",".join(COLUMNS), help=f"parted by commas (default: {','.join(COLUMNS)})")
    parser.add_argument(
        "--ablations",
        default="",
        help=f"parted by commas: {', '.join(ABLATIONS)} (looks without place, place without looks, forest with place)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of learning and the forest (default: 0)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--quality", default="fast", choices=("fast", "fine"), help="of the encoding (default: fast)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every structure with every method; each structure's figures are printed as they come, to stderr."""
    from benchmarks.interaction import folder_of
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.errors import InputError
    from napari_promptseg.evaluation.volumes import spread, structures, volume_cases
    from napari_promptseg.segmentation.settings import SegmentationSettings

    columns = [c for c in args.columns.split(",") if c]
    ablations = [a for a in args.ablations.split(",") if a]
    if strange := [c for c in (*columns, *ablations) if c not in (*COLUMNS, *ABLATIONS)]:
        raise InputError(f"{strange[0]!r} is no column: use {', '.join(COLUMNS)}, and {', '.join(ABLATIONS)} apart.")
    args.pack = folder_of(args.pack)
    if args.all:
        args.limit = args.structures = args.planes = 0
    cases = volume_cases(args.pack, args.modality)
    cases = {"odd": cases[0::2], "even": cases[1::2], "all": cases}[args.half]
    encoder = load_encoder(args.model, device="cpu")
    settings = SegmentationSettings(quality=args.quality)
    rows: list[dict[str, Any]] = []
    start = time.perf_counter()
    for case in spread(cases, args.limit):
        kind = args.kind or ("ct" if "ct" in case.name.lower().split("_") else "mr")
        stack, truth = case.load(kind)
        most = max([int("".join(filter(str.isdigit, c))) for c in columns if c[-1].isdigit()], default=1)
        found = structures(truth, case.classes, fewest_planes=most + 1)
        for structure in spread(found, args.structures):
            # features of one structure's planes; those of the next are others
            segmenter = Segmenter(encoder, settings=settings, cache=FeatureCache(1500))
            planes = Planes(segmenter, stack)
            row = {"volume": case.name, "structure": structure.name, "voxels": int(structure.truth.sum())}
            made = methods(planes, structure, columns, kind=kind, seed=args.seed, ablations=ablations)
            for name, method, shown in made:
                row[name], whole = dice_of(method, structure, args.planes, shown)
                if name in columns and len(shown) and name != "roi":
                    row[f"{name}_whole"] = whole
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    names = [n for n in rows[0] if n not in ("volume", "structure", "voxels")] if rows else []
    return {
        "pack": args.pack.name,
        "volumes": len({r["volume"] for r in rows}),
        "half": args.half,
        "measured": len(rows),
        "planes_per_structure": args.planes or "all",
        "seed": args.seed,
        "model": args.model,
        "quality": args.quality,
        "seconds": round(time.perf_counter() - start, 1),
        "mean": {n: _mean([r[n] for r in rows]) for n in names},
        "structures": {
            s: _summary([r for r in rows if r["structure"] == s], names)
            for s in dict.fromkeys(r["structure"] for r in rows)
        },
        "rows": rows,
    }


def dice_of(method: Method, structure: Any, n_planes: int, shown: list[int]) -> tuple[float, float]:
    """Over planes that the method was not shown, and over these together with those that the user made right."""
    from napari_promptseg.evaluation.volumes import DiceSum, looked_at

    total = DiceSum()
    for plane, weight in looked_at(structure, n_planes, shown).items():
        total.add(method(plane), structure.truth[plane], weight)
    unseen = total.value
    for plane in shown:
        total.add(structure.truth[plane], structure.truth[plane])
    return round(unseen, 4), round(total.value, 4)


def _summary(rows: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    return {"n": len(rows), **{n: _mean([r[n] for r in rows]) for n in names}}


def _mean(values: list[float]) -> float | None:
    known = [v for v in values if v == v]
    return round(statistics.fmean(known), 4) if known else None
