"""What a larger model gets to see: the part of one plane around the region, as a small PNG without metadata."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.region import Region
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack

#: Longest side sent, in pixels.
SIDE = 512
#: Smaller crops are enlarged to this side: vision towers refuse pictures of a few pixels.
SMALLEST = 224
#: Surroundings shown around the box of the region, in longer sides of the box, and at least so many pixels.
_AROUND, _LEAST_AROUND = 0.35, 8
_OUTLINE = (255, 255, 0)


@dataclass(frozen=True, eq=False)
class Crop:
    """The picture that is sent.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``(y, x, 3)`` uint8.
    hidden : bool
        Whether everything outside the region is black.
    """

    pixels: npt.NDArray[np.uint8]
    hidden: bool = False

    def png(self) -> bytes:
        """The pixels as PNG; there is nothing else in the file."""
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(self.pixels).save(out, "PNG", optimize=True)
        return out.getvalue()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def crop_region(
    stack: ImageStack, mask: npt.ArrayLike, *, plane: int = 0, modality: int = 0, side: int = SIDE, hidden: bool = False
) -> Crop:
    """Cut the part of a plane around a region.

    Parameters
    ----------
    stack : ImageStack
    mask : array-like
        ``(Y, X)`` of the plane, as for `Region.from_mask`.
    plane, modality : int
    side : int
        Longest side of the crop in pixels; larger ones are made smaller.
    hidden : bool
        Black outside the region (image times mask, as in He et al. 2026); otherwise the surroundings stay visible and
        a line outside the region shows where it ends.

    Raises
    ------
    InputError
        If the mask is no region, or `side` is under 32.
    """
    if side < 32:
        raise InputError(f"The crop's longest side must be 32 pixels or more, not {side}.")
    region = Region.from_mask(mask, stack.plane_shape)
    box = [
        slice(max(0, start - margin), min(length, start + extent + margin))
        for start, extent, length in zip(region.corner, region.labels.shape, region.plane_shape, strict=True)
        for margin in [max(_LEAST_AROUND, round(_AROUND * max(region.labels.shape)))]
    ]
    inside = np.asarray(mask)[box[0], box[1]] != 0
    # only these rows and columns are read, so that no volume is loaded for them
    pixels = stack.picture(plane, box[0], box[1], modality=modality)
    return Crop(_shown(_fitted(pixels, side), _fitted(inside, side), hidden), hidden)


def _fitted(values: npt.NDArray[np.generic], side: int) -> npt.NDArray[np.uint8]:
    """Scaled so that the longest side is between `SMALLEST` and `side`; masks stay without grey borders."""
    from PIL import Image

    of_mask = values.dtype == bool
    longest = max(values.shape[:2])
    factor = min(max(longest, min(SMALLEST, side)), side) / longest
    size = tuple(max(1, round(n * factor)) for n in values.shape[1::-1])
    picture = Image.fromarray(values.astype(np.uint8))
    method = (
        Image.Resampling.NEAREST if of_mask else Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    )
    return np.asarray(picture.resize((size[0], size[1]), method))


def _shown(pixels: npt.NDArray[np.uint8], inside: npt.NDArray[np.uint8], hidden: bool) -> npt.NDArray[np.uint8]:
    from scipy import ndimage

    shown = pixels.copy()
    marked = inside.astype(bool)
    if hidden:
        shown[~marked] = 0
        return shown
    wide = max(1, max(marked.shape) // 160)
    shown[ndimage.binary_dilation(marked, iterations=wide) & ~marked] = _OUTLINE
    return shown
