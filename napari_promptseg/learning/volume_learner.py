"""From a few corrected planes to the whole volume: what structures look like, and where they were.

Looks are learned twice from pixels of the corrected planes: as from strokes (`live`), on the model's features, which
know textures and things, and on what single pixels measure (`fine_learner`), which knows tissues. Place is learned from
outlines (`segmentation.volumes.prior`). Neither alone is enough: looks find a structure's edges but also its doubles
elsewhere, and outlines know nothing of what lies between planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.fine_learner import FineSettings, PlanePixels, learn_pixels, pixels_of
from napari_promptseg.learning.live import LiveLearner, LiveSettings
from napari_promptseg.learning.place_growth import PlaneKey, fitting_growth, planes_between
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fine_head import FineHead, with_fine_head
from napari_promptseg.segmentation.live_heads import with_live_head
from napari_promptseg.segmentation.pixel_values import has_colour, pixel_values
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.volumes.planes import PlaneAxis, PlaneGrid, resliced
from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane, PlaceSettings


@dataclass(frozen=True)
class VolumeSettings:
    """How corrected planes teach the whole volume.

    Parameters
    ----------
    place : PlaceSettings
        Place grows unsure faster than its usual settings say, since beside pixels it is needed less; how fast is then
        learned from the corrected planes (`place_growth`).
    looks : LiveSettings
        `points_per_class` pixels are drawn evenly from every class of a corrected plane. That was seen to be better
        with three planes than learning from them as from labelled images (`live_across`), and as good with ten.
    fine : FineSettings or None
        None leaves out what single pixels measure.
    """

    place: PlaceSettings = field(default_factory=lambda: PlaceSettings(growth=0.8))
    looks: LiveSettings = field(default_factory=lambda: LiveSettings(points_per_stroke=200, points_per_class=200))
    fine: FineSettings | None = field(default_factory=FineSettings)


@dataclass(frozen=True, eq=False)
class TaughtVolume:
    """What corrections taught; ``segment_volume(segmenter, stack, taught.prompts, prior=taught.prior)`` applies it.

    Parameters
    ----------
    prompts : PromptSet
        The classes with what they look like.
    prior : ByPlace or None
        Where they were; None without a corrected plane. From three on, it reaches as far as planes guessed from the
        others have shown (`place_growth`).
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
        axes = dict.fromkeys(axis for axis, _ in (*wholes, *single))
        grids = {axis: PlaneGrid.of(stack, axis) for axis in axes}
        cuts = {axis: resliced(stack, axis) for axis in axes}
        first = next(iter(grids.values()))
        # before any encoding, since it says what does not fit
        spacing = [abs(float(s)) or 1.0 for s in (1.0, *stack.spacing)[-3:]]
        prior = ByPlace(first.shape, spacing, values, list(wholes.values()), self.settings.place) if wholes else None
        # a class that the set has not is background
        labels = {key: np.where(np.isin(c.labels, values), c.labels, 0) for key, c in wholes.items()}
        shown = {key: grids[key[0]].labels_shown(plane) for key, plane in labels.items()}
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
                found = twin.set_image(cuts[axis], plane=plane, modality=modality)
            given[number] = found
            words[number] = twin.probabilities_of(found, prompts).clamp_min(1e-4).log()
            if (axis, plane) in wholes:
                marks += self._points(shown[axis, plane], number)
            else:
                own = shown_corrections(strokes[axis].on_plane(plane), grids[axis])
                marks += [replace(s, plane=number) for s in own if s.value in values]
        # background alone teaches nothing of what a class looks like
        if not any(m.value for m in marks):
            return TaughtVolume(prompts, prior, (*wholes, *single))
        numbers = {key: number for number, key in enumerate(wholes)}
        pictures = self._pictures(segmenter, cuts, numbers, modality)
        by_number = {number: shown[key] for key, number in numbers.items()}
        colour = any(map(has_colour, pictures.values()))
        measured = {n: pixel_values(p, colour=colour) for n, p in pictures.items()}
        pixels = pixels_of(measured, by_number, self.settings.fine)
        lessons = _Lessons(self.settings, segmenter.encoder, prompts, given, words, Corrections(tuple(marks)), pixels)

        def chances_without(key: PlaneKey) -> torch.Tensor:
            number, grid = numbers[key], grids[key[0]]
            progress(number, len(numbers), "judging corrected planes by each other")
            looks, fine = lessons.learned(without=number)
            coarse = twin.probabilities_of(given[number], looks)
            chances = F.interpolate(coarse[None], grid.size, mode="bilinear", align_corners=False)[0]
            if fine is not None:
                chances = fine.pooled(chances, values, fine.chances(pictures[number]))
            return grid.chances_back(chances).cpu()

        looks, fine = lessons.learned()
        if fine is not None:
            looks = with_fine_head(looks, fine, segmenter.encoder.fingerprint, segmenter.encoder.name)
        if prior is not None and self.settings.place.weight:
            inner = planes_between(list(wholes))
            prior = prior.grown(fitting_growth(prior, inner, labels.__getitem__, chances_without, values))
        return TaughtVolume(looks, prior, (*wholes, *single))

    def _pictures(
        self, segmenter: Segmenter, cuts: Mapping[PlaneAxis, ImageStack], numbers: Mapping[PlaneKey, int], modality: int
    ) -> dict[int, npt.NDArray[np.uint8]]:
        """Planes as their pixels are judged, by number; without those that are worked on in pieces."""
        found = {}
        for (axis, plane), number in numbers.items() if self.settings.fine is not None else ():
            cut = cuts[axis]
            if max(cut.plane_shape) <= segmenter.settings.whole_up_to:
                found[number] = cut.picture(plane, modality=modality, limits=cut.limits(modality))
        return found

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


@dataclass(frozen=True, eq=False)
class _Lessons:
    """What planes teach by their looks, all together or without one of them; each has a number."""

    settings: VolumeSettings
    encoder: Encoder
    prompts: PromptSet
    features: Mapping[int, DenseFeatures]
    words: Mapping[int, torch.Tensor]
    marks: Corrections
    pixels: Mapping[int, PlanePixels]

    def learned(self, without: int | None = None) -> tuple[PromptSet, FineHead | None]:
        """The classes as features show them, and as pixels do."""
        values = (0, *(c.value for c in self.prompts.classes))
        marks = Corrections(tuple(m for m in self.marks if m.plane != without))
        features = {n: f for n, f in self.features.items() if n != without}
        head = LiveLearner(self.settings.looks).fit(features, marks, values, self.words)
        pixels = [p for n, p in self.pixels.items() if n != without]
        fine = learn_pixels(pixels, self.settings.fine) if pixels else None
        return with_live_head(self.prompts, head, self.encoder.name, edges=True), fine


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
