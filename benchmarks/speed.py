"""Speed of the way from a picture to its mask, as ratios to the encoder's own forward pass in the same run.

``library`` is the image tower's pass by timm's own layers; ``trunk`` is the same by our own faster ones; ``encode`` is
the whole forward pass of the model, which takes pixels into the joint space. Ratios are given to each of the three.
``first_mask`` includes names never seen before; ``segment_pressed`` is the same where they were embedded as they were
typed, which is what the dock does.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

#: Names asked for; each round replaces them by others, so that no embedding is remembered from the round before.
_WORDS = """
cat dog horse cow sheep bird car bus truck bicycle boat train chair sofa table bed lamp book
bottle cup fork knife bowl banana apple orange carrot cake clock vase umbrella bag shoe hat shirt door
window curtain mirror screen keyboard mouse phone oven sink fridge toaster statue fountain bench fence
bridge tower church castle
"""
WORDS = tuple(_WORDS.split())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels (default: 1024)")
    parser.add_argument("--classes", type=int, default=10, help="how many classes (default: 10)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; the median is reported (default: 7)")
    parser.add_argument("--refinement", default="guided", help="none, guided, superpixels or pamr")
    parser.add_argument("--large", type=int, default=0, metavar="SIDE", help="also a plane of SIDE x SIDE, in tiles")
    parser.add_argument("--large-only", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.large_only:
        return large_plane(args.model, args.large, args.classes)
    result = {"import_seconds": import_seconds(), **picture_to_mask(args)}
    if args.large:
        # a process of its own, so that its peak is its own
        words = ["speed", "--large-only", "--large", str(args.large), "--model", args.model]
        words += ["--classes", str(args.classes), "--threads", str(args.threads)]
        done = subprocess.run([sys.executable, "-m", "benchmarks", *words], check=True, capture_output=True, text=True)
        result["large"] = json.loads(done.stdout)["large"]
    return result


def picture_to_mask(args: argparse.Namespace) -> dict[str, Any]:
    """Time forward pass, first mask and renamed class in turns, so that a busy moment hits all of them."""
    from napari_promptseg import ImageStack, PromptSet, Segmenter, load_encoder
    from napari_promptseg.prompts.embedding import embed_prompts
    from napari_promptseg.segmentation.background import with_fitting_background
    from napari_promptseg.segmentation.settings import SegmentationSettings

    encoder = load_encoder(args.model, device="cpu")
    settings = SegmentationSettings(refinement=args.refinement)
    picture = photograph(args.size)
    trunk, library = bare_forward(encoder, picture), library_forward(encoder, picture)
    words = itertools.cycle(WORDS)
    measured = ("library", "trunk", "encode", "first_mask", "segment_pressed", "renamed", "threshold")
    series: dict[str, list[float]] = {name: [] for name in measured}
    for turn in range(args.repeats + 1):
        asked = PromptSet.from_text(", ".join(f"{next(words)} {turn}" for _ in range(args.classes)))
        segmenter = Segmenter(encoder, settings=settings)
        stack = ImageStack.from_array(picture)

        def first(segmenter: Segmenter = segmenter, stack: ImageStack = stack, asked: PromptSet = asked) -> None:
            segmenter.set_image(stack)
            segmenter.segment(asked)

        typed = PromptSet.from_text(", ".join(f"{next(words)} {turn}" for _ in range(args.classes)))
        embed_prompts(encoder, with_fitting_background(typed, encoder))

        def pressed(stack: ImageStack = stack, typed: PromptSet = typed) -> None:
            other = Segmenter(encoder, settings=settings)
            other.set_image(stack)
            other.segment(typed)

        renamed = asked.with_replaced(1, name=f"{next(words)} {turn}")
        moved = renamed.with_replaced(2, threshold=0.3)
        times = {
            "library": seconds(library),
            "trunk": seconds(trunk),
            "encode": seconds(lambda: encoder.encode_plane(picture, quality="fast")),
            "first_mask": seconds(first),
            "segment_pressed": seconds(pressed),
            "renamed": seconds(lambda s=segmenter, p=renamed: s.segment(p)),
            "threshold": seconds(lambda s=segmenter, p=moved: s.segment(p)),
        }
        if turn:  # the first round warms up
            for name, value in times.items():
                series[name].append(value)
    return {
        "size": args.size,
        "classes": args.classes,
        "model": args.model,
        "refinement": args.refinement,
        "milliseconds": {k: {"median": _ms(statistics.median(v)), "best": _ms(min(v))} for k, v in series.items()},
        "ratio_to_library": ratios(series, "library"),
        "ratio_to_encode": ratios(series, "encode"),
        "ratio_to_trunk": ratios(series, "trunk"),
        "goals": {"first_mask": 1.5, "renamed": 0.25},
    }


def ratios(series: dict[str, list[float]], to: str) -> dict[str, dict[str, float]]:
    """Of every series to one of them: the median of the ratios within a round, and best to best."""
    return {
        name: {
            "median": round(statistics.median(a / b for a, b in zip(times, series[to], strict=True)), 3),
            "best": round(min(times) / min(series[to]), 3),
        }
        for name, times in series.items()
        if name != to
    }


def bare_forward(encoder: Any, picture: npt.NDArray[np.uint8]) -> Callable[[], object]:
    """The image tower's pass alone where the encoder offers it, else the whole of `encode_plane`."""
    alone = getattr(encoder, "forward_once", None)
    if alone is not None:
        return lambda: alone(picture)
    return lambda: encoder.encode_plane(picture, quality="fast")


def library_forward(encoder: Any, picture: npt.NDArray[np.uint8]) -> Callable[[], object]:
    """The image tower's pass by the library's own layers where ours are others, else as `bare_forward`."""
    own = getattr(encoder, "library_pass", None)
    if own is None:
        return bare_forward(encoder, picture)
    forward = own()
    return lambda: forward(picture)


def large_plane(model: str, side: int, classes: int) -> dict[str, Any]:
    """Segment a plane that is made as it is read, and report the peak of this process."""
    from napari_promptseg import ImageStack, Modality, PromptSet, Segmenter, load_encoder

    encoder = load_encoder(model, device="cpu")
    before = peak_megabytes()
    segmenter = Segmenter(encoder)
    start = time.perf_counter()
    segmenter.set_image(ImageStack((Modality("large", RepeatedPicture(photograph(512), side), channels=True),)))
    encoded = time.perf_counter()
    segmenter.segment(PromptSet.from_text(", ".join(WORDS[:classes])))
    done = time.perf_counter()
    label_map = segmenter.segment(PromptSet.from_text(", ".join(WORDS[1 : classes + 1])))
    rescored = time.perf_counter()
    return {
        "large": {
            "side": side,
            "peak_mb": peak_megabytes(),
            "peak_mb_before": before,
            "label_map_mb": round(sum(a.nbytes for a in vars(label_map).values() if hasattr(a, "nbytes")) / 1e6),
            "picture_mb_if_loaded": round(side * side * 3 / 1e6),
            "encode_seconds": round(encoded - start, 2),
            "segment_seconds": round(done - encoded, 2),
            "renamed_seconds": round(rescored - done, 2),
        }
    }


class RepeatedPicture:
    """A ``(side, side, 3)`` picture that exists only where it is read: a smaller one, repeated."""

    def __init__(self, tile: npt.NDArray[np.uint8], side: int) -> None:
        self._tile = tile
        self.shape = (side, side, 3)
        self.dtype = tile.dtype
        self.ndim = 3

    def __getitem__(self, at: Any) -> npt.NDArray[np.uint8]:
        """Rows and columns by slices; a further index is applied to what they give."""
        rows, columns, *rest = at if isinstance(at, tuple) else (at, slice(None))
        y, x = (np.arange(self.shape[axis])[part] for axis, part in enumerate((rows, columns)))
        part: npt.NDArray[np.uint8] = self._tile[np.ix_(y % self._tile.shape[0], x % self._tile.shape[1])]
        return part[(slice(None), slice(None), *rest)] if rest else part


def photograph(side: int) -> npt.NDArray[np.uint8]:
    """scikit-image's public domain portrait at any size: ``(side, side, 3)`` uint8."""
    import torch
    from skimage.data import astronaut

    pixels = torch.as_tensor(astronaut().copy()).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(pixels, size=(side, side), mode="bicubic", antialias=True)
    made: npt.NDArray[np.uint8] = resized[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(made)


def import_seconds(rounds: int = 5) -> float:
    """Best time of ``import napari_promptseg`` in a fresh interpreter, without the interpreter's own start."""
    code = "import time; t = time.perf_counter(); import napari_promptseg; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(rounds)
    ]
    return round(min(float(r.stdout) for r in runs), 4)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_megabytes() -> float | None:
    """Highest resident memory of this process so far, in 10^6 bytes; None on Windows, which has no such counter."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def _ms(value: float) -> float:
    return round(value * 1e3, 2)
