"""Dice on other pictures with what the strokes on one picture taught, beside words alone.

A simulated user corrects some pictures of a pack for a few rounds. What that taught goes along as in the dock with
"Carry what strokes taught", to the other pictures, one source at a time.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.interaction import folder_of, mean_dice, spread

#: A picture is called worse where the Dice falls by more.
NOTABLE = 0.02


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack", type=Path, required=True, help="folder with images/, masks/ and classes.json, or name"
    )
    parser.add_argument("--sources", type=int, default=5, help="pictures that are corrected (default: 5)")
    parser.add_argument("--others", type=int, default=20, help="pictures that it is carried to (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="of corrections (default: 3)")
    parser.add_argument("--per-class", type=int, default=20, help="points per class and round (default: 20)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated user (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Correct the sources, then look at the others."""
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.encoders.cache import FeatureCache
    from napari_promptseg.evaluation.packs import IGNORED, DataPack

    pack = DataPack.from_folder(folder_of(args.pack))
    prompts = pack.prompts()
    pairs = [p for p in pack.pairs if np.isin(pack.load(p)[1], (0, IGNORED), invert=True).any()]
    chosen = [pairs[i] for i in spread(len(pairs), args.sources + args.others)]
    sources = {p.name: p for p in chosen[:: max(1, len(chosen) // args.sources)][: args.sources]}
    segmenter = Segmenter(load_encoder(args.model, device="cpu"), cache=FeatureCache())
    taught = {}
    own: dict[str, list[float]] = {"words": [], "carried": []}
    for number, pair in enumerate(sources.values()):
        stack, truth = pack.load(pair)
        carried = corrected(segmenter, prompts, stack, truth, (args.seed, number), args)
        taught[pair.name] = carried
        for name, asked in (("words", prompts), ("carried", carried)):
            own[name].append(mean_dice(segmenter.segment(asked).labels, truth))
    words: list[float] = []
    there: dict[str, list[float]] = {name: [] for name in taught}
    for pair in [p for p in chosen if p.name not in sources][: args.others]:
        stack, truth = pack.load(pair)
        segmenter.set_image(stack)
        words.append(mean_dice(segmenter.segment(prompts).labels, truth))
        for name, carried in taught.items():
            there[name].append(mean_dice(segmenter.segment(carried).labels, truth))
    worse = [after < before - NOTABLE for found in there.values() for before, after in zip(words, found, strict=True)]
    return {
        "pack": args.pack.name,
        "sources": len(sources),
        "others": len(words),
        "rounds": args.rounds,
        "seed": args.seed,
        "model": args.model,
        "names": dict(zip(prompts.names, segmenter.known(prompts), strict=True)),
        "sources_dice": {name: statistics.fmean(values) for name, values in own.items()},
        "others_dice": {
            "words": statistics.fmean(words),
            "carried": statistics.fmean(v for values in there.values() for v in values),
            "carried_by_source": {name: statistics.fmean(values) for name, values in there.items()},
        },
        "worse_share": statistics.fmean(worse),
    }


def corrected(segmenter: Any, prompts: Any, stack: Any, truth: Any, seed: Any, args: argparse.Namespace) -> Any:
    """The classes as a user's corrections of one picture taught them."""
    from napari_promptseg.evaluation.simulated_user import SimulatedUser
    from napari_promptseg.learning.corrections import Corrections
    from napari_promptseg.learning.live import LiveLearner
    from napari_promptseg.segmentation.live_heads import with_live_head

    features = segmenter.set_image(stack)
    values = (0, *(c.value for c in prompts.classes))
    prior = segmenter.coarse_probabilities(prompts).clamp_min(1e-4).log()
    user, corrections, found, labels = SimulatedUser(truth, seed), Corrections(), prompts, None
    for _ in range(args.rounds):
        corrections = corrections.with_added(user.points(labels, per_class=args.per_class))
        head = LiveLearner().fit(features, corrections, values, prior)
        found = with_live_head(prompts, head, segmenter.encoder.name, edges=True)
        labels = corrections.impose(segmenter.segment(found).labels, 0)
    return found
