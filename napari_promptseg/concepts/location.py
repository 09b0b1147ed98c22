"""Where a region is: words by thirds of the picture, or of the body in medical planes.

Left and right are those of the picture as it is shown, not the patient's.
"""

from __future__ import annotations

import math

import numpy as np

from napari_promptseg.concepts.concept import SURE, Attribute
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.region import Region

#: Top, left, height and width of what places are told by, in pixels of the plane.
Frame = tuple[int, int, int, int]

#: Said of parts that lie too far apart for any place.
EVERYWHERE = "spread over the whole image"

#: Standard deviation of the parts' centres along an axis, as a share of the frame, from which on that axis says
#: nothing: parts spread evenly over a third have 0.10, over two thirds 0.19, over everything 0.29.
SPREAD = 0.17
#: How far the centre of a region moves between two drawings, in diameters and in pixels.
_CENTRE = Scatter(0.036, 1.38)

_BOTH = {
    (0, 0): "upper left",
    (0, 1): "upper centre",
    (0, 2): "upper right",
    (1, 0): "centre left",
    (1, 1): "centre",
    (1, 2): "centre right",
    (2, 0): "lower left",
    (2, 1): "lower centre",
    (2, 2): "lower right",
}
_ACROSS = ("spread across the upper part", "spread across the middle", "spread across the lower part")
_DOWN = ("spread down the left side", "spread down the middle", "spread down the right side")

#: All places that are said.
PLACE_WORDS = (*_BOTH.values(), *_ACROSS, *_DOWN, EVERYWHERE)


def location(region: Region, frame: Frame) -> Attribute:
    """Place of the region's centre of gravity in a grid of three by three.

    Several parts that are spread along an axis get no word for it; the confidence is the chance that a second drawing
    falls into the same thirds.
    """
    top, left, height, width = frame
    weights = region.areas / region.areas.sum()
    centres = (region.centroids - (top, left)) / (height, width)
    middle = weights @ centres
    apart = np.sqrt(np.maximum(weights @ (centres - middle) ** 2, 0.0))
    # a drawn part moves by itself: the centre of many moves less
    diameter = region.diameter
    moved = diameter * _CENTRE.at(diameter) / math.sqrt(region.n_parts)
    indices: list[int | None] = []
    confidence = 1.0
    for at, spread, length in zip(middle.tolist(), apart.tolist(), (height, width), strict=True):
        if spread > SPREAD:
            indices.append(None)
            continue
        thirds = Gradation(("0", "1", "2"), (1 / 3, 2 / 3), Scatter(moved / length))
        word, chance = thirds.judge(min(max(at, 0.0), 1.0), diameter)
        indices.append(int(word))
        confidence *= chance
    word = _phrase(indices[0], indices[1])
    measured = (*middle.tolist(), *apart.tolist())
    unit = "centre down and across, spread down and across, as shares of the frame"
    return Attribute("location", word, confidence, measured, unit, confidence >= SURE)


def _phrase(row: int | None, column: int | None) -> str:
    if row is None and column is None:
        return EVERYWHERE
    if row is None:
        return _DOWN[column or 0]
    if column is None:
        return _ACROSS[row]
    return _BOTH[row, column]
