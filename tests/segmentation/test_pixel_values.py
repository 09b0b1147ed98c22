"""Brightness, edges and texture of pixels, held against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_promptseg.segmentation.pixel_values import N_COLOUR_VALUES, N_VALUES, WIDTHS, has_colour, pixel_values


def picture(grey):
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=-1)


def test_means_are_those_of_gaussians():
    grey = np.random.default_rng(0).integers(0, 256, (65, 90)).astype(np.uint8)
    found = pixel_values(picture(grey)).numpy()
    assert found.shape == (N_VALUES, 65, 90)
    assert np.allclose(found[0], grey / 255, atol=1e-6)
    for i, sigma in enumerate(WIDTHS):
        wanted = ndimage.gaussian_filter(grey / 255, sigma, mode="nearest")
        assert np.allclose(found[1 + 4 * i], wanted, atol=1e-4), sigma


def test_edges_ridges_and_slopes():
    ramp = np.tile(np.arange(80) * 3, (80, 1))
    found = pixel_values(picture(ramp)).numpy()
    for i, _ in enumerate(WIDTHS[:3]):
        gradient, *bends = found[2 + 4 * i : 5 + 4 * i, 40, 40]
        assert gradient == pytest.approx(found[2, 40, 40], rel=0.02)  # a slope is as steep at every width
        assert gradient > 0.005
        assert np.abs(bends).max() < 1e-4
    line = np.zeros((40, 40))
    line[:, 20] = 255
    high, low = pixel_values(picture(line)).numpy()[7:9, 20, 20]
    assert low < -0.01  # a bright ridge bends down across it
    assert abs(high) < 1e-3


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 5), (9, 200), (37, 41)])
def test_small_and_odd_pictures(shape):
    found = pixel_values(np.full((*shape, 3), 100, np.uint8))
    assert found.shape == (N_VALUES, *shape)
    assert np.allclose(found[0], 100 / 255)
    assert np.allclose(found[1::4], 100 / 255, atol=1e-5)


def test_colours_are_each_measured_as_a_grey_picture_is():
    coloured = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    found = pixel_values(coloured, colour=True).numpy()
    assert found.shape == (N_COLOUR_VALUES, 20, 30)
    for channel in range(3):
        alone = pixel_values(picture(coloured[..., channel])).numpy()
        own = [channel, *range(3 + channel * (N_VALUES - 1), 3 + (channel + 1) * (N_VALUES - 1))]
        np.testing.assert_allclose(found[own], alone, atol=1e-5)
    assert has_colour(coloured)
    assert not has_colour(picture(coloured[..., 0]))
