"""Reading the convolutional tower's levels on grids of the picture."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_promptseg.encoders.aligned_trunk import MARGIN, Level

SIZE = (96, 64)
GRID = (SIZE[0] // 8, SIZE[1] // 8)


def random_level(stride: int, centre: float) -> Level:
    height, width = ((side + 2 * MARGIN) // stride for side in SIZE)
    values = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(stride))
    return Level(values, stride, centre)


@pytest.mark.parametrize(("stride", "centre"), [(2, 0.75), (4, 0.875), (8, 0.45), (8, 0.5)])
def test_an_average_is_that_of_the_level_on_its_own_grid(stride: int, centre: float) -> None:
    level = random_level(stride, centre)
    own = level.on_grid((SIZE[0] // stride, SIZE[1] // stride), SIZE)
    torch.testing.assert_close(level.averaged(GRID, SIZE), functional.adaptive_avg_pool2d(own[None], GRID)[0])


def test_a_centred_level_on_its_own_grid_is_its_cells_without_the_margin() -> None:
    level = random_level(8, 0.5)
    torch.testing.assert_close(level.on_grid(GRID, SIZE), level.values[0, :, 2:-2, 2:-2], rtol=0, atol=0)
    nearly = Level(level.values, 8, 0.5 + 1e-6)
    torch.testing.assert_close(nearly.on_grid(GRID, SIZE), level.on_grid(GRID, SIZE), rtol=1e-4, atol=1e-4)
