"""Words for number, size, shape and place of a pack's regions against truth by other formulae; kind of picture."""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._attribute_truth import words_of

#: What kind of pictures a pack holds, by the beginning of its folder's name.
KINDS = {
    "kvasir": "endoscopy",
    "busi": "ultrasound",
    "isic": "dermoscopy",
    "dsb2018": "microscopy",
    "coco": "natural",
    "camvid": "natural",
    "rgbt": "natural",
    "naip": "aerial",
}
ATTRIBUTES = ("number", "size", "shape", "location")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", type=Path, required=True, help="folder with images/, masks/ and classes.json")
    parser.add_argument("--images", type=int, default=0, help="so many, evenly spread; 0 for all (default)")
    parser.add_argument("--instances", type=int, default=5, help="of each image, where the pack has them (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of instances and of the second drawing")
    parser.add_argument("--model", default="none", help="also rank names and guess the kind with it (default: none)")
    parser.add_argument("--kind", help="kind of the pack's pictures (default: by its name)")
    parser.add_argument("--wrong", action="store_true", help="also list every region with a wrong word")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare the words of every region with the truth, and with those of a second drawing."""
    from napari_promptseg.concepts.measured import measure_concept
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.evaluation.redrawing import redrawn

    pack = DataPack.from_folder(args.pack)
    rng = np.random.default_rng(args.seed)
    judged: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    again: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    wrong, seconds, regions = [], [], 0
    for pair, stack, mask in chosen(pack, args.images):
        for label, region in regions_of(args.pack, pair, mask, args.instances, rng):
            start = time.perf_counter()
            concept = measure_concept(stack, region)
            seconds.append(time.perf_counter() - start)
            truth = words_of(region)
            regions += 1
            second = measure_concept(stack, redrawn(region, rng)) if region.dtype == np.bool_ else None
            for kind in ATTRIBUTES:
                found = concept.attribute(kind)
                word = found.word if found is not None else ""
                sure = found is not None and found.enabled
                judged[kind].append((word == truth[kind], sure, found.confidence if found else 0.0))
                if word != truth[kind]:
                    said = f"{found.confidence:.2f}" if found else ""
                    wrong.append({"region": f"{pair.name}{label}", "word": word, "truth": truth[kind], "said": said})
                other = second.attribute(kind) if second is not None else None
                if found is not None and other is not None:
                    again[kind].append((found.confidence, found.word == other.word))
    result: dict[str, Any] = {
        "pack": args.pack.name,
        "seed": args.seed,
        "regions": regions,
        "attributes": {kind: summary(rows, again[kind]) for kind, rows in judged.items()},
        "milliseconds": {"median": 1000 * statistics.median(seconds), "best": 1000 * min(seconds)},
    }
    if args.model != "none":
        result["scored"] = scored(args, pack)
    if args.wrong:
        result["wrong"] = wrong
    return result


def chosen(pack: Any, limit: int) -> Iterator[tuple[Any, Any, npt.NDArray[Any]]]:
    """Images with something marked: the pair, the picture and the mask."""
    from benchmarks.interaction import spread

    for i in spread(len(pack), limit):
        pair = pack.pairs[i]
        stack, mask = pack.load(pair)
        if ((mask > 0) & (mask != 255)).any():
            yield pair, stack, mask


def regions_of(
    folder: Path, pair: Any, mask: npt.NDArray[Any], instances: int, rng: np.random.Generator
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Regions of one image: each class as a whole; where there are instances all of them together, and a few alone."""
    from napari_promptseg.evaluation.packs import read_mask

    file = folder / "instances" / pair.mask.name
    if not file.is_file():
        for value in np.unique(mask):
            if value not in (0, 255) and np.count_nonzero(mask == value) >= 4 and not (mask == value).all():
                yield f"/{value}", mask == value
        return
    labels = read_mask(file)
    yield "/all", labels
    values = np.unique(labels[labels > 0])
    for value in rng.choice(values, min(instances, len(values)), replace=False):
        if np.count_nonzero(labels == value) >= 4:
            yield f"/{value}", labels == value


def summary(rows: list[tuple[bool, bool, float]], again: list[tuple[float, bool]]) -> dict[str, Any]:
    """Shares of right words: of all, of those that are in the sentence; and how true the confidences are."""
    right, sure, confidence = np.array(rows, float).T
    out: dict[str, Any] = {
        "n": len(rows),
        "right": float(right.mean()),
        "in_sentence": float(sure.mean()),
        "right_in_sentence": float(right[sure > 0].mean()) if sure.any() else None,
        "confidence": float(confidence.mean()),
    }
    if again:
        said, same = np.array(again, float).T
        out["second_drawing"] = {"n": len(again), "confidence": float(said.mean()), "same_word": float(same.mean())}
    return out


def scored(args: argparse.Namespace, pack: Any) -> dict[str, Any]:
    """Kind of picture and, where the class names are in the vocabulary, names; with what was left open."""
    from napari_promptseg.concepts.description import describe_region
    from napari_promptseg.concepts.vocabulary import shipped_vocabularies
    from napari_promptseg.encoders.loading import load_encoder

    kind = args.kind or next((k for begin, k in KINDS.items() if args.pack.name.startswith(begin)), None)
    encoder = load_encoder(args.model, device="cpu")
    guesses: Counter[str] = Counter()
    names: list[tuple[bool, bool, float]] = []
    seconds = []
    offered = {n.casefold() for n in shipped_vocabularies()[kind].names} if kind in shipped_vocabularies() else set()
    for _, stack, mask in chosen(pack, args.images):
        features = encoder.encode_plane(stack.picture())
        for value in np.unique(mask):
            region = mask == value
            if value in (0, 255) or np.count_nonzero(region) < 4 or region.all():
                continue
            concept = describe_region(stack, region, encoder=encoder, features=features)
            guesses[concept.image_kind or "left open"] += 1
            name = pack.classes[int(value)].split("|")[0].strip().casefold()
            start = time.perf_counter()
            concept = describe_region(stack, region, encoder=encoder, features=features, image_kind=kind)
            seconds.append(time.perf_counter() - start)
            if name in offered and concept.candidates:
                ranked = [c.name.casefold() for c in concept.candidates]
                names.append((ranked[0] == name, name in ranked, concept.candidates[0].confidence))
    total, open_ = sum(guesses.values()), guesses["left open"]
    return {
        "model": args.model,
        "kind": kind,
        "guesses": dict(guesses.most_common()),
        "kind_right": guesses[kind or ""] / total,
        "kind_right_of_guessed": guesses[kind or ""] / (total - open_) if total > open_ else None,
        "kind_left_open": open_ / total,
        "names": {
            "n": len(names),
            "first": float(np.mean([n[0] for n in names])) if names else None,
            "among_five": float(np.mean([n[1] for n in names])) if names else None,
            "confidence": float(np.mean([n[2] for n in names])) if names else None,
        },
        "describe_milliseconds_after_encoding": {
            "median": 1000 * statistics.median(seconds),
            "best": 1000 * min(seconds),
        },
    }
