"""The convolutional image tower of the embedded model, read at every level and on a grid that fits the picture.

Stride-2 convolutions with TensorFlow's "same" padding look half a step to the right and downwards, and the trained
kernels make up for that in part. Where a cell of a level effectively looks was measured by mirroring pictures: features
of the mirrored picture agree best with the mirrored features when cells are taken at `Level.centre`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

#: Margin in input pixels, mirrored from the picture; a multiple of the coarsest stride.
MARGIN = 16

#: Coarsest stride: deeper blocks are dilated instead of being strided.
STRIDE = 16

#: Where the cells of each stage look, as a share of their stride.
CENTRES = (0.75, 0.875, 0.45, 0.5, 0.65, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the tower: values and where its cells are.

    Parameters
    ----------
    values : torch.Tensor
        ``(1, c, h, w)``.
    stride : int
        Input pixels per cell.
    centre : float
        Where in its own square a cell looks, 0.5 being the middle, as a share of the stride.
    """

    values: torch.Tensor
    stride: int
    centre: float = 0.5

    def on_grid(self, grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
        """Bilinear values ``(c, *grid)`` at the centres of a grid that covers the picture of `size` exactly."""
        if self.centre == 0.5 and (grid[0] * self.stride, grid[1] * self.stride) == size:
            # the level's own cells, without those of the margin
            inset = MARGIN // self.stride
            return self.values[0, :, inset : inset + grid[0], inset : inset + grid[1]]
        axes = []
        for cells, pixels, have in zip(grid, size, self.values.shape[-2:], strict=True):
            at = (torch.arange(cells, device=self.values.device, dtype=torch.float32) + 0.5) * (pixels / cells) + MARGIN
            axes.append(2 * (at / self.stride - self.centre + 0.5) / have - 1)
        points = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1)[None].to(self.values.dtype)
        return F.grid_sample(self.values, points, mode="bilinear", padding_mode="border", align_corners=False)[0]

    def averaged(self, grid: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
        """Mean over each cell ``(c, *grid)`` of a grid as coarse as the level or a whole number of times coarser.

        The same as `on_grid` on the level's own grid and a mean of the cells, as one convolution: between whole cells
        the centre lies at the same place everywhere, and the margin is never left.
        """
        factor = size[0] // self.stride // grid[0]
        first = math.floor(0.5 - self.centre)
        share = 0.5 - self.centre - first
        taps = torch.ones(factor + 1)
        taps[0], taps[-1] = 1 - share, share
        kernel = (taps[:, None] * taps / factor**2).to(self.values).expand(self.values.shape[1], 1, -1, -1)
        begin = MARGIN // self.stride + first
        rows, columns = (slice(begin, begin + cells * factor + 1) for cells in grid)
        return F.conv2d(self.values[..., rows, columns], kernel, stride=factor, groups=len(kernel))[0]


def input_size(shape: tuple[int, int], area: int, *, enlarge: float = 4.0) -> tuple[int, int]:
    """Size at which a picture is read: about `area` pixels, same aspect, each side a multiple of the stride.

    A small picture is enlarged at most `enlarge` times; a side is never under two cells.
    """
    factor = min(math.sqrt(area / (shape[0] * shape[1])), enlarge)
    height, width = (max(2 * STRIDE, round(side * factor / STRIDE) * STRIDE) for side in shape)
    return height, width


def resized(picture: npt.NDArray[np.uint8], size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """``(1, 3, *size)`` float in ``[0, 1]``, antialiased where it shrinks."""
    x = torch.tensor(picture).to(device).permute(2, 0, 1)[None].float() / 255
    if tuple(x.shape[-2:]) != size:
        x = F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return x


class DilatedTrunk(nn.Module):
    """The tower's own layers, with the last stride replaced by dilation.

    Parameters
    ----------
    trunk : torch.nn.Module
        A timm EfficientNet made with ``output_stride=16``.
    mean, std : sequence of float
        Normalisation of the three channels.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, trunk: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        # much the fastest on a processor, and the same numbers: see `folded`
        self.trunk = folded(trunk).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def levels(self, x: torch.Tensor) -> list[Level]:
        """Outputs of the seven stages and of the final 1280-channel convolution, for ``(1, 3, y, x)`` in ``[0, 1]``.

        Parameters
        ----------
        x : torch.Tensor
            Sides are multiples of the stride.
        """
        total = x.shape[-1] + 2 * MARGIN
        x = self.stem(x)
        found = []
        for index in range(len(CENTRES)):
            x = self.stage(index, x)
            found.append(level_of(index, x, total))
        found.append(Level(self.top(x), STRIDE))
        return found

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """What the first stage reads of ``(1, 3, y, x)`` in ``[0, 1]``."""
        trunk: Any = self.trunk
        out: torch.Tensor = trunk.bn1(trunk.conv_stem(self.normalised(x)))
        return out

    def normalised(self, x: torch.Tensor) -> torch.Tensor:
        """``(1, 3, y, x)`` in ``[0, 1]`` as the first convolution reads it, with a mirrored margin."""
        return (mirrored(x, MARGIN) - self.mean) / self.std

    def stage(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """One of the seven stages."""
        trunk: Any = self.trunk
        out: torch.Tensor = trunk.blocks[index](x)
        return out

    def top(self, x: torch.Tensor) -> torch.Tensor:
        """The final 1280-channel convolution."""
        trunk: Any = self.trunk
        out: torch.Tensor = trunk.bn2(trunk.conv_head(x))
        return out


def folded(trunk: nn.Module) -> nn.Module:
    """A copy that gives the same numbers up to rounding, faster.

    Normalisation, which is frozen, becomes part of the convolutions' weights, and no map is copied to pad it.

    Parameters
    ----------
    trunk : torch.nn.Module
        Of timm's EfficientNets, in evaluation mode: in training, normalisation depends on the batch.
    """
    made = copy.deepcopy(trunk).eval()
    for module in list(made.modules()):
        for (own, convolution), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, own, _padding_itself(fuse_conv_bn_eval(convolution, norm)))
                # timm's normalisation has the activation in it
                setattr(module, after, getattr(norm, "act", nn.Identity()))
    return made.requires_grad_(False)


def _padding_itself(convolution: nn.Conv2d) -> nn.Conv2d:
    """TensorFlow's "same" padding at stride 2, one step more after the map than before it, without a padded copy.

    The kernel gets a row and a column of zeros in front, so that equal padding on both sides does the same on maps of
    even sides, and all are.
    """
    # not at the top: timm can be imported only after what `torchvision_bridge` does, as for any trunk
    from timm.layers import Conv2dSame

    if not isinstance(convolution, Conv2dSame) or convolution.stride != (2, 2):
        return convolution
    bias, groups = convolution.bias, convolution.groups
    side = convolution.kernel_size[0] + 1
    made = nn.Conv2d(
        convolution.in_channels, convolution.out_channels, side, 2, side // 2 - 1, groups=groups, bias=bias is not None
    )
    made.weight = nn.Parameter(F.pad(convolution.weight, (1, 0, 1, 0)))
    made.bias = bias
    return made


def level_of(index: int, values: torch.Tensor, total: int) -> Level:
    """A stage's output as a level; `total` is the width in pixels, margins included."""
    return Level(values, total // values.shape[-1], CENTRES[index])


def mirrored(x: torch.Tensor, margin: int) -> torch.Tensor:
    """Add a mirrored margin on all four sides, also where the picture is smaller than the margin."""
    while margin > 0:
        step = min(margin, x.shape[-1] - 1, x.shape[-2] - 1)
        if step < 1:
            return F.pad(x, (margin,) * 4, mode="replicate")
        x = F.pad(x, (step,) * 4, mode="reflect")
        margin -= step
    return x
