"""The picture a segmenter has in hand: its features, and what refinement needs of its pixels.

Several modalities of one plane are one `Scene` whose `beside` holds a scene for each further modality. Whoever reads
`Scene.features` alone sees the first modality; whoever fuses goes through `Scene.modalities`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.encoder import Quality
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.images.normalisation import to_rgb8
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.segmentation.learned_heads import student_of
from napari_promptseg.segmentation.refinement import Refiner, make_refiner
from napari_promptseg.segmentation.settings import SegmentationSettings


@dataclass(frozen=True, eq=False)
class View:
    """One plane of one modality, read the same way everywhere: with one pair of display limits."""

    stack: ImageStack
    plane: int
    modality: int
    limits: Any

    @property
    def shape(self) -> tuple[int, int]:
        """``(Y, X)`` in pixels."""
        return self.stack.plane_shape

    def picture(self, rows: slice = slice(None), columns: slice = slice(None)) -> npt.NDArray[np.uint8]:
        """``(y, x, 3)`` uint8, read now."""
        return self.stack.picture(self.plane, rows, columns, modality=self.modality, limits=self.limits)

    def squared(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The plane in its true proportions, for the encoder; `picture` itself where its pixels are square."""
        shown = self.stack.modalities[self.modality]
        return picture if shown.square is None else to_rgb8(shown.square, kind=shown.kind, limits=self.limits)


@dataclass(frozen=True, eq=False)
class Scene:
    """An encoded view. Nothing in it changes, so that a worker may swap the segmenter's scene at any time.

    Parameters
    ----------
    view : View
    quality : {"fast", "fine"}
    features : DenseFeatures
        Of the whole plane; a blend of tiles where `picture` is None.
    picture : numpy.ndarray, optional
        ``(Y, X, 3)`` uint8, kept for a plane that is worked on whole.
    beside : tuple of Scene
        Other modalities of the same plane, in the stack's order, each encoded by itself as a picture of its own; those
        that are absent have no scene. A scene in it has none beside it.
    """

    view: View
    quality: Quality
    features: DenseFeatures
    picture: npt.NDArray[np.uint8] | None
    beside: tuple[Scene, ...] = ()
    _refiners: dict[SegmentationSettings, Refiner] = field(default_factory=dict)
    _decoded: dict[LearnedPrompts, DenseFeatures] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def modalities(self) -> tuple[Scene, ...]:
        """One scene per modality that is there, this one first; ``scene.view.modality`` is its number in the stack."""
        return (self, *self.beside)

    @property
    def alone(self) -> Scene:
        """The same without the modalities beside it; what was prepared for it is shared."""
        return replace(self, beside=()) if self.beside else self

    @property
    def shows(self) -> Modality:
        """The modality that this scene shows: its name and kind."""
        return self.view.stack.modalities[self.view.modality]

    def refiner(self, settings: SegmentationSettings, device: torch.device) -> Refiner:
        """The prepared refinement of the whole picture; kept, since it depends on the picture alone."""
        with self._lock:
            if settings not in self._refiners:
                picture = self.view.picture() if self.picture is None else self.picture
                self._refiners.clear()
                self._refiners[settings] = make_refiner(picture, settings, device)
            return self._refiners[settings]

    def decoded(self, learned: LearnedPrompts) -> DenseFeatures:
        """The features as the student that was learned makes them, kept; as they are where there is none."""
        student = student_of(learned)
        if student is None:
            return self.features
        with self._lock:
            if learned not in self._decoded:
                self._decoded.clear()
                self._decoded[learned] = student.to(self.features.semantic.device).adapted(self.features)
            return self._decoded[learned]
