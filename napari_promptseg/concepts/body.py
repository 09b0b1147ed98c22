"""The body in a CT or MR plane, so that places are told by it and not by the air around it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Less than this share of the plane is no body but noise.
_LEAST = 0.02
_LARGEST_SIDE = 256


def body_mask(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """The largest bright part of a grey picture, holes filled.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(y, x)`` uint8.

    Returns
    -------
    numpy.ndarray or None
        ``(y, x)`` bool; None where nothing stands out from the air, or the body fills the plane.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    step = max(1, -(-max(picture.shape) // _LARGEST_SIDE))
    small = picture[::step, ::step]
    if small.min() == small.max():
        return None
    # half of Otsu's border: fat and lung edges belong to the body
    bright = ndimage.binary_opening(small > threshold_otsu(small) / 2)
    parts, n = ndimage.label(bright)
    if n == 0:
        return None
    largest = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(largest)
    if not _LEAST < filled.mean() < 1:
        return None
    whole = np.repeat(np.repeat(filled, step, axis=0), step, axis=1)
    return whole[: picture.shape[0], : picture.shape[1]]
