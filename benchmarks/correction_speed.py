"""From the end of a stroke to the new mask, as the dock makes it, and as a ratio to the encoder's own forward pass.

Each round paints one brush stroke per class, background among them, where the mask before was wrong; then the mask is
made by what the dock's worker calls. With ``--window`` the dock itself is timed too, in a napari window: from the
painted pixels until the layer shows the new mask.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.speed import bare_forward, photograph, seconds

Labels = npt.NDArray[Any]

WORDS = ("astronaut", "flag", "rocket", "helmet", "hair", "face", "hand", "wall", "badge", "collar")

#: Brush of the strokes, in pixels at 1024: radius, and length of the drag.
RADIUS, LENGTH = 8, 90


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="embedded", help="as the command line's --model (default: embedded)")
    parser.add_argument("--size", type=int, default=1024, help="side of the picture in pixels (default: 1024)")
    parser.add_argument("--classes", type=int, default=3, help=f"how many classes, at most {len(WORDS)} (default: 3)")
    parser.add_argument("--rounds", type=int, default=10, help="of strokes (default: 10)")
    parser.add_argument("--repeats", type=int, default=3, help="how often all rounds are played (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the strokes (default: 0)")
    parser.add_argument("--window", action="store_true", help="also time the dock in a napari window; needs a display")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from napari_promptseg import load_encoder

    encoder = load_encoder(args.model, device="cpu")
    picture = photograph(args.size)
    forward = bare_forward(encoder, picture)
    forward()
    series: dict[int, list[float]] = {n: [] for n in range(1, args.rounds + 1)}
    forwards: list[float] = []
    busy: list[float] = []
    for turn in range(args.repeats):
        for number, (took, worked) in enumerate(worker_rounds(encoder, picture, args, args.seed + turn), start=1):
            series[number].append(took)
            busy.append(worked)
            forwards.append(seconds(forward))
    result: dict[str, Any] = {
        "size": args.size,
        "classes": args.classes,
        "model": args.model,
        "seed": args.seed,
        "repeats": args.repeats,
        "forward_milliseconds": _figures(forwards),
        **_summary(series, forwards),
        # of all threads together: on a busy machine it says more than the clock
        "processor_milliseconds": _figures(busy),
        "goal_milliseconds": 200,
    }
    if args.window:
        result["window"] = window_rounds(picture, args)
    return result


def worker_rounds(
    encoder: Any, picture: npt.NDArray[np.uint8], args: argparse.Namespace, seed: int
) -> Iterator[tuple[float, float]]:
    """Seconds of each round in the worker, from the strokes to the label map: by the clock, and of the processor."""
    from napari_promptseg import PromptSet
    from napari_promptseg.gui.engine import Engine, ModelChoice, Request
    from napari_promptseg.gui.layers import PlaneSource, View
    from napari_promptseg.gui.live_masks import Lesson, LiveMasks
    from napari_promptseg.learning.corrections import Corrections
    from napari_promptseg.progress import silent
    from napari_promptseg.segmentation.segmenter import Segmenter

    engine = Engine(lambda spec, device: encoder, Segmenter, list)
    source = PlaneSource("benchmark", picture, (), View(), True, ("benchmark",), (1.0, 1.0))
    request = Request(ModelChoice(args.model), source, PromptSet.from_text(", ".join(WORDS[: args.classes])))
    engine.run(request, silent)
    painter = Painter(regions(picture, args.classes + 1), seed)
    masks, corrections = LiveMasks(), Corrections()
    labels: Labels | None = None
    for _ in range(args.rounds):
        corrections = corrections.with_added(painter.strokes(labels))
        learner = partial(masks.make, lesson=Lesson(corrections, "benchmark", 0))
        asked = Request(request.model, source, request.prompts, learner=learner)
        start, worked = time.perf_counter(), time.process_time()
        labels = engine.run(asked, silent).label_map.labels
        yield time.perf_counter() - start, time.process_time() - worked


def window_rounds(picture: npt.NDArray[np.uint8], args: argparse.Namespace) -> dict[str, Any]:
    """The same in the dock: from the painted pixels until the layer has the new mask, one stroke at a time."""
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_promptseg.gui.dock import PromptSegmentationWidget
    from napari_promptseg.gui.session import Session

    with tempfile.TemporaryDirectory() as folder:
        viewer = napari.Viewer(show=True)
        application = QApplication.instance()
        widget = PromptSegmentationWidget(viewer, Session(viewer, strokes_folder=Path(folder)))
        session = widget.session
        viewer.window.add_dock_widget(widget, name="Prompt segmentation")

        def wait() -> None:
            end = time.perf_counter() + 300
            calm = 0
            while calm < 3:  # a job may be followed by another
                application.processEvents()
                time.sleep(0.001)
                calm = calm + 1 if session.workbench.is_idle else 0
                if time.perf_counter() > end:
                    raise RuntimeError("The dock did not finish in time.")

        viewer.add_image(picture, rgb=True)
        session.add_classes(", ".join(WORDS[: args.classes]))
        wait()
        session.segment()
        wait()
        painter = Painter(regions(picture, args.classes + 1), args.seed)
        series: dict[int, list[float]] = {n: [] for n in range(1, args.rounds + 1)}
        for took in series.values():
            layer: Any = session.result_layer
            for stroke in painter.strokes(np.asarray(layer.data)):
                start = time.perf_counter()
                layer.data_setitem(stroke.pixels, stroke.value)
                session.corrector.look()
                shown = session.label_map
                session.follow()
                while not session.workbench.is_idle or session.label_map is shown:
                    application.processEvents()
                    time.sleep(0.001)  # as an event loop waits
                took.append(time.perf_counter() - start)
                wait()
        widget.let_go()
        viewer.close()
    return _summary(series, None)


class Painter:
    """Paints short brush strokes, one per class, where a mask differs from the truth.

    Parameters
    ----------
    truth : numpy.ndarray
        ``(Y, X)``.
    seed : int
    """

    def __init__(self, truth: Labels, seed: int) -> None:
        self.truth = truth
        self._rng = np.random.default_rng(seed)

    def strokes(self, labels: Labels | None) -> list[Any]:
        """One stroke per class; where nothing is wrong, somewhere in the class."""
        from napari_promptseg.learning.corrections import Stroke

        made = []
        scale = max(self.truth.shape) / 1024
        rows, columns = np.indices(self.truth.shape, sparse=True)
        for value in np.unique(self.truth).tolist():
            region = self.truth == value
            wrong = region if labels is None else region & (labels != value)
            places = np.flatnonzero(wrong if wrong.any() else region)
            y, x = divmod(int(self._rng.choice(places)), int(self.truth.shape[1]))
            angle = self._rng.uniform(0, np.pi)
            brush = np.zeros_like(region)
            for step in np.arange(0, LENGTH * scale, max(1.0, RADIUS * scale / 2)):
                dy, dx = rows - (y + step * np.sin(angle)), columns - (x + step * np.cos(angle))
                brush |= dy * dy + dx * dx <= (RADIUS * scale) ** 2
            made.append(Stroke.from_mask(brush & region, value))
        return made


def regions(picture: npt.NDArray[np.uint8], number: int) -> Labels:
    """A truth to paint by: bands of blurred brightness, equally large. ``(Y, X)`` from 0 to ``number - 1``."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(picture.mean(axis=-1), max(picture.shape) / 40)
    bands: Labels = np.searchsorted(np.quantile(smooth, np.arange(1, number) / number), smooth).astype(np.int64)
    return bands


def _summary(series: dict[int, list[float]], forwards: list[float] | None) -> dict[str, Any]:
    every = [t for times in series.values() for t in times]
    out: dict[str, Any] = {
        "milliseconds": _figures(every),
        "rounds": {str(n): _figures(times) for n, times in series.items()},
    }
    if forwards:
        out["ratio_to_forward"] = {
            "median": round(statistics.median(every) / statistics.median(forwards), 3),
            "best": round(min(every) / min(forwards), 3),
        }
    return out


def _figures(times: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times) * 1e3, 2), "best": round(min(times) * 1e3, 2)}
