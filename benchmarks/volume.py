"""A volume from its file to the full mask, as a ratio to the encoder's bare forward passes; its memory; corrections.

``library`` is the image tower's pass over every plane by timm's own layers, one after the other with all threads: what
anyone has who encodes the planes with the library and does nothing else. ``bare`` is the same by our own faster layers
(`forward_once`), as `speed` has it for one picture. Times of processors stand beside those of the clock, since a busy
machine lengthens the latter. Each measurement runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: What the names of classes are taken from.
WORDS = "brain, grey matter, white matter, skull, ventricle, eye, cerebellum, skin, bone, fat"

PARTS = ("mask", "memory", "correction")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--shape", default="128,256,256", help="planes, rows, columns (default: 128,256,256)")
    parser.add_argument("--classes", type=int, default=4, help="how many classes (default: 4)")
    parser.add_argument("--axes", default="axial", help="parted by commas; of several the mean (default: axial)")
    parser.add_argument("--repeats", type=int, default=9, help="corrections of a plane; the median counts (default: 9)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"parted by commas (default: {','.join(PARTS)})")
    parser.add_argument("--inner", choices=PARTS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.inner:
        measured = {"mask": open_to_mask, "memory": peak_memory, "correction": correction}[args.inner]
        return {args.inner: measured(args)}
    found: dict[str, Any] = {"shape": args.shape, "classes": args.classes, "axes": args.axes, "model": args.model}
    for part in args.parts.split(","):
        words = ["volume", "--inner", part, "--shape", args.shape, "--classes", str(args.classes), "--axes", args.axes]
        words += ["--model", args.model, "--repeats", str(args.repeats), "--threads", str(args.threads)]
        done = subprocess.run([sys.executable, "-m", "benchmarks", *words], check=True, capture_output=True, text=True)
        found[part] = json.loads(done.stdout)[part]
        print(json.dumps({part: found[part]}), file=sys.stderr, flush=True)
    return {**found, "goals": {"ratio": 1.3, "peak_mb": 3000, "visible_plane_ms": 300}}


def open_to_mask(args: argparse.Namespace) -> dict[str, Any]:
    """Passes of the image tower, the volume, and the passes again, so that a machine that grows busy meets both."""
    from napari_promptseg import load_encoder

    encoder: Any = load_encoder(args.model, device="cpu")
    shape = shape_of(args)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), shape)
        pictures = planes_of(path, args.axes.split(","))
        segment(encoder, path, args, planes=range(2))  # warms up, and embeds the words

        by_library = encoder.library_pass()

        def library() -> None:
            for picture in pictures:
                by_library(picture)

        def bare() -> None:
            for picture in pictures:
                encoder.forward_once(picture)

        passes = {"library": library, "bare": bare}
        found = {name: timed(work) for name, work in passes.items()}
        found["open_to_mask"] = timed(lambda: segment(encoder, path, args))
        for name, (wall, cpu) in {name: timed(work) for name, work in passes.items()}.items():
            found[name] = ((found[name][0] + wall) / 2, (found[name][1] + cpu) / 2)
    whole = found["open_to_mask"]
    return {
        "planes": len(pictures),
        "seconds": {name: round(wall, 2) for name, (wall, _) in found.items()},
        "processor_seconds": {name: round(cpu, 2) for name, (_, cpu) in found.items()},
        **{f"ratio_to_{name}": round(whole[0] / found[name][0], 3) for name in passes},
        **{f"ratio_to_{name}_processor": round(whole[1] / found[name][1], 3) for name in passes},
    }


def peak_memory(args: argparse.Namespace) -> dict[str, Any]:
    """Peak of a process that opens a volume and segments it, and what it had before with the model loaded."""
    from benchmarks.speed import peak_megabytes
    from napari_promptseg import load_encoder

    encoder = load_encoder(args.model, device="cpu")
    before = peak_megabytes()
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), shape_of(args))
        segment(encoder, path, args)
    peak = peak_megabytes()
    return {
        "peak_mb": peak,
        "with_the_model_mb": before,
        "above_it_mb": None if peak is None or before is None else peak - before,
        "volume_mb": round(np.prod(shape_of(args)) * 2 / 1e6),
    }


def correction(args: argparse.Namespace) -> dict[str, Any]:
    """A stroke to the visible plane's new mask (the live path), then to the whole volume's."""
    from napari_promptseg import PromptSet, Segmenter, load_encoder
    from napari_promptseg.learning.corrections import Corrections, Stroke
    from napari_promptseg.learning.live import LiveLearner
    from napari_promptseg.learning.volume_learner import VolumeLearner
    from napari_promptseg.segmentation.live_heads import with_live_head
    from napari_promptseg.segmentation.volumes.prior import CorrectedPlane
    from napari_promptseg.segmentation.volumes.run import segment_volume

    encoder: Any = load_encoder(args.model, device="cpu")
    stack, truth = made(shape_of(args))
    prompts = PromptSet.from_text(", ".join(WORDS.split(", ")[: args.classes]), image_kind="mr")
    segmenter = Segmenter(encoder)
    planes = [len(truth) // 3, len(truth) // 2]
    given: dict[int, Any] = {}
    for plane in planes:
        given[plane] = segmenter.set_image(stack, plane=plane)
        _ = given[plane].detail
    rng = np.random.default_rng(0)

    def strokes(plane: int, n: int) -> list[Any]:
        found = []
        for value in (0, 1):
            inside = np.flatnonzero(truth[plane] == value)
            for _ in range(n):
                y, x = divmod(int(rng.choice(inside)), truth.shape[2])
                found.append(Stroke.from_mask(np.ones((3, 9), bool), value, plane=plane, offset=(y, x)))
        return [s for s in found if s.fits(truth.shape[1:])]

    corrections = Corrections(tuple(s for plane in planes for s in strokes(plane, 4)))
    words = {p: segmenter.probabilities_of(f, prompts).clamp_min(1e-4).log() for p, f in given.items()}
    values = (0, *(c.value for c in prompts.classes))
    times = []
    for _ in range(args.repeats + 1):
        corrections = corrections.with_added(strokes(planes[-1], 1))

        def visible(known: Corrections = corrections) -> None:
            head = LiveLearner().fit(given, known, values, words)
            taught = with_live_head(prompts, head, encoder.name, edges=True)
            known.impose(segmenter.segment(taught).labels, planes[-1])

        times.append(timed(visible))
    corrected = [CorrectedPlane("axial", p, truth[p]) for p in planes]
    features: Any = {("axial", p): f for p, f in given.items()}
    start = time.perf_counter()
    taught = VolumeLearner().fit(segmenter, stack, prompts, corrected, features=features)
    learned = time.perf_counter() - start
    run = segment_volume(segmenter, stack, taught.prompts, prior=taught.prior, first=planes[-1])
    next(run)
    first = time.perf_counter() - start
    for _ in run:
        pass
    bare = timed(lambda: [encoder.forward_once(stack.picture(z)) for z in range(0, len(truth), 8)])
    return {
        "visible_plane_ms": round(1e3 * statistics.median(t for t, _ in times[1:]), 1),
        "visible_plane_processor_ms": round(1e3 * statistics.median(t for _, t in times[1:]), 1),
        "learning_s": round(learned, 2),
        "first_plane_s": round(first, 2),
        "whole_volume_s": round(time.perf_counter() - start, 2),
        "bare_forward_ms": round(1e3 * bare[0] / len(range(0, len(truth), 8)), 1),
        "corrected_planes": len(planes),
        "strokes": len(corrections),
    }


def segment(encoder: Any, path: Path, args: argparse.Namespace, planes: Any = None) -> None:
    """From the file to labels of all planes, as the command line does."""
    from napari_promptseg import PromptSet, Segmenter, read_image
    from napari_promptseg.segmentation.volumes.planes import axis_of
    from napari_promptseg.segmentation.volumes.run import segment_volume

    stack = read_image(path, kind="mr")
    prompts = PromptSet.from_text(", ".join(WORDS.split(", ")[: args.classes]), image_kind="mr")
    axes = [axis_of(a) for a in args.axes.split(",")]
    for _ in segment_volume(Segmenter(encoder), stack, prompts, axes=axes, planes=planes):
        pass


def made(shape: tuple[int, int, int]) -> tuple[Any, npt.NDArray[np.uint8]]:
    """A head-like volume of ellipsoids with noise, and where the inner one is."""
    from napari_promptseg import ImageStack, Modality

    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    rng = np.random.default_rng(0)
    values = np.zeros(shape, np.float32)
    for radius, grey in ((0.95, 500), (0.85, 150), (0.8, 700), (0.5, 900), (0.2, 200)):
        values[(z / radius) ** 2 + (y / radius) ** 2 + (x * 1.2 / radius) ** 2 < 1] = grey
    values += rng.normal(0, 40, shape).astype(np.float32)
    inner = ((z / 0.5) ** 2 + (y / 0.5) ** 2 + (x * 1.2 / 0.5) ** 2 < 1).astype(np.uint8)
    stack = ImageStack((Modality("made", values.astype(np.int16), kind="mr"),))
    return stack, inner


def written(folder: Path, shape: tuple[int, int, int]) -> Path:
    """The volume in a compressed NIfTI file."""
    import nibabel

    stack, _ = made(shape)
    path = folder / "made.nii.gz"
    nibabel.save(
        nibabel.Nifti1Image(stack.modalities[0].pixels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0])), path
    )
    return path


def planes_of(path: Path, axes: list[str]) -> list[npt.NDArray[np.uint8]]:
    """Pictures of all planes, ready for the encoder."""
    from napari_promptseg import read_image
    from napari_promptseg.segmentation.volumes.planes import axis_of, resliced

    stack = read_image(path, kind="mr")
    cut = [resliced(stack, axis_of(axis)) for axis in axes]
    return [s.picture(plane) for s in cut for plane in range(s.n_planes)]


def shape_of(args: argparse.Namespace) -> tuple[int, int, int]:
    """Of ``--shape``."""
    z, y, x = (int(n) for n in args.shape.split(","))
    return z, y, x


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call by the clock, and of the processors."""
    start, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - spent
