"""CT windows: which range of Hounsfield units becomes black to white, by name or by numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from napari_promptseg.errors import InputError
from napari_promptseg.images.normalisation import SOFT_TISSUE_WINDOW

#: ``(low, high)`` in Hounsfield units of radiology's usual windows, in the order in which they are offered.
CT_WINDOWS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "soft tissue": SOFT_TISSUE_WINDOW,
        "lung": (-1350.0, 150.0),
        "bone": (-600.0, 1400.0),
        "brain": (0.0, 80.0),
        "liver": (-15.0, 135.0),
    }
)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\s*\[?\s*({_NUMBER})\s*(?:,|;|\s|\.\.|:|\bto\b)\s*({_NUMBER})\s*\]?\s*")


def parse_window(text: str) -> tuple[float, float]:
    """Read a window that a person wrote.

    Parameters
    ----------
    text : str
        A name of `CT_WINDOWS` in any case, with spaces, hyphens or underscores (``"lung"``, ``"Soft-Tissue"``), or
        the values that become black and white: ``"-160,240"``.

    Returns
    -------
    tuple of float
        ``(low, high)`` in the image's values, Hounsfield units for CT.

    Raises
    ------
    InputError
        For an unknown name, numbers that are not finite, or a low end that is not below the high one.
    """
    name = re.sub(r"[\s_-]+", " ", text).strip().casefold()
    if name in CT_WINDOWS:
        return CT_WINDOWS[name]
    found = _RANGE.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is no window: name one of {', '.join(CT_WINDOWS)}, or give its ends as LOW,HIGH (-160,240)."
        )
    low, high = float(found[1]), float(found[2])
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"The ends of a window must be finite numbers, not {text.strip()!r}.")
    if not low < high:
        raise InputError(f"The window {low:g},{high:g} is empty: its first number must be the smaller one.")
    return low, high
