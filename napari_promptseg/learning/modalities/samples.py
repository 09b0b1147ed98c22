"""What modalities are tuned on: labelled pixels of planes, and the stacks that they are planes of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.learning.tuning_data import TuningSample


@dataclass(frozen=True, eq=False)
class ModalitySample:
    """Labelled pixels of one plane of a scene.

    Parameters
    ----------
    stack : ImageStack
        With its modalities; some may be absent.
    plane : int
    pixels : TuningSample
        Which pixels; its features stand for nothing but the plane's shape.
    """

    stack: ImageStack
    plane: int
    pixels: TuningSample

    @classmethod
    def from_labels(
        cls, stack: ImageStack, labels: npt.NDArray[Any], *, plane: int = 0, complete: bool = False, **keywords: Any
    ) -> ModalitySample:
        """Draw pixels from a label image ``(Y, X)``, sparse or full: see `TuningSample.from_labels`.

        Masks of regions are labels too: 255 wherever nobody drew.
        """
        blank = _blank(stack)
        return cls(stack, plane, TuningSample.from_labels(blank, labels, complete=complete, **keywords))

    @classmethod
    def from_corrections(
        cls, stack: ImageStack, corrections: Corrections, *, plane: int = 0, **keywords: Any
    ) -> ModalitySample:
        """Draw pixels from a user's strokes on one plane: see `TuningSample.from_corrections`."""
        return cls(stack, plane, TuningSample.from_corrections(_blank(stack), corrections, plane, **keywords))

    def with_pixels(self, pixels: TuningSample) -> ModalitySample:
        """Others of the same plane."""
        return replace(self, pixels=pixels)

    def __len__(self) -> int:
        return int(self.pixels.values.size)


def _blank(stack: ImageStack) -> DenseFeatures:
    """Features of nothing that know the plane's shape."""
    none = torch.zeros(1, 1, 1)
    return DenseFeatures(none, none, torch.zeros(1), stack.plane_shape, "")


def only(sample: ModalitySample, values: npt.NDArray[np.int64]) -> ModalitySample:
    """Only pixels of these classes."""
    return sample.with_pixels(sample.pixels.subset(np.isin(sample.pixels.values, values)))
