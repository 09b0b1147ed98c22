"""Masks that have learned from strokes, made in the worker; nothing in here touches a layer."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.prompts.modality_notes import KEY as MODALITIES
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    import torch

    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.gui.engine import Request
    from napari_promptseg.gui.layers import PlaneSource
    from napari_promptseg.prompts.learned import LearnedPrompts
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Memory for features of corrected planes, in bytes; the one in hand is kept whatever its size.
FEATURES = 512 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class Carried:
    """What strokes on another picture taught.

    Parameters
    ----------
    over : LearnedPrompts or None
        What the classes had learned otherwise; with other prompts it is of no use.
    learned : LearnedPrompts
        The same, and what the strokes taught.
    """

    over: LearnedPrompts | None
    learned: LearnedPrompts

    def onto(self, prompts: PromptSet) -> PromptSet:
        """The classes as they are now with what they were taught."""
        return replace(prompts, learned=self.learned) if prompts.learned == self.over else prompts


@dataclass(frozen=True, eq=False)
class Lesson:
    """Strokes of an image, for one of its planes.

    Parameters
    ----------
    corrections : Corrections
        On all planes.
    key : str
        Of the image.
    plane : int
    carried : Carried, optional
        What other pictures taught before.
    """

    corrections: Corrections
    key: str
    plane: int
    carried: Carried | None = None

    def known(self, prompts: PromptSet) -> Corrections:
        """Strokes of the background and of classes that exist."""
        return of_classes(self.corrections, prompts)


class LiveMasks:
    """Keeps the features of planes with strokes, so that all of them teach the plane in sight."""

    def __init__(self) -> None:
        self._planes: OrderedDict[tuple[str, int], DenseFeatures] = OrderedDict()
        self._taught: tuple[Any, Any, PromptSet] | None = None

    def keep(self, key: str, plane: int, features: DenseFeatures) -> None:
        """Remember the features of a plane of the image `key`."""
        self._planes[key, plane] = features
        self._planes.move_to_end((key, plane))
        while len(self._planes) > 1 and sum(f.n_bytes for f in self._planes.values()) > FEATURES:
            self._planes.popitem(last=False)

    def features(self, key: str, plane: int, fingerprint: str) -> DenseFeatures | None:
        """What was kept of a plane, if it was made by that model."""
        kept = self._planes.get((key, plane))
        return kept if kept is not None and kept.fingerprint == fingerprint else None

    def taught(self, segmenter: Segmenter, request: Request, lesson: Lesson) -> PromptSet:
        """The classes with what the strokes taught, on top of all that they had learned; as they are without any.

        The strokes are those on the plane that the segmenter has in hand, and on others that were kept.
        """
        from napari_promptseg.learning.live import LiveLearner
        from napari_promptseg.segmentation.live_heads import with_live_head

        prompts = request.prompts if lesson.carried is None else lesson.carried.onto(request.prompts)
        features = segmenter.joint_features(prompts)
        known = lesson.known(prompts)
        if features is None or not len(known):
            return prompts
        plane, key = lesson.plane, _key(lesson.key, segmenter, prompts)
        self.keep(key, plane, features)
        given = {plane: features}
        for other in known.planes:
            kept = self.features(key, other, features.fingerprint)
            if other != plane and kept is not None:
                given[other] = kept
        weights = prompts.metadata.get(MODALITIES)  # sets that differ in nothing else are equal
        asked = (tuple(s.id for s in known), prompts, weights, plane, {p: id(f) for p, f in given.items()})
        if self._taught is None or self._taught[0] != asked:
            priors = {p: words(segmenter, request.source, prompts, f) for p, f in given.items()}
            values = (0, *(c.value for c in prompts.classes))
            head = LiveLearner().fit(given, known, values, priors)
            # the features stay, so that their identities do
            self._taught = (asked, given, with_live_head(prompts, head, segmenter.encoder.name, edges=True))
        return self._taught[-1]

    def make(self, segmenter: Segmenter, request: Request, lesson: Lesson) -> LabelMap | None:
        """A label map of the classes as they were taught; None where nothing was.

        It is the mask that the same classes give anywhere, but for the user's own pixels, which are as painted.
        """
        prompts = self.taught(segmenter, request, lesson)
        if prompts is request.prompts:
            return None
        label_map = segmenter.segment(prompts, want_probabilities=request.want_scores)
        known = lesson.known(prompts)
        made_by = {**label_map.provenance, "method": "live", "strokes": len(known)}
        return replace(as_painted(label_map, known, lesson.plane), provenance=made_by)


def as_painted(label_map: LabelMap, corrections: Corrections, plane: int) -> LabelMap:
    """A prediction in which the user's own pixels are as painted, and sure; itself where there are none."""
    own = corrections.on_plane(plane)
    if not len(own):
        return label_map
    labels, highest = label_map.labels, max(own.values)
    if highest > np.iinfo(labels.dtype).max:
        labels = labels.astype(np.min_scalar_type(highest))
    confidence, second = label_map.confidence.copy(), label_map.runner_up_confidence.copy()
    for stroke in own:
        confidence[stroke.pixels], second[stroke.pixels] = 1.0, 0.0
    return replace(label_map, labels=own.impose(labels, plane), confidence=confidence, runner_up_confidence=second)


def of_classes(corrections: Corrections, prompts: PromptSet) -> Corrections:
    """Strokes of the background and of classes that exist."""
    values = {0, *(c.value for c in prompts.classes)}
    return Corrections(tuple(s for s in corrections if s.value in values))


def _key(key: str, segmenter: Segmenter, prompts: PromptSet) -> str:
    """Of features: those of several modalities, or of another than the first, are kept beside the first one's."""
    from napari_promptseg.segmentation.fusion import counted

    scene = segmenter.scene
    if scene is None or not scene.beside:
        return key
    return "|".join([key, *(part.scene.shows.name for part in counted(scene, prompts))])


def words(segmenter: Segmenter, source: PlaneSource, prompts: PromptSet, features: DenseFeatures) -> torch.Tensor:
    """``(C + 1, h, w)`` log-probabilities of the classes before these strokes, background first."""
    from napari_promptseg.segmentation.fusion import JointFeatures
    from napari_promptseg.segmentation.scene import Scene, View

    if isinstance(features, JointFeatures):
        return segmenter.probabilities_of(features, prompts).clamp_min(1e-4).log()
    # Scoring reads the features alone; the view says where they come from.
    scene = Scene(View(source.stack(), 0, 0, None), "fast", features, None)
    return segmenter.coarse_probabilities(prompts, scene=scene).clamp_min(1e-4).log()
