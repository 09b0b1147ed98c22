"""Colours for classes: distinct, readable on light and dark pictures, the same on every start."""

from __future__ import annotations

import colorsys

# Twelve hues that stay apart for the common kinds of colour blindness (after the Tol and Okabe-Ito palettes).
_FIRST = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#44aa99",
    "#aa4499",
    "#999933",
    "#ee6677",
    "#4477aa",
)


def colour_for(value: int) -> str:
    """Colour ``"#rrggbb"`` of a label value; past the first twelve, hues step by the golden angle."""
    if 1 <= value <= len(_FIRST):
        return _FIRST[value - 1]
    hue = (value * 0.618033988749895) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.35 * (value % 2), 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
