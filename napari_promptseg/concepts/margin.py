"""Whether a region's border is sharp or blurred: how far the step in lightness is drawn out across it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.concept import Attribute
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.surroundings import Surroundings

#: Width of the step over the region's diameter.
MARGIN = Gradation(("sharp", "", "blurred"), (0.1, 0.18), Scatter(0.052, 3.0), np.log2)

#: Points along the border, and samples across it on either side.
_POINTS, _SAMPLES = 192, 12
#: Steps under this lightness are too weak to have a width.
_WEAKEST = 5.0
#: Width in pixels of the sharpest step a picture holds.
_SHARPEST = 2.5


def margin(around: Surroundings, diameter: float) -> Attribute | None:
    """``sharp`` or ``blurred``; None where there is no step to measure or its width is in between. Off by default."""
    relative = step_width(around, diameter)
    if relative is None:
        return None
    word, confidence = MARGIN.judge(relative, diameter)
    if not word:
        return None
    unit = "width of the step over the region's diameter; pixels"
    return Attribute("margin", word, confidence, (relative, relative * diameter), unit, False)


def step_width(around: Surroundings, diameter: float) -> float | None:
    """Width of the border over the region's diameter; None where there is no step to measure.

    At each of many points the lightness is read along the normal; the step over its steepest slope is the width, and
    the steepest place may lie off the drawn line, so that a careless outline does not look like a blurred border.
    """
    from scipy import ndimage

    across = diameter / around.step
    if across < 8:
        return None
    reach = max(3.0, 0.2 * across)
    soft = ndimage.gaussian_filter(around.inside.astype(np.float32), max(1.0, 0.03 * across))
    border = around.inside & (ndimage.minimum_filter(around.inside.view(np.uint8), 3, mode="constant") == 0)
    rows, columns = np.nonzero(border)
    chosen = np.linspace(0, len(rows) - 1, min(_POINTS, len(rows))).round().astype(int)
    rows, columns = rows[chosen], columns[chosen]
    down, right = np.gradient(soft)
    normals = -np.stack([down[rows, columns], right[rows, columns]])
    length = np.linalg.norm(normals, axis=0)
    clear = length > 1e-6
    if np.count_nonzero(clear) < 8:
        return None
    normals = normals[:, clear] / length[clear]
    offsets = np.linspace(-reach, reach, 2 * _SAMPLES + 1)
    at_rows = rows[clear][:, None] + normals[0][:, None] * offsets
    at_columns = columns[clear][:, None] + normals[1][:, None] * offsets
    height, width = around.inside.shape
    whole = (at_rows.min(1) >= 0) & (at_rows.max(1) <= height - 1)
    whole &= (at_columns.min(1) >= 0) & (at_columns.max(1) <= width - 1)
    if np.count_nonzero(whole) < 8:
        return None
    light = ndimage.gaussian_filter(around.lightness, 0.7)
    profiles = ndimage.map_coordinates(light, [at_rows[whole], at_columns[whole]], order=1, mode="nearest")
    widths = _widths(profiles, 2 * reach / (2 * _SAMPLES))
    if len(widths) < 8:
        return None
    # a camera and a pixel grid draw every step out over this much
    drawn_out = np.sqrt(max(float(np.median(widths)) ** 2 - _SHARPEST**2, 0.25))
    return float(drawn_out) / across


def _widths(profiles: npt.NDArray[np.float32], spacing: float) -> npt.NDArray[np.float64]:
    """Step over steepest slope of each profile ``(n, samples)``, for those whose step is strong enough."""
    from scipy import ndimage

    # noise is steep too: neighbours on the border and along the normal share it out
    profiles = ndimage.gaussian_filter(profiles, (1.0, 0.7), mode=("wrap", "nearest"))
    quarter = profiles.shape[1] // 4
    step = profiles[:, -quarter:].mean(axis=1) - profiles[:, :quarter].mean(axis=1)
    slope = np.diff(profiles, axis=1) / spacing * np.sign(step)[:, None]
    strong = np.abs(step) >= _WEAKEST
    found: npt.NDArray[np.float64] = np.abs(step[strong]) / np.maximum(slope[strong].max(axis=1), 1e-6)
    return found
