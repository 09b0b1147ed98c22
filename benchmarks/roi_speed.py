"""Time from a finished region to its card, to a new mask, and to what is learned from it, beside a forward pass.

As the dock does it: the picture is encoded and the vocabulary read before anything is drawn. Each round draws another
region. The card is its description with a thumbnail; the mask at once is made of what the region says without any step
of learning; the adaptation ends with its own mask. Beside wall time stands the processor's, over all threads, which
other programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.speed import bare_forward, photograph

#: Seconds on the wall, seconds of the processor.
Took = tuple[float, float]

#: What the tool promises, in milliseconds, at 1024 x 1024 on two cores.
GOALS = {"card": 300, "mask": 1000, "adaptation": 5000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels (default: 1024)")
    parser.add_argument("--rounds", type=int, default=5, help="regions drawn, one after the other (default: 5)")
    parser.add_argument("--quality", default="fast", choices=("fast", "fine"), help="of the encoding (default: fast)")
    parser.add_argument("--seed", type=int, default=0, help="of the regions' places (default: 0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Time every stage for so many regions, with the encoder's bare forward pass in between."""
    from napari_promptseg import Segmenter, load_encoder
    from napari_promptseg.concepts.description import describe_region
    from napari_promptseg.concepts.multimodal.crop import crop_region
    from napari_promptseg.concepts.preparation import prepare_names
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.learning.regions import DrawnRegion, learn_regions
    from napari_promptseg.learning.regions.first_guess import guess_regions
    from napari_promptseg.prompts.prompt_set import PromptSet

    encoder = load_encoder(args.model, device="cpu")
    segmenter = Segmenter(encoder)
    picture = photograph(args.size)
    stack = ImageStack.from_array(picture)
    forward = bare_forward(encoder, picture)
    forward()
    encoding = timed(lambda: segmenter.set_image(stack, quality=args.quality))
    features = segmenter.features
    # what a first card would wait for, had nobody read the names before
    reading = timed(lambda: prepare_names(encoder))
    rng = np.random.default_rng(args.seed)
    series: dict[str, list[Took]] = {name: [] for name in (*GOALS, "describe with the kind given", "forward pass")}
    prompts = PromptSet.from_text("thing")
    for _ in range(args.rounds):
        mask = ellipse(args.size, rng)
        found: list[Any] = []

        def card(mask: npt.NDArray[np.bool_] = mask, found: list[Any] = found) -> None:
            found.append(describe_region(stack, mask, encoder=encoder, features=features))
            crop_region(stack, mask, side=96)

        series["card"].append(timed(card))
        known = partial(describe_region, stack, mask, encoder=encoder, features=features, image_kind="natural")
        series["describe with the kind given"].append(timed(known))
        regions = [DrawnRegion(features, mask, 1, True, found[0].with_name("thing"))]

        def at_once(regions: list[DrawnRegion] = regions) -> None:
            segmenter.segment(guess_regions(segmenter, prompts, regions))

        def adapted(regions: list[DrawnRegion] = regions) -> None:
            segmenter.segment(learn_regions(segmenter, prompts, regions).prompts)

        series["mask"].append(timed(at_once))
        series["adaptation"].append(timed(adapted))
        series["forward pass"].append(timed(forward))
    return {
        "size": args.size,
        "model": args.model,
        "quality": args.quality,
        "regions": args.rounds,
        "seed": args.seed,
        "encoding_ms": _figures([encoding]),
        "vocabulary_ms": _figures([reading]),
        "milliseconds": {name: _figures(times) for name, times in series.items()},
        "forward_passes": {
            name: _best(times) / _best(series["forward pass"]) for name, times in series.items() if name in GOALS
        },
        "goals_ms": GOALS,
        "within_goal": {name: _best(series[name]) <= goal for name, goal in GOALS.items()},
        "within_goal_by_processor": {
            name: 1000 * min(processor for _, processor in series[name]) <= goal for name, goal in GOALS.items()
        },
    }


def timed(work: Callable[[], object]) -> Took:
    """Seconds on the wall and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def ellipse(size: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A region of a tenth to a fourth of the picture's side, anywhere in it."""
    y, x = np.indices((size, size))
    height, width = rng.uniform(0.05, 0.13, 2) * size
    row, column = rng.uniform(0.2, 0.8, 2) * size
    inside: npt.NDArray[np.bool_] = ((y - row) / height) ** 2 + ((x - column) / width) ** 2 < 1
    return inside


def _best(times: list[Took]) -> float:
    return 1000 * min(wall for wall, _ in times)


def _figures(times: list[Took]) -> dict[str, float]:
    """Milliseconds."""
    walls = [wall for wall, _ in times]
    return {
        "best": 1000 * min(walls),
        "median": 1000 * float(np.median(walls)),
        "worst": 1000 * max(walls),
        "processor": 1000 * min(processor for _, processor in times),
    }
