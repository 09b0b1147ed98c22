"""How a region looks against the ring around it: brightness, contrast and texture."""

from __future__ import annotations

import numpy as np

from napari_promptseg.concepts.concept import SURE, Attribute
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.surroundings import FEWEST_PIXELS, Surroundings

#: Difference of mean lightness over its spread; under the lower border the region is as bright as what surrounds it.
BRIGHTNESS = Gradation(("dark", "", "bright"), (-0.6, 0.6), Scatter(0.092, 2.98))
CONTRAST = Gradation(
    ("poorly contrasted", "moderately contrasted", "well contrasted"), (0.7, 1.6), Scatter(0.047, 1.71), np.log2
)
#: Local detail inside over that in the ring.
TEXTURE = Gradation(("smooth", "", "textured"), (0.7, 1.4), Scatter(0.02, 1.19), np.log2)

#: Differences under this lightness are not seen, however uniform the two sides are.
_JUST_SEEN = 4.0
#: Detail under this lightness per pixel counts as none.
_FLAT = 0.4


def intensity(around: Surroundings, diameter: float) -> Attribute | None:
    """``bright`` or ``dark`` against the ring; None where it is neither."""
    measured = intensity_effect(around)
    word, confidence = BRIGHTNESS.judge(measured[0], diameter)
    if not word:
        return None
    unit = "difference over spread; lightness inside; lightness around (0 to 100)"
    return Attribute("intensity", word, confidence, measured, unit, confidence >= SURE)


def intensity_effect(around: Surroundings) -> tuple[float, float, float]:
    """Difference of the mean lightness inside and around over its spread, and the two means."""
    inside, ring = around.lightness[around.inside], around.lightness[around.ring]
    spread = np.sqrt((inside.var() + ring.var()) / 2 + _JUST_SEEN**2)
    return float((inside.mean() - ring.mean()) / spread), float(inside.mean()), float(ring.mean())


def contrast(around: Surroundings, diameter: float) -> Attribute:
    """How well the region stands out, by lightness and colour together; off by default."""
    measured = contrast_effect(around)
    word, confidence = CONTRAST.judge(measured[0], diameter)
    return Attribute("contrast", word, confidence, measured, "difference over spread; CIELAB distance", False)


def contrast_effect(around: Surroundings) -> tuple[float, float]:
    """CIELAB distance of the mean colours inside and around over its spread, and the distance."""
    inside, ring = around.colours
    difference = float(np.linalg.norm(inside.mean(axis=0) - ring.mean(axis=0)))
    spread = np.sqrt((inside.var(axis=0).sum() + ring.var(axis=0).sum()) / 2 + _JUST_SEEN**2)
    return max(difference / float(spread), 1e-3), difference


def texture(around: Surroundings, diameter: float) -> Attribute | None:
    """``smooth`` or ``textured`` against the ring, away from the border; None where it is neither. Off by default."""
    measured = detail_ratio(around, diameter)
    if measured is None:
        return None
    word, confidence = TEXTURE.judge(measured[0], diameter)
    if not word:
        return None
    unit = "ratio of local detail; detail inside; detail around (lightness per pixel)"
    return Attribute("texture", word, confidence, measured, unit, False)


def detail_ratio(around: Surroundings, diameter: float) -> tuple[float, float, float] | None:
    """Median gradient of lightness inside over that in the ring, and the two; None for too few pixels."""
    from scipy import ndimage

    light = around.lightness
    # the border's own step is no texture
    edge = 3 if diameter / around.step > 16 else 1
    core = ndimage.minimum_filter(around.inside.view(np.uint8), 2 * edge + 1, mode="constant") > 0
    if min(np.count_nonzero(core), np.count_nonzero(around.ring)) < FEWEST_PIXELS:
        return None
    # a pixel's difference to the next one, by slices: a turned picture gives the same figures
    down = np.abs(np.diff(light, axis=0))[:, :-1] + np.abs(np.diff(light, axis=0))[:, 1:]
    across = np.abs(np.diff(light, axis=1))[:-1] + np.abs(np.diff(light, axis=1))[1:]
    detail = np.hypot(down, across) / 2
    # the median of each side: a vessel or a highlight that crosses one does not make it textured
    inside, outside = (max(float(np.median(detail[mask[:-1, :-1]])), _FLAT) for mask in (core, around.ring))
    return inside / outside, inside, outside
