"""Asks why a pixel has its label, in the worker, and shows the maps behind the answer as layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_promptseg.gui.layers import PlaneSource, View, plane_geometry, result_index, result_shape
from napari_promptseg.gui.volume_index import lifted
from napari_promptseg.gui.work import Job
from napari_promptseg.learning.corrections import UNPAINTED, Corrections
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.modality_notes import modality_notes

if TYPE_CHECKING:
    import torch

    from napari_promptseg.gui.engine import Outcome, Request
    from napari_promptseg.gui.live_masks import Lesson
    from napari_promptseg.gui.session import Session
    from napari_promptseg.learning.likeness import Likeness
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.explanation import Explanation

#: Scores of one plane that are kept for the next pixel, in bytes.
_KEPT = 256 * 1024 * 1024

#: In the name of a map that says what was gained.
_ADDED = ": added by "

#: What was learned, as it is called on the screen.
STAGES = {
    "words": "words alone",
    "prompts": "tuned prompts",
    "student": "the student",
    "modalities": "tuned modalities",
    "labels": "labelled pictures",
    "strokes": "strokes",
}

Maps = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class PixelReason:
    """Why a pixel has its label, and what the user's own strokes have to do with it.

    Parameters
    ----------
    explanation : Explanation
        Of the mask as words, prompts and strokes make it.
    standing : int
        Label that stands in the layer.
    painted : int or None
        Class value that the user painted there, if so.
    likeness : Likeness or None
        The stroke that the pixel looks most like.
    source, view, image
        The plane.
    """

    explanation: Explanation
    standing: int
    painted: int | None
    likeness: Likeness | None
    source: PlaneSource
    view: View
    image: Image


class PixelReasons(QObject):
    """Explains pixels of the plane in sight.

    Signals
    -------
    answered : (PixelReason,)
    maps_changed
        Maps were shown or taken away.
    """

    answered = Signal(object)
    maps_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._kept: tuple[Any, Outcome, PromptSet] | None = None
        self._layers: list[Image] = []
        session.picture.changed.connect(self.forget)

    @property
    def has_maps(self) -> bool:
        """Whether maps are among the viewer's layers."""
        self._layers = [layer for layer in self._layers if layer in self.session.viewer.layers]
        return bool(self._layers)

    def ask(self, position: tuple[float, ...]) -> bool:
        """Explain the pixel at a place in the world; False, and a sentence, where nothing can be explained."""
        session = self.session
        source, result, image = session.picture.in_sight, session.result, session.picture.layer
        found = None if source is None or result is None else result.value_at(source.index, position)
        if source is None or image is None or found is None or session.label_map is None:
            session.say("Only pixels of a mask can be explained: segment this plane, then click inside it.", "warning")
            return False
        (standing, at), view = found, session.picture.view
        request = replace(session.request(source, image, view), want_scores=True)
        lesson = session.corrector.lesson(source, image, view)
        strokes = session.corrector.strokes
        corrections = Corrections() if strokes is None else strokes.corrections
        plane = 0 if strokes is None else strokes.number(result_index(view, source.index))
        weights = modality_notes(request.prompts.metadata)  # sets that differ in nothing else are equal
        asked = (request.model, source.key, request.prompts, weights, request.quality, request.refinement)
        key = (asked, _ids(corrections), lesson and lesson.carried)

        def task(progress: Progress) -> PixelReason:
            from napari_promptseg.segmentation.explanation import explain
            from napari_promptseg.segmentation.learned_stages import chances_apart, stage_chances

            outcome, prompts = self._scored(key, request, lesson, progress)
            segmenter = session.engine.segmenter
            assert segmenter is not None  # the engine has run
            features = outcome.scene.features
            explanation = explain(
                segmenter.encoder,
                prompts,
                features,
                outcome.label_map,
                at,
                known=segmenter.known(prompts),
                chances=stage_chances(segmenter, prompts, outcome.scene),
                apart=chances_apart(segmenter, prompts, outcome.scene),
            )
            own = int(corrections.painted(plane, outcome.label_map.labels.shape)[at]) if len(corrections) else UNPAINTED
            likeness = self._likeness(corrections, plane, at, features)
            painted = None if own == UNPAINTED else own
            return PixelReason(explanation, standing, painted, likeness, source, view, image)

        session.workbench.submit(Job("why", task, self.answered.emit, self._fail))
        return True

    def show_maps(self, reason: PixelReason) -> None:
        """Add the scores of the two best classes, and the maps of the views or texts behind the best, as layers."""
        session, kept = self.session, self._kept
        if kept is None or kept[1].request.source.key != reason.source.key:
            session.say("The picture has changed since: ask for the pixel again.", "warning")
            return
        _, outcome, prompts = kept
        ranked = [r for r in reason.explanation.reasons if r.value][:2]

        def task(progress: Progress) -> Maps:
            from napari_promptseg.segmentation.explanation import voice_maps
            from napari_promptseg.segmentation.learned_stages import stage_chances

            progress(0, 0, "making the maps")
            segmenter = session.engine.segmenter
            assert segmenter is not None  # a pixel has been explained
            maps: Maps = {}
            for r in ranked:
                maps[f"{r.name}: score"] = outcome.label_map.probabilities[r.value].astype(np.float32)
            best = ranked[0]
            chances = list(stage_chances(segmenter, prompts, outcome.scene).items())
            at = 1 + [c.value for c in prompts.classes].index(best.value)
            if len(chances) > 1:
                maps[f"{best.name}: words alone"] = chances[0][1][at].cpu().numpy()
            for (_, before), (name, after) in pairwise(chances):
                maps[f"{best.name}{_ADDED}{STAGES[name]}"] = _gain(before[at], after[at])
            voices = voice_maps(segmenter.encoder, prompts, outcome.scene.features, best.value)
            return {**maps, **{f"{best.name}: {label}": values for label, values in voices.items()}}

        session.workbench.submit(Job("maps", task, lambda maps: self._add(maps, reason), self._fail))

    def hide_maps(self) -> None:
        """Take the maps away."""
        viewer = self.session.viewer
        for layer in self._layers:
            if layer in viewer.layers:
                viewer.layers.remove(layer)
        self._layers.clear()
        self.maps_changed.emit()

    def forget(self) -> None:
        """Take the maps away, and give back the memory of the scores behind them."""
        self._kept = None
        if self._layers:
            self.hide_maps()

    def _add(self, maps: Maps, reason: PixelReason) -> None:
        viewer = self.session.viewer
        self.hide_maps()
        if reason.image not in viewer.layers:
            return
        ndim = len(result_shape(reason.image, reason.view))
        own = result_index(reason.view, reason.source.index)
        selected = set(viewer.layers.selection)
        for name, values in maps.items():
            low, high = _limits(name, values)
            rows, columns = values.shape
            layer = Image(
                lifted(values, own, ndim),
                name=f"why {name}",
                colormap="PiYG" if _ADDED in name else "viridis",
                contrast_limits=(low, high if high > low else low + 1e-6),
                interpolation2d="linear",
                opacity=0.75,
                visible=not self._layers,  # one at a time can be read
                metadata={"napari-promptseg": {"map": name}},
                **plane_geometry(reason.image, reason.view, reason.source.index, (rows, columns)),
            )
            self._layers.append(viewer.add_layer(layer))
        if selected:
            viewer.layers.selection = selected
        self.maps_changed.emit()
        self.session.say(f"{len(maps)} maps are in the layer list, named “why …”: show one at a time with its eye.")

    def _scored(
        self, key: Any, request: Request, lesson: Lesson | None, progress: Progress
    ) -> tuple[Outcome, PromptSet]:
        """In the worker: the mask with all scores, and the classes as they were taught; kept for the next pixel."""
        if self._kept is not None and self._kept[0] == key:
            return self._kept[1:]
        engine, prompts = self.session.engine, request.prompts
        outcome = engine.run(request, progress)
        if lesson is not None and engine.segmenter is not None:
            prompts = self.session.corrector.masks.taught(engine.segmenter, request, lesson)
        size = sum(m.nbytes for m in outcome.label_map.probabilities.values())
        self._kept = (key if size <= _KEPT else None, outcome, prompts)
        return outcome, prompts

    def _likeness(self, corrections: Corrections, plane: int, at: tuple[int, int], features: Any) -> Likeness | None:
        """In the worker: the stroke that speaks for the pixel."""
        from napari_promptseg.learning.likeness import most_alike

        strokes = self.session.corrector.strokes
        if not len(corrections) or strokes is None:
            return None
        given = {plane: features}
        for other in corrections.planes:
            kept = self.session.corrector.masks.features(strokes.key, other, features.fingerprint)
            if kept is not None:
                given.setdefault(other, kept)
        return most_alike(given, corrections, plane, at)

    def _fail(self, sentence: str) -> None:
        self.session.say(sentence, "error")


def _ids(corrections: Corrections) -> tuple[str, ...]:
    return tuple(s.id for s in corrections)


def _gain(before: torch.Tensor, after: torch.Tensor) -> npt.NDArray[np.float32]:
    """How much more probable a class became, on the finer of two grids: ``(h, w)`` from -1 to 1."""
    from torch.nn.functional import interpolate

    coarse = interpolate(before[None, None], size=after.shape, mode="bilinear", align_corners=False)[0, 0]
    gain: npt.NDArray[np.float32] = (after - coarse).cpu().numpy()
    return gain


def _limits(name: str, values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """What is shown darkest and brightest: all there is of a probability or a gain, what occurs of a similarity."""
    if _ADDED in name:
        return -1.0, 1.0
    if name.endswith((": score", ": words alone")):
        return 0.0, 1.0
    return float(values.min()), float(values.max())
