"""The pixels of a region and of the ring around it, read once for everything that compares them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.region import Region
from napari_promptseg.images.stack import ImageStack

Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]

#: Width of the ring in diameters of a typical part, and its bounds in pixels.
_WIDTH, _NARROWEST, _WIDEST = 0.3, 5, 64
#: The ring keeps this far from the border, where pixels are mixed: in diameters, and at most so many pixels.
_GAP, _WIDEST_GAP = 0.04, 4
#: Regions are looked at with at most so many pixels a side.
_LARGEST_SIDE = 768
#: Colours are taken from so many pixels, evenly chosen.
_MOST_COLOURS = 8000
#: Fewer pixels say nothing about a side.
FEWEST_PIXELS = 12


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A window of the picture around a region.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(y, x, 3)`` uint8, every `step`-th pixel.
    inside : numpy.ndarray
        ``(y, x)`` bool, the region's exact pixels.
    ring : numpy.ndarray
        ``(y, x)`` bool, near the region and not in it.
    step : int
        Pixels of the plane per pixel here.
    coloured : bool
        Whether the colours are those of the scene, not a display's.
    """

    picture: npt.NDArray[np.uint8]
    inside: Mask
    ring: Mask
    step: int
    coloured: bool

    @classmethod
    def of_region(
        cls, region: Region, stack: ImageStack, plane: int = 0, modality: int = 0, body: Mask | None = None
    ) -> Surroundings:
        """Read the window around a region; the ring keeps to the body where one is given, if enough is left."""
        margin = ring_width(region) + 2
        height, width = region.labels.shape
        top, left = max(0, region.corner[0] - margin), max(0, region.corner[1] - margin)
        bottom = min(region.plane_shape[0], region.corner[0] + height + margin)
        right = min(region.plane_shape[1], region.corner[1] + width + margin)
        inside = np.zeros((bottom - top, right - left), dtype=bool)
        y, x = region.corner[0] - top, region.corner[1] - left
        inside[y : y + height, x : x + width] = region.mask
        step = max(1, -(-max(inside.shape) // _LARGEST_SIDE))
        picture = stack.picture(plane, slice(top, bottom), slice(left, right), modality=modality)
        ring = _ring(inside[::step, ::step], region, step)
        if body is not None:
            within = ring & body[top:bottom, left:right][::step, ::step]
            ring = within if np.count_nonzero(within) >= FEWEST_PIXELS else ring
        kind = stack.modalities[modality].kind
        shown = stack.modalities[modality].pixels.shape[-1] if stack.modalities[modality].channels else 1
        seen = np.ascontiguousarray(picture[::step, ::step])
        coloured = shown in (3, 4) and kind in ("auto", "rgb") and not is_grey(seen)
        return cls(seen, inside[::step, ::step], ring, step, coloured)

    @property
    def has_both(self) -> bool:
        """Whether there are enough pixels on both sides of the border to compare."""
        return bool(min(np.count_nonzero(self.inside), np.count_nonzero(self.ring)) >= FEWEST_PIXELS)

    @cached_property
    def lightness(self) -> Plane:
        """``(y, x)`` CIELAB lightness, 0 to 100, from the luma."""
        r, g, b = (self.picture[..., c].astype(np.uint16) for c in range(3))
        luma = ((r * 54 + g * 183 + b * 19 + 128) >> 8).astype(np.uint8)
        light: Plane = _LIGHTNESS[luma]
        return light

    @cached_property
    def colours(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """CIELAB ``(n, 3)`` of pixels inside and in the ring, an even choice of them."""
        from skimage.color import rgb2lab

        found = []
        for mask in (self.inside, self.ring):
            pixels = self.picture[mask]
            chosen = pixels[:: max(1, len(pixels) // _MOST_COLOURS)]
            found.append(rgb2lab(chosen[None])[0] if len(chosen) else np.zeros((0, 3)))
        return found[0], found[1]


def ring_width(region: Region) -> int:
    """Pixels from the border to the ring's outer edge."""
    return int(np.clip(round(_WIDTH * region.diameter), _NARROWEST, _WIDEST))


def _ring(inside: Mask, region: Region, step: int) -> Mask:
    from scipy import ndimage

    gap = round(min(_GAP * region.diameter, _WIDEST_GAP) / step)
    outer = max(gap + 2, round(ring_width(region) / step))
    seen = inside.view(np.uint8)
    near = ndimage.maximum_filter(seen, 2 * outer + 1, mode="constant")
    close = ndimage.maximum_filter(seen, 2 * gap + 1, mode="constant") if gap else seen
    ring: Mask = (near > 0) & (close == 0)
    return ring


def is_grey(picture: npt.NDArray[np.uint8]) -> bool:
    """Whether a colour picture shows only greys; a trace of colour is left by image compression."""
    spread = picture.max(axis=2) - picture.min(axis=2)
    return bool(np.percentile(spread, 98) <= 8)


def _lightness_table() -> npt.NDArray[np.float32]:
    """CIELAB lightness of the 256 greys of sRGB (IEC 61966-2-1, CIE 15)."""
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    root = np.where(linear > (6 / 29) ** 3, np.cbrt(linear), linear / (3 * (6 / 29) ** 2) + 4 / 29)
    return (116 * root - 16).astype(np.float32)


_LIGHTNESS = _lightness_table()
