"""Superpixel pooling: one probability per region of like colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from skimage.segmentation import slic

from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.sampling import grid_within


class SuperpixelPooling:
    """SLIC regions (Achanta et al. 2012, scikit-image), each given the mean of the maps inside it.

    Parameters
    ----------
    picture : numpy.ndarray
        ``(Y, X, 3)`` uint8. Regions are found on the working grid, once.
    count : int
        Regions wanted.
    """

    def __init__(
        self,
        picture: npt.NDArray[np.uint8],
        *,
        count: int = 1000,
        working_side: int = 320,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = (int(picture.shape[0]), int(picture.shape[1]))
        self.working_shape = grid_within(self.shape, working_side)
        small = shrunk_picture(picture, self.working_shape)
        count = max(1, min(count, self.working_shape[0] * self.working_shape[1] // 4))
        regions = slic(small, n_segments=count, compactness=10, start_label=0, channel_axis=-1)
        self._regions = torch.as_tensor(regions.astype(np.int64).ravel()).to(device)
        self._sizes = torch.bincount(self._regions).clamp_min(1).float()

    def __call__(self, probabilities: torch.Tensor) -> PixelMaps:
        """Pool ``(K, h, w)`` maps that cover the picture exactly."""
        n_maps = probabilities.shape[0]
        fine = F.interpolate(probabilities[None], size=self.working_shape, mode="bilinear", align_corners=False)[0]
        sums = probabilities.new_zeros(n_maps, self._sizes.shape[0])
        sums.index_add_(1, self._regions, fine.reshape(n_maps, -1))
        pooled = (sums / self._sizes)[:, self._regions].view(n_maps, *self.working_shape)
        return PixelMaps(pooled, self.shape, self.working_shape)


def shrunk_picture(picture: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """``(Y, X, 3)`` uint8 brought to a smaller grid: ``(*shape, 3)`` float32 in ``[0, 1]``."""
    pixels = torch.as_tensor(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    small = F.interpolate(pixels, size=shape, mode="area") if tuple(picture.shape[:2]) != shape else pixels
    out: npt.NDArray[np.float32] = small[0].permute(1, 2, 0).contiguous().numpy()
    return out
