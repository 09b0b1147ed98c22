"""The four ways to the picture's edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.guided import GuidedFilter, box_mean, brightness_of, shrunk
from napari_promptseg.segmentation.pamr import PixelAdaptiveRefinement
from napari_promptseg.segmentation.refinement import Interpolation, make_refiner
from napari_promptseg.segmentation.settings import REFINEMENTS, SegmentationSettings


def noisy(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def halves(shape: tuple[int, int], edge: int) -> np.ndarray:
    picture = np.full((*shape, 3), 40, np.uint8)
    picture[:, edge:] = 210
    return picture


@pytest.mark.parametrize("name", REFINEMENTS)
@pytest.mark.parametrize("shape", [(8, 8), (64, 400), (1, 5), (70, 50)])
def test_constant_maps_stay_constant_on_any_picture(name, shape):
    refiner = make_refiner(noisy(shape), SegmentationSettings(refinement=name))
    levels = torch.tensor([0.1, 0.25, 0.65])
    maps = refiner(levels[:, None, None].expand(3, 4, 6).contiguous())
    assert maps.shape == shape
    for i, level in enumerate(levels):
        torch.testing.assert_close(maps.full(i), torch.full(shape, float(level)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", REFINEMENTS)
def test_probabilities_still_add_up(name):
    maps = torch.softmax(torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1)), dim=0)
    refined = make_refiner(noisy((60, 50)), SegmentationSettings(refinement=name))(maps)
    total = sum(refined.full(i) for i in range(4))
    torch.testing.assert_close(total, torch.ones(60, 50), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", REFINEMENTS)
def test_a_constant_or_black_picture_is_no_trouble(name):
    refiner = make_refiner(np.zeros((40, 40, 3), np.uint8), SegmentationSettings(refinement=name))
    values = refiner(torch.rand(3, 5, 5)).on_working_grid()
    assert torch.isfinite(values).all()


@pytest.mark.parametrize(("name", "within"), [("guided", 2), ("superpixels", 3), ("pamr", 6)])
def test_refinement_moves_a_blurred_border_to_the_pictures_edge(name, within):
    edge = 110  # the maps' own border is at 100
    maps = torch.zeros(2, 10, 10)
    maps[1, :, 5:] = 1
    maps[0] = 1 - maps[1]
    settings = SegmentationSettings(refinement=name, superpixels=100, guided_radius=12, guided_side=100)
    refined = make_refiner(halves((200, 200), edge), settings)(maps).full(1)[100]
    border = int((refined > 0.5).nonzero()[0])
    plain = Interpolation(halves((200, 200), edge))(maps).full(1)[100]
    assert abs(int((plain > 0.5).nonzero()[0]) - 100) <= 1
    assert abs(border - edge) <= within


def test_guided_filter_on_a_flat_picture_is_two_box_means():
    maps = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(2))
    refined = GuidedFilter(np.full((32, 32, 3), 90, np.uint8), side=32, radius=2)(maps)
    torch.testing.assert_close(refined.full(0), box_mean(box_mean(maps, 2), 2)[0], atol=1e-5, rtol=0)


def test_single_pixels_agree_with_whole_maps():
    refined = GuidedFilter(noisy((90, 140)), side=32)(torch.rand(3, 7, 9))
    whole = torch.stack([refined.full(i) for i in range(3)])
    rows, columns = torch.tensor([0, 89, 41, 7]), torch.tensor([139, 0, 77, 8])
    torch.testing.assert_close(refined.at(rows, columns), whole[:, rows, columns], atol=1e-5, rtol=0)


def test_shrinking_keeps_cell_means():
    plane = torch.rand(64, 96)
    torch.testing.assert_close(shrunk(plane, (16, 24)), F.avg_pool2d(plane[None], 4)[0])
    assert shrunk(plane, (17, 30)).mean() == pytest.approx(float(plane.mean()), abs=0.02)


def test_brightness_is_luma():
    picture = np.zeros((1, 3, 3), np.uint8)
    picture[0, 0], picture[0, 1], picture[0, 2] = (255, 0, 0), (255, 255, 255), (0, 0, 255)
    torch.testing.assert_close(brightness_of(picture), torch.tensor([[76.245, 255.0, 29.07]]), atol=1e-2, rtol=0)


def test_pamr_weights_add_up_and_prefer_like_colours():
    refiner = PixelAdaptiveRefinement(halves((40, 40), 20))
    weights = refiner._weights
    torch.testing.assert_close(weights.sum(0), torch.ones(40, 40), atol=1e-4, rtol=0)
    across = [i for i, (_, x) in enumerate(refiner._steps) if x > 0]
    assert weights[across, 20, 19].sum() < 0.01 * weights[across, 20, 10].sum()
