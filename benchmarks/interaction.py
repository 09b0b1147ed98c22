"""Dice of live learning after rounds of simulated corrections, beside a random forest and napari-convpaint."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]

PEERS = ("random_forest", "convpaint")
GOALS = (0.85, 0.90)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack",
        type=Path,
        required=True,
        help="folder with images/, masks/ and classes.json, or its name in PROMPTSEG_DATA (default: ../shared/data)",
    )
    parser.add_argument("--rounds", default="0,1,2,3,5,10", help="rounds to report (default: 0,1,2,3,5,10)")
    parser.add_argument("--images", type=int, default=0, help="so many, evenly spread; 0 for all (default)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulated user (default: 0)")
    parser.add_argument("--per-class", type=int, default=20, help="points per class and round (default: 20)")
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--quality", default="fine", choices=("fast", "fine"), help="of the encoding (default: fine)")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS, help="default: both")
    parser.add_argument("--words", action=argparse.BooleanOptionalAction, default=True, help="the class names as prior")
    parser.add_argument(
        "--minutes", type=float, help="begin no image after so many; the report says how many were done"
    )
    parser.add_argument("--per-image", action="store_true", help="also list every image's figures")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Correct every image of the pack for so many rounds, with the same pixels for every method."""
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.evaluation.packs import IGNORED, DataPack
    from napari_promptseg.segmentation.refinement import make_refiner

    rounds = sorted({int(r) for r in args.rounds.split(",")})
    pack = DataPack.from_folder(folder_of(args.pack))
    pairs: list[Any] = []
    empty: list[Any] = []
    for pair in pack.pairs:
        mask = pack.load(pair)[1]
        (pairs if np.any((mask > 0) & (mask != IGNORED)) else empty).append(pair)
    chosen = [pairs[i] for i in spread(len(pairs), args.images)]
    segmenter = Segmenter(load_encoder(args.model, device="cpu"))
    tally: dict[str, dict[str, list[float]]] = {str(r): {} for r in rounds}
    goals: dict[float, list[int | None]] = {g: [] for g in GOALS}
    reasons: dict[str, str] = {}
    encode_s: list[float] = []
    per_image: list[dict[str, Any]] = []
    end = time.monotonic() + 60 * args.minutes if args.minutes else float("inf")
    # in an order that does not favour the pack's beginning, should the time run out
    order = np.random.default_rng(args.seed).permutation(len(chosen)).tolist() if args.minutes else range(len(chosen))
    for number in order:
        if per_image and time.monotonic() > end:
            break
        pair = chosen[number]
        stack, truth = pack.load(pair)
        start = time.perf_counter()
        features = segmenter.set_image(stack, quality=args.quality)
        encode_s.append(time.perf_counter() - start)
        picture = stack.picture()
        case = Case(
            truth=truth,
            picture=picture,
            features=features,
            refiner=make_refiner(picture, live_refinement()),
            prior=word_logits(segmenter, pack.prompts(), truth) if args.words else None,
            peers=available(args.peers, picture, args.seed, reasons),
            seed=(args.seed, number),
        )
        found = case.play(rounds, args.per_class)
        per_image.append({"image": pair.name, **{str(r): found[r] for r in rounds}})
        for r in rounds:
            for key, value in found[r].items():
                tally[str(r)].setdefault(key, []).append(value)
        for goal in GOALS:
            goals[goal].append(next((r for r in sorted(found) if found[r]["dice"] >= goal), None))
    result: dict[str, Any] = {
        "pack": args.pack.name,
        "images": len(per_image),
        "images_wanted": len(chosen),
        "left_out": {"images": len(empty), "why": "nothing but background in the mask"},
        "seed": args.seed,
        "points_per_class_and_round": args.per_class,
        "model": args.model,
        "quality": args.quality,
        "words": bool(args.words),
        "encode_seconds_median": statistics.median(encode_s),
        "rounds": {r: summary(figures) for r, figures in tally.items()},
        "peers": {name: version_of(name) for name in args.peers},
        "unavailable": reasons,
    }
    for goal in GOALS:
        reached = [n for n in goals[goal] if n is not None]
        key = f"rounds_to_{int(goal * 100):03d}"
        result[key] = {
            "reached_share": len(reached) / len(per_image),
            "mean_of_reached": statistics.fmean(reached) if reached else None,
        }
    if args.per_image:
        result["per_image"] = per_image
    return result


class Case:
    """One image, its user and the methods that learn from the same pixels."""

    def __init__(
        self,
        truth: Labels,
        picture: npt.NDArray[np.uint8],
        features: Any,
        refiner: Any,
        prior: Any,
        peers: dict[str, Any],
        seed: tuple[int, ...],
    ) -> None:
        from napari_promptseg.evaluation.simulated_user import SimulatedUser

        self.truth, self.picture, self.features, self.refiner = truth, picture, features, refiner
        self.user = SimulatedUser(truth, seed)
        self.values = tuple(sorted({0, *self.user.values}))
        self.prior, self.peers = prior, peers

    def play(self, rounds: list[int], per_class: int) -> dict[int, dict[str, float]]:
        """Figures after every round up to the last one wanted; peers only where wanted."""
        from napari_promptseg.learning.corrections import Corrections
        from napari_promptseg.learning.live import LiveLearner

        corrections, learner = Corrections(), LiveLearner()
        found: dict[int, dict[str, float]] = {}
        prediction: Labels | None = None
        for number in range(max(rounds) + 1):
            if number:
                corrections = corrections.with_added(self.user.points(prediction, per_class=per_class))
            start = time.perf_counter()
            learned = learner.fit(self.features, corrections, self.values, self.prior)
            labels = learned.label_map(self.features, self.refiner, corrections, prior=self.prior).labels
            seconds = time.perf_counter() - start
            found[number] = {"dice": mean_dice(labels, self.truth), "seconds": seconds}
            if number:
                prediction = labels
            if number in rounds and number:
                painted = corrections.painted(0, (self.truth.shape[0], self.truth.shape[1]))
                for name, peer in self.peers.items():
                    start = time.perf_counter()
                    guess = peer.segment(painted)
                    found[number][f"{name}_seconds"] = time.perf_counter() - start
                    found[number][name] = mean_dice(guess, self.truth)
        return found


def folder_of(pack: Path) -> Path:
    """The folder itself, or the one of that name among the packs."""
    if pack.is_dir() or len(pack.parts) > 1:
        return pack
    checkout = Path(__file__).resolve().parents[1]
    return Path(os.environ.get("PROMPTSEG_DATA", checkout.parent / "shared" / "data")) / pack


def live_refinement() -> Any:
    """Refinement settings of live learning."""
    from napari_promptseg.segmentation.live_heads import LIVE_EDGES

    return LIVE_EDGES


def word_logits(segmenter: Any, prompts: Any, truth: Labels) -> Any:
    """``(C, h, w)`` log-probabilities of the words of the classes in the truth, background first."""
    present = {int(v) for v in np.unique(truth)}
    for c in prompts.classes:
        if c.value not in present:
            prompts = prompts.without(c.value)
    return segmenter.coarse_probabilities(prompts).clamp_min(1e-4).log()


def available(names: list[str], picture: npt.NDArray[np.uint8], seed: int, reasons: dict[str, str]) -> dict[str, Any]:
    """The peers that can be made here; for others the reason is noted and they are not tried again."""
    from napari_promptseg.errors import ModelError
    from napari_promptseg.evaluation.baselines import Convpaint, RandomForest

    found: dict[str, Any] = {}
    for name in names:
        if name in reasons:
            continue
        try:
            found[name] = RandomForest(picture, seed=seed) if name == "random_forest" else Convpaint(picture)
        except ModelError as error:
            reasons[name] = str(error)
            print(f"Without {name}, whose figures will be null: {error}", file=sys.stderr)
    return found


def version_of(peer: str) -> str | None:
    """What a peer is here; None where it is not installed."""
    package, kind = {
        "random_forest": ("scikit-learn", "multiscale_basic_features, 100 trees"),
        "convpaint": ("napari-convpaint", "features 'gaussian', which need no download"),
    }[peer]
    try:
        return f"{package} {version(package)}, {kind}"
    except PackageNotFoundError:
        return None


def mean_dice(labels: Labels, truth: Labels) -> float:
    """Dice averaged over the foreground classes in the truth; ignored pixels count for nothing."""
    from napari_promptseg.evaluation.packs import IGNORED

    counted = truth != IGNORED
    scores = []
    for value in np.unique(truth[counted]).tolist():
        if value == 0:
            continue
        here, there = (labels == value) & counted, truth == value
        scores.append(2 * np.count_nonzero(here & there) / (np.count_nonzero(here) + np.count_nonzero(there)))
    return float(np.mean(scores))


def summary(figures: dict[str, list[float]]) -> dict[str, Any]:
    """Means of scores and medians of times; a peer without figures is null."""
    out: dict[str, Any] = {"dice": None, "random_forest": None, "convpaint": None, "seconds": None}
    for key, values in figures.items():
        out[key] = statistics.median(values) if key.endswith("seconds") else statistics.fmean(values)
    return out


def spread(n: int, limit: int) -> list[int]:
    """Evenly spread places; all of them for 0."""
    if limit <= 0 or limit >= n:
        return list(range(n))
    return [int((i + 0.5) * n / limit) for i in range(limit)]
