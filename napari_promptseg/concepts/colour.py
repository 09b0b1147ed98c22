"""Colour names by the nearest typical colour in CIELAB."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.concept import SURE, Attribute
from napari_promptseg.concepts.gradation import normal
from napari_promptseg.concepts.surroundings import Surroundings

#: Typical colours in sRGB of the eleven basic colour terms (Berlin and Kay, "Basic color terms", 1969), several for
#: those that cover much of the space; brown, pink and orange share their hue with red and differ in lightness.
_TYPICAL: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((0, 0, 0), (25, 25, 28)),
    "white": ((255, 255, 255), (235, 235, 235)),
    "grey": ((90, 90, 90), (128, 128, 128), (180, 180, 180)),
    "red": ((220, 20, 30), (170, 20, 30), (200, 50, 45), (150, 40, 40), (185, 75, 65)),
    "orange": ((255, 140, 0), (235, 120, 40), (245, 160, 80)),
    "yellow": ((255, 235, 30), (225, 205, 60), (240, 230, 140)),
    "green": ((0, 160, 40), (60, 110, 50), (120, 190, 90), (40, 80, 40)),
    "blue": ((20, 60, 220), (60, 120, 200), (130, 180, 230), (30, 40, 110)),
    "purple": ((120, 30, 150), (150, 90, 180), (90, 50, 110)),
    "pink": ((255, 170, 190), (230, 130, 150), (220, 160, 170), (240, 90, 160), (215, 140, 130), (190, 115, 110)),
    "brown": ((110, 65, 30), (140, 90, 60), (80, 50, 35), (165, 115, 80)),
}

#: All colours that are said.
COLOUR_WORDS = tuple(_TYPICAL)

#: Difference of two colours' distances to their names that another display or lamp may make, in CIELAB.
_SHIFT = 6.0


def _table() -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    from skimage.color import rgb2lab

    names = tuple(name for name, colours in _TYPICAL.items() for _ in colours)
    values = np.array([c for colours in _TYPICAL.values() for c in colours], np.uint8)
    return names, rgb2lab(values[None])[0]


def colour_name(lab: npt.NDArray[np.float64]) -> tuple[str, float]:
    """Name of a CIELAB colour, and the chance that it is kept under another lamp or on another display."""
    names, values = _table()
    distances = np.linalg.norm(values - lab, axis=1)
    best = names[int(distances.argmin())]
    other = distances[[n != best for n in names]].min()
    return best, normal(float(other - distances.min()) / _SHIFT)


def colour(around: Surroundings) -> Attribute | None:
    """Name of the region's median colour; None in a picture without colours of its own."""
    if not around.coloured:
        return None
    inside, _ = around.colours
    middle = np.median(inside, axis=0)
    word, confidence = colour_name(middle)
    # a piebald region has no colour: the share of its pixels that are nearer to the middle than to most names
    near = float(np.mean(np.linalg.norm(inside - middle, axis=1) < 30))
    confidence = confidence * min(1.0, near / 0.8)
    if not math.isfinite(confidence):
        return None
    unit = "CIELAB lightness, green to red, blue to yellow"
    return Attribute("colour", word, confidence, tuple(middle.tolist()), unit, confidence >= SURE)
