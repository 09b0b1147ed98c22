"""Masks that have learned from strokes, made in the worker; nothing in here touches a layer."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    import torch

    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.gui.engine import Request
    from napari_promptseg.gui.layers import PlaneSource
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Memory for features of corrected planes, in bytes; the one in hand is kept whatever its size.
FEATURES = 512 * 1024 * 1024


class LiveMasks:
    """Keeps the features of planes with strokes, so that all of them teach the plane in sight."""

    def __init__(self) -> None:
        self._planes: OrderedDict[tuple[str, int], DenseFeatures] = OrderedDict()
        self._refiner: tuple[Any, Any] = (None, None)

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

    def make(
        self, segmenter: Segmenter, request: Request, corrections: Corrections, key: str, plane: int
    ) -> LabelMap | None:
        """A label map learned from the strokes; None where none of them can teach the classes asked for."""
        from dataclasses import replace

        from napari_promptseg.learning.live import LiveLearner

        features = segmenter.features
        values = (0, *(c.value for c in request.prompts.classes))
        known = of_classes(corrections, request.prompts)
        if features is None or not len(known):
            return None
        self.keep(key, plane, features)
        given, priors = {plane: features}, {plane: words(segmenter, request.source, request.prompts, features)}
        for other in known.planes:
            kept = self.features(key, other, features.fingerprint)
            if other != plane and kept is not None:
                given[other], priors[other] = kept, words(segmenter, request.source, request.prompts, kept)
        learned = LiveLearner().fit(given, known, values, priors)
        refiner = self._refiner_of(features, request)
        label_map = learned.label_map(features, refiner, known, plane=plane, prior=priors[plane])
        made_by = {**label_map.provenance, "model": segmenter.encoder.name, "classes": list(request.prompts.names)}
        maps = {}
        if request.want_scores:
            chances = learned.scores(features, refiner, priors[plane])
            maps = {v: chances.full(i).clamp(0, 1).half().cpu().numpy() for i, v in enumerate(values) if v}
        return replace(label_map, probabilities=maps, provenance={**made_by, "strokes": len(known)})

    def _refiner_of(self, features: DenseFeatures, request: Request) -> Any:
        """The refiner of the plane in hand; None for a plane too large to be refined whole."""
        from napari_promptseg.learning.live import REFINEMENT
        from napari_promptseg.segmentation.refinement import make_refiner

        if self._refiner[0] is not features:
            refiner = None
            if max(features.image_shape) <= REFINEMENT.whole_up_to:
                refiner = make_refiner(request.source.stack().picture(0), REFINEMENT, features.detail.device)
            self._refiner = (features, refiner)
        return self._refiner[1]


def of_classes(corrections: Corrections, prompts: PromptSet) -> Corrections:
    """Strokes of the background and of classes that exist."""
    values = {0, *(c.value for c in prompts.classes)}
    return Corrections(tuple(s for s in corrections if s.value in values))


def words(segmenter: Segmenter, source: PlaneSource, prompts: PromptSet, features: DenseFeatures) -> torch.Tensor:
    """``(C + 1, h, w)`` log-probabilities of the words, background first, on the features' grid."""
    from napari_promptseg.segmentation.scene import Scene, View

    # Scoring reads the features alone; the view says where they come from.
    scene = Scene(View(source.stack(), 0, 0, None), "fast", features, None)
    return segmenter.coarse_probabilities(prompts, scene=scene).clamp_min(1e-4).log()
