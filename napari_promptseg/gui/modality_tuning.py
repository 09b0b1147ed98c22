"""Tuning for several modalities as the dock does it: in the worker, kept only if held-out labels agree."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.gui.layers import PlaneSource, result_plane, result_shape
from napari_promptseg.gui.live_masks import of_classes
from napari_promptseg.gui.modality_layers import JointSource
from napari_promptseg.gui.work import Job
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.modalities import Modalities
    from napari_promptseg.learning.modalities import ModalityResult, ModalitySample

#: Most planes of a labels layer that are learned from: those with most labelled pixels.
MOST_PLANES = 8

#: Where the labels come from.
Origin = Literal["strokes", "regions", "layer"]

_IGNORED = 255


@dataclass(frozen=True, eq=False)
class Shots:
    """Labelled planes, fixed in the GUI thread.

    Parameters
    ----------
    planes : sequence of (PlaneSource, Corrections or numpy.ndarray, int)
        A plane with all its modalities; strokes, or ``(Y, X)`` labels with 255 for pixels that nobody labelled; and
        the number that the plane has among the strokes'.
    """

    planes: Sequence[tuple[PlaneSource, Corrections | npt.NDArray[Any], int]]

    def samples(self) -> list[ModalitySample]:
        """For the learner; in the worker, since pixels are read."""
        from napari_promptseg.learning.modalities import ModalitySample

        found = []
        for source, said, number in self.planes:
            stack = source.stack()
            if isinstance(said, Corrections):
                # the stack has this plane alone
                found.append(replace(ModalitySample.from_corrections(stack, said, plane=number), plane=0))
            else:
                complete = bool((said != _IGNORED).all())
                found.append(ModalitySample.from_labels(stack, said, complete=complete))
        return found


class ModalityTuning(QObject):
    """Learns to read the modalities together, from strokes, drawn regions or a labels layer.

    Signals
    -------
    changed
        It began or ended; `report` then has the verdict.
    """

    changed = Signal()

    def __init__(self, modalities: Modalities) -> None:
        super().__init__(modalities)
        self.modalities = modalities
        self.session = modalities.session
        self.report = ""
        self.is_running = False
        self.is_stopping = False
        self.settings: Any = None  # the learner's own; a test gives quicker ones
        self._stop = threading.Event()
        self.session.learners.append(self)
        self.session.workbench.cancelled.connect(self._on_cancelled)

    def layers(self) -> list[Labels]:
        """Labels layers with a label for each pixel of the image in hand, those this plugin made left out."""
        image, view = self.session.picture.layer, self.session.picture.view
        if image is None:
            return []
        shape = result_shape(image, view)
        return [
            layer
            for layer in self.session.viewer.layers
            if isinstance(layer, Labels)
            and "napari-promptseg" not in layer.metadata
            and not layer.multiscale
            and tuple(layer.data.shape) == shape
        ]

    def legend(self) -> str:
        """Which label of a labels layer counts as which class, as one sentence."""
        named = [f"{c.value} {c.name}" for c in self.session.prompts.classes]
        some = ", ".join(named[:8]) + (" ..." if len(named) > 8 else "")
        return f"Its labels count as: {some}; 0 background. Others teach nothing." if named else ""

    def start(self, origin: Origin, layer: Labels | None = None) -> bool:
        """Begin; False, and a sentence, if something is missing.

        Parameters
        ----------
        origin : {"strokes", "regions", "layer"}
        layer : napari.layers.Labels, optional
            For ``"layer"``: class values as in the table; 0 is background, other values and 255 count as not labelled.
        """
        session = self.session
        try:
            if len(self.modalities.names) < 2:
                raise InputError("Tick at least one more modality: there is nothing to bring together yet.")
            if not len(session.prompts):
                raise InputError("No class is named yet: type one, for example cat, and press Enter.")
            shots = self._shots(origin, layer)
        except InputError as error:
            session.say(str(error), "warning")
            return False
        model, prompts, settings = session.model, session.prompts, self.settings
        self._stop.clear()

        def task(progress: Progress) -> ModalityResult | str:
            from napari_promptseg.learning.modalities import tune_modalities

            def step(done: int, total: int, description: str) -> None:
                number = f", step {done} of {total}" if description.startswith("loss") else ""
                progress(done, total, f"tuning modalities{number}: {description}")
                if self._stop.is_set():
                    raise CancelledError("Stopped at your request.")

            engine = session.engine
            engine.load(model, progress)
            assert engine.segmenter is not None  # load has raised otherwise
            try:
                return tune_modalities(engine.segmenter, shots.samples(), prompts, settings=settings, progress=step)
            except CancelledError:
                if not self._stop.is_set():
                    raise
                return "Stopped before there was anything to judge; nothing was changed."

        self.is_running, self.is_stopping, self.report = True, False, ""
        self.changed.emit()
        session.workbench.submit(Job("tune modalities", task, self._on_done, self._on_failed))
        return True

    def stop(self) -> None:
        """End at the next step; what is best so far is judged where there is something to judge."""
        self._stop.set()
        self.is_stopping = True
        self.session.say("Stopping at the next step, to judge the best so far …")
        self.changed.emit()

    def _shots(self, origin: Origin, layer: Labels | None) -> Shots:
        if origin == "layer":
            return Shots(self._labels(layer))
        return Shots(self._strokes() if origin == "strokes" else self._regions())

    def _strokes(self) -> list[tuple[PlaneSource, Any, int]]:
        corrector, source = self.session.corrector, self.session.picture.source()
        corrector.look()
        said, strokes = of_classes(corrector.corrections, self.session.prompts), corrector.strokes
        if strokes is None or not len(said):
            raise InputError("Paint some of the mask's errors first, or take drawn regions or a labels layer.")
        return [(source.at(strokes.index(p)), said, p) for p in said.planes]

    def _regions(self) -> list[tuple[PlaneSource, Any, int]]:
        """What is in no region counts as background, as where regions teach a class."""
        planes: dict[Any, tuple[PlaneSource, npt.NDArray[Any]]] = {}
        for card in self.session.regions.cards:
            if card.source is None or card.mask is None or card.value is None or card.image != id(self.modalities.main):
                continue
            main = card.source.main if isinstance(card.source, JointSource) else card.source
            assert main is not None  # joint sources have one
            _, labels = planes.setdefault(main.key, (main, np.zeros(card.mask.shape, np.int64)))
            labels[card.mask] = card.value if card.positive else 0
        if not any(labels.any() for _, labels in planes.values()):
            raise InputError(
                "No region of a class is drawn on this image: draw one, or take strokes or a labels layer."
            )
        return [(self.modalities.joined(main), labels, 0) for main, labels in planes.values()]

    def _labels(self, layer: Labels | None) -> list[tuple[PlaneSource, Any, int]]:
        if layer is None or layer not in self.session.viewer.layers:
            raise InputError("Choose a labels layer of the same size as the image.")
        source, view = self.session.picture.source(), self.session.picture.view
        image = self.session.picture.layer
        assert image is not None  # there is a source
        values = [c.value for c in self.session.prompts.classes]
        found: list[tuple[int, PlaneSource, npt.NDArray[Any]]] = []
        for place in np.ndindex(*result_shape(image, view)[:-2]):
            plane = source.at(place)
            labels = np.asarray(result_plane(layer, view, plane.index) if plane.index else layer.data)
            labels = labels.reshape(plane.plane_shape).astype(np.int64)
            number = int(np.isin(labels, values).sum())
            if number:
                found.append((number, plane, np.where(np.isin(labels, [0, *values]), labels, _IGNORED)))
        if not found:
            raise InputError(f"{layer.name!r} has no pixel of a class that is named: its labels are {_some(layer)}.")
        found.sort(key=lambda f: -f[0])
        return [(plane, labels, 0) for _, plane, labels in found[:MOST_PLANES]]

    def _on_done(self, result: ModalityResult | str) -> None:
        session = self.session
        if isinstance(result, str):
            self.is_running = False
            self.changed.emit()
            session.say(result)
            return
        share = f" Trained: {result.n_trained:,} numbers, {result.share:.2%} of the model." if result.n_trained else ""
        self.report = result.sentence[:1].upper() + result.sentence[1:] + "." + share
        if result.cancelled:
            self.report += " Stopped early: the best so far was judged."
        self.is_running = False
        session.tuning.validation = result.report()
        if result.kept:
            session.remember()
            # names and weights may have been changed meanwhile: only what was learned is taken
            session.set_prompts(replace(session.prompts, learned=result.prompts.learned))
            session.follow(first=True)
        self.changed.emit()
        session.say(self.report)

    def _on_failed(self, sentence: str) -> None:
        self.is_running, self.report = False, ""
        self.changed.emit()
        self.session.say(sentence, "error")

    def _on_cancelled(self) -> None:
        if self.is_running:
            self.is_running = False
            self.changed.emit()


def _some(layer: Labels) -> str:
    values = np.unique(np.asarray(layer.data))[:6].tolist()
    return ", ".join(str(v) for v in values)
