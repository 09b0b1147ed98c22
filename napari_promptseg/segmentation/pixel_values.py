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

#: Values of a pixel: its brightness, and four of each width.
N_VALUES = 1 + 4 * len(WIDTHS)

#: Pixels that a second derivative needs along either side.
_LEAST_SIDE = 2


def pixel_values(picture: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Values of every pixel.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8; its brightness counts.

    Returns
    -------
    torch.Tensor
        ``(N_VALUES, Y, X)`` float32 on the processor: brightness from 0 to 1; then of each width mean, gradient, and
        the higher and the lower eigenvalue.
    """
    from skimage.feature import multiscale_basic_features

    grey = picture.mean(axis=-1, dtype=np.float32) / 255
    height, width = grey.shape
    missing = [(0, max(0, _LEAST_SIDE - side)) for side in grey.shape]
    measured = multiscale_basic_features(np.pad(grey, missing, mode="edge"), sigma_min=WIDTHS[0], sigma_max=WIDTHS[-1])
    values = np.concatenate([grey[None], np.moveaxis(measured[:height, :width], -1, 0)])
    return torch.from_numpy(values.astype(np.float32, copy=False))
