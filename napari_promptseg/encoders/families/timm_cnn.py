"""timm convolutional trunks inside OpenCLIP: ConvNeXt, FastViT (MobileCLIP-S) and plain CNNs.

The trunk's own head runs on every cell as if it were a picture of one cell, so normalisation, projection and any MLP
are the library's. For a head that is linear after average pooling the mean over cells is the pooled embedding.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from napari_promptseg.encoders.families.tower import ImageTower, TowerFeatures, as_pair, stack_levels
from napari_promptseg.errors import ModelError


class TimmCNN(ImageTower):
    """A timm trunk with a feature map and average pooling, and OpenCLIP's head."""

    family: ClassVar[str] = "timm CNN"
    modes: ClassVar[tuple[str, ...]] = ("vanilla",)
    windowed = False

    def __init__(self, visual: Any) -> None:
        trunk = visual.trunk
        if any(type(part).__name__ in ("RotAttentionPool2d", "AttentionPool2d") for part in visual.head):
            raise ModelError("A timm CNN with attention pooling is not supported for dense features.")
        self.visual = visual
        self._trunk = trunk
        self._head = visual.head
        self.stride = int(trunk.feature_info[-1]["reduction"])
        side = as_pair(visual.image_size)
        self.native_grid = (max(1, side[0] // self.stride), max(1, side[1] // self.stride))
        self.default_mode = "vanilla"

    def extract(self, pixels: torch.Tensor, mode: str) -> TowerFeatures:
        """See `ImageTower.extract`."""
        final, levels = self._trunk.forward_intermediates(pixels)
        pooled = self._head(self._trunk.forward_head(final))
        b, c, h, w = final.shape
        cells = final.permute(0, 2, 3, 1).reshape(b * h * w, c, 1, 1)
        semantic = self._head(self._trunk.forward_head(cells)).reshape(b, h, w, -1)
        # levels above the last: at most stride 4, brought to a quarter of the last one's cells
        detail = stack_levels([level for level in levels if level.shape[-2] > h], (4 * h, 4 * w))
        return TowerFeatures(semantic, detail, pooled)


class ConvNeXt(TimmCNN):
    """ConvNeXt towers (LAION)."""

    family: ClassVar[str] = "ConvNeXt"


class FastViT(TimmCNN):
    """FastViT towers of MobileCLIP-S and MobileCLIP2-S."""

    family: ClassVar[str] = "FastViT"
