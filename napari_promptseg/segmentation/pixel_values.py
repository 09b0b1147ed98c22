"""What single pixels and their neighbourhoods measure: brightness, edges and texture at several widths.

The values that pixel classifiers of microscopy are taught on (ilastik: Berg et al., Nature Methods 2019), as
scikit-image takes them: a Gaussian's mean, the length of its gradient and both eigenvalues of its Hessian.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

#: Standard deviations of the Gaussians, in pixels.
WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)

#: Values of a pixel: its brightness, and four of each width; of a coloured one, as many of each colour.
N_VALUES = 1 + 4 * len(WIDTHS)
N_COLOUR_VALUES = 3 * N_VALUES

#: Pixels that a second derivative needs along either side.
_LEAST_SIDE = 2


def has_colour(picture: npt.NDArray[np.uint8]) -> bool:
    """Whether any pixel of a ``(Y, X, 3)`` picture is not grey."""
    return bool((picture != picture[..., :1]).any())


def pixel_values(picture: npt.NDArray[np.uint8], *, colour: bool = False) -> torch.Tensor:
    """Values of every pixel.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    colour : bool
        Red, green and blue are measured each for itself, else their mean.

    Returns
    -------
    torch.Tensor
        ``(N_VALUES, Y, X)`` or ``(N_COLOUR_VALUES, Y, X)`` float32 on the processor: brightness from 0 to 1 (of each
        colour); then (colour by colour) of each width mean, gradient, and the higher and the lower eigenvalue.
    """
    from skimage.feature import multiscale_basic_features

    bright = picture.astype(np.float32) / 255
    if not colour:
        bright = bright.mean(axis=-1, keepdims=True)
    height, width = bright.shape[:2]
    missing = [*((0, max(0, _LEAST_SIDE - side)) for side in (height, width)), (0, 0)]
    padded = np.pad(bright, missing, mode="edge")
    measured = multiscale_basic_features(padded, sigma_min=WIDTHS[0], sigma_max=WIDTHS[-1], channel_axis=-1)
    values = np.concatenate([bright, measured[:height, :width]], axis=-1)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0), dtype=np.float32))
