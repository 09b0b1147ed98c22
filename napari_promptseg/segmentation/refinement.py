"""The named ways from coarse score maps to the picture's edges, behind one call."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.segmentation.guided import GuidedFilter
from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.sampling import grid_within
from napari_promptseg.segmentation.settings import SegmentationSettings


class Refiner(Protocol):
    """What one picture needs to be refined; made once per picture, called once per segmentation."""

    def __call__(self, probabilities: torch.Tensor) -> PixelMaps:
        """Bring ``(K, h, w)`` maps that cover the picture exactly to its pixels."""
        ...


class Interpolation:
    """No refinement: bilinear upsampling."""

    def __init__(self, picture: npt.NDArray[np.uint8], *, working_side: int = 320) -> None:
        self.shape = (int(picture.shape[0]), int(picture.shape[1]))
        self.working_shape = grid_within(self.shape, working_side)

    def __call__(self, probabilities: torch.Tensor) -> PixelMaps:
        """Wrap ``(K, h, w)`` maps as they are."""
        return PixelMaps(probabilities, self.shape, self.working_shape)


def make_refiner(
    picture: npt.NDArray[np.uint8], settings: SegmentationSettings, device: torch.device | str = "cpu"
) -> Refiner:
    """The refiner that the settings name, prepared for a ``(Y, X, 3)`` uint8 picture."""
    side = settings.working_side
    if settings.refinement == "guided":
        return GuidedFilter(
            picture,
            side=settings.guided_side,
            radius=settings.guided_radius,
            strength=settings.guided_strength,
            working_side=side,
            device=device,
        )
    if settings.refinement == "superpixels":
        # scikit-image takes a while to import and only this choice needs it
        from napari_promptseg.segmentation.superpixels import SuperpixelPooling

        return SuperpixelPooling(picture, count=settings.superpixels, working_side=side, device=device)
    if settings.refinement == "pamr":
        from napari_promptseg.segmentation.pamr import PixelAdaptiveRefinement

        return PixelAdaptiveRefinement(picture, iterations=settings.pamr_iterations, working_side=side, device=device)
    return Interpolation(picture, working_side=side)
