"""Time of prompt tuning on one picture: 50 steps, 3 classes and background, 1024 x 1024."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.speed import photograph

#: Seconds that a tuning may take on two cores and on a GPU.
GOALS = {"cpu": 10.0, "cuda": 5.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps (default: cpu)")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels (default: 1024)")
    parser.add_argument("--classes", type=int, default=3, help="classes painted, beside background (default: 3)")
    parser.add_argument("--steps", type=int, default=50, help="steps of the optimiser (default: 50)")
    parser.add_argument("--repeats", type=int, default=5, help="tunings timed; the best counts (default: 5)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Encode once, paint, tune again and again; a fixed product in between says how busy the machine is."""
    from napari_promptseg import PromptSet, load_encoder
    from napari_promptseg.learning.prompt_tuning import tune_prompts
    from napari_promptseg.learning.tuning_data import TuningSample
    from napari_promptseg.learning.tuning_options import TuningOptions

    encoder = load_encoder(args.model, device=args.device)
    start = time.perf_counter()
    features = encoder.encode_plane(photograph(args.size), quality="fast")
    _ = features.detail
    encoded = time.perf_counter() - start
    sample = TuningSample.from_labels(features, painted(args.size, args.classes))
    prompts = PromptSet.from_text(", ".join(f"thing {i + 1}" for i in range(args.classes)))
    options = TuningOptions(steps=args.steps)
    seconds, reference = [], []
    for _turn in range(args.repeats):
        reference.append(reference_product())
        result = tune_prompts(encoder, prompts, [sample], options=options)
        seconds.append(result.seconds)
    kind = str(encoder.device).split(":")[0]
    return {
        "model": args.model,
        "device": str(encoder.device),
        "size": args.size,
        "classes": args.classes,
        "steps": args.steps,
        "painted_pixels": len(sample.values),
        "encode_seconds": encoded,
        "tuning_seconds": {"best": min(seconds), "median": statistics.median(seconds)},
        "milliseconds_per_step": 1000 * min(seconds) / args.steps,
        "reference_product_ms": {"best": min(reference), "median": statistics.median(reference)},
        "goal_seconds": GOALS.get(kind),
    }


def painted(size: int, classes: int) -> Any:
    """``(Y, X)`` sparse labels: for each class and background eight blots of a twentieth of the side, 255 elsewhere."""
    labels = np.full((size, size), 255, np.int64)
    rng = np.random.default_rng(0)
    side = max(1, size // 20)
    places = rng.choice((size // side) ** 2, 8 * (classes + 1), replace=False)
    for i, place in enumerate(places.tolist()):
        row, column = divmod(place, size // side)
        labels[row * side : (row + 1) * side, column * side : (column + 1) * side] = i % (classes + 1)
    return labels


def reference_product(side: int = 1024) -> float:
    """Milliseconds of one product of two matrices on the CPU."""
    import torch

    a = torch.ones(side, side)
    start = time.perf_counter()
    _ = a @ a
    return 1000 * (time.perf_counter() - start)
