"""From a few corrected planes to the whole volume: what structures look like, and where they were.

Looks are learned from pixels of the corrected planes as from strokes (`live`), place from their outlines
(`segmentation.volumes.prior`). Neither alone is enough: looks find a structure's edges but also its doubles elsewhere,
and outlines know nothing of what lies between planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.live import LiveLearner, LiveSettings
from napari_promptseg.learning.place_weight import PlaneKey, place_share
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.live_heads import with_live_head
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.volumes.planes import PlaneAxis, PlaneGrid, resliced
from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane, PlaceSettings

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class VolumeSettings:
    """How corrected planes teach the whole volume.

    Parameters
    ----------
    place : PlaceSettings
    looks : LiveSettings
        `points_per_class` pixels are drawn evenly from every class of a corrected plane. That was seen to be better
        with three planes than learning from them as from labelled images (`live_across`), and as good with ten.
    """

    place: PlaceSettings = field(default_factory=PlaceSettings)
    looks: LiveSettings = field(default_factory=lambda: LiveSettings(points_per_stroke=200, points_per_class=200))


@dataclass(frozen=True, eq=False)
class TaughtVolume:
    """What corrections taught; ``segment_volume(segmenter, stack, taught.prompts, prior=taught.prior)`` applies it.

    Parameters
    ----------
    prompts : PromptSet
        The classes with what they look like.
    prior : ByPlace or None
        Where they were; None without a corrected plane. From three on, as strong as planes guessed from the others
        have shown (`place_weight`).
    planes : tuple of PlaneKey
        Learned from.
    """

    prompts: PromptSet
    prior: ByPlace | None
    planes: tuple[PlaneKey, ...]


@dataclass(frozen=True)
class VolumeLearner:
    """Learns a volume from some of its planes.

    Examples
    --------
    >>> taught = VolumeLearner().fit(segmenter, stack, prompts, corrected)  # doctest: +SKIP
    >>> run = segment_volume(segmenter, stack, taught.prompts, prior=taught.prior, first=z)  # doctest: +SKIP
    """

    settings: VolumeSettings = field(default_factory=VolumeSettings)

    def fit(
        self,
        segmenter: Segmenter,
        stack: ImageStack,
        prompts: PromptSet,
        corrected: Sequence[CorrectedPlane],
        *,
        corrections: Mapping[PlaneAxis, Corrections] | None = None,
        features: Mapping[PlaneKey, DenseFeatures] | None = None,
        modality: int = 0,
        progress: Progress = silent,
    ) -> TaughtVolume:
        """Learn from planes whose labels stand as right, and from strokes on others.

        Parameters
        ----------
        segmenter : Segmenter
            Its model scores the words and encodes planes that have no features; its picture stays.
        stack : ImageStack
        prompts : PromptSet
        corrected : sequence of CorrectedPlane
            Labels may have classes that the set has not: they count as background.
        corrections : mapping of PlaneAxis to Corrections, optional
            Strokes by axis, in voxels ``(rows, columns)`` of their planes as an array has them. Those on corrected
            planes are in their labels already and are left out.
        features : mapping of PlaneKey to DenseFeatures, optional
            Of planes that were encoded before, as `resliced` shows them.
        modality : int
        progress : Progress

        Raises
        ------
        InputError
            If there is neither a corrected plane nor a stroke, or one does not fit the volume.
        """
        strokes = dict(corrections or {})
        wholes = {(c.axis, c.plane): c for c in corrected}
        single = [(axis, p) for axis, marks in strokes.items() for p in marks.planes if (axis, p) not in wholes]
        if not wholes and not single:
            raise InputError("No plane is corrected yet: paint on one first.")
        values = (0, *(c.value for c in prompts.classes))
        grids = {axis: PlaneGrid.of(stack, axis) for axis, _ in (*wholes, *single)}
        first = next(iter(grids.values()))
        # before any encoding, since it says what does not fit
        spacing = [abs(float(s)) or 1.0 for s in (1.0, *stack.spacing)[-3:]]
        prior = ByPlace(first.shape, spacing, values, list(wholes.values()), self.settings.place) if wholes else None
        known = dict(features or {})
        given: dict[int, DenseFeatures] = {}
        words: dict[int, torch.Tensor] = {}
        marks: list[Stroke] = []
        twin = Segmenter(segmenter.encoder, settings=segmenter.settings)
        # planes of all axes are numbered through: to the learner each is a picture
        for number, (axis, plane) in enumerate((*wholes, *single)):
            progress(number, len(wholes) + len(single), "learning from corrected planes")
            found = known.get((axis, plane))
            if found is None or found.fingerprint != segmenter.encoder.fingerprint:
                found = twin.set_image(resliced(stack, axis), plane=plane, modality=modality)
            given[number] = found
            words[number] = twin.probabilities_of(found, prompts).clamp_min(1e-4).log()
            if (axis, plane) in wholes:
                labels = wholes[axis, plane].labels
                shown = grids[axis].labels_shown(np.where(np.isin(labels, values), labels, 0))
                marks += self._points(shown, number)
            else:
                own = shown_corrections(strokes[axis].on_plane(plane), grids[axis])
                marks += [replace(s, plane=number) for s in own if s.value in values]
        looks = prompts
        # background alone teaches nothing of what a class looks like
        if any(m.value for m in marks):
            head = LiveLearner(self.settings.looks).fit(given, Corrections(tuple(marks)), values, words)
            looks = with_live_head(prompts, head, segmenter.encoder.name, edges=True)
            numbers = {key: number for number, key in enumerate((*wholes, *single))}

            def looks_without(key: PlaneKey) -> torch.Tensor:
                number = numbers[key]
                progress(number, len(numbers), "judging corrected planes by each other")
                kept = Corrections(tuple(m for m in marks if m.plane != number))
                others = {n: f for n, f in given.items() if n != number}
                head = LiveLearner(self.settings.looks).fit(others, kept, values, words)
                taught = with_live_head(prompts, head, segmenter.encoder.name, edges=True)
                return grids[key[0]].in_voxel_order(twin.probabilities_of(given[number], taught))

            if prior is not None and self.settings.place.weight:
                prior = prior.weighted(place_share(wholes, prior, looks_without, values))
        return TaughtVolume(looks, prior, (*wholes, *single))

    def _points(self, labels: npt.NDArray[Any], number: int) -> list[Stroke]:
        """Pixels drawn evenly from every class of a plane."""
        rng = np.random.default_rng((self.settings.looks.seed, number))
        found = []
        for value in np.unique(labels):
            places = np.flatnonzero(labels == value)
            taken = rng.choice(places, min(len(places), self.settings.looks.points_per_class), replace=False)
            rows, columns = np.divmod(taken, labels.shape[1])
            found.append(Stroke.from_pixels(rows, columns, int(value), plane=number, kind="point"))
        return found


def shown_corrections(corrections: Corrections, grid: PlaneGrid) -> Corrections:
    """Strokes in voxels of an axis' planes, as they lie on the planes that `resliced` shows."""
    if grid.is_plain:
        return corrections
    found = []
    for stroke in corrections:
        mask = np.zeros(grid.own_size, bool)
        mask[stroke.pixels] = True
        shown = grid.labels_shown(mask)
        if shown.any():
            found.append(Stroke.from_mask(shown, stroke.value, plane=stroke.plane, kind=stroke.kind))
    return Corrections(tuple(found))
