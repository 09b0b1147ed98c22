"""Oblique volumes beside straight ones: shown straightened, but compared and resampled where they lie."""

import numpy as np
import pytest
from napari.layers import Image

from napari_promptseg.gui.layers import View
from napari_promptseg.gui.modality_layers import Shown, mismatch, resampled_onto, same_place
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.resampling import resampled
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.reader_plugin import layers_of

SHAPE = (14, 13, 12)  # x, y, z


def volume(angle, values=None):
    """A layer as the reader makes it, of a volume turned about its middle and the x axis."""
    c, s = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) * 2.0
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    geometry = Geometry.of_file(SHAPE, affine)
    pixels = np.zeros(geometry.shape, np.float32) if values is None else values
    stack = ImageStack((Modality("volume", pixels, kind="mr"),), geometry.spacing, "mm", geometry=geometry)
    data, keywords, _ = layers_of(stack)[0]
    return Image(data, **keywords), geometry


def test_a_turned_volume_is_resampled_to_where_it_lies():
    values = np.random.default_rng(0).normal(size=SHAPE[::-1]).astype(np.float32)
    (main, straight), (other, oblique) = volume(0.0), volume(0.35, values)
    found, _, _ = resampled_onto(main, View(), Shown(other))
    expected = resampled(values, np.linalg.solve(oblique.affine, straight.affine), straight.shape)
    inside = (slice(4, 8), slice(4, 9), slice(1, -1))
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)
    assert np.abs(expected[inside] - values[inside]).max() > 0.5


def test_the_same_middle_is_not_the_same_place():
    (main, _), (other, _), (again, _) = volume(0.0), volume(0.35), volume(0.35)
    np.testing.assert_allclose(main.data_to_world((0, 0, 0)), other.data_to_world((0, 0, 0)), atol=1e-6)
    assert not same_place(main, View(), other, View())
    assert mismatch(main, View(), Shown(other))
    assert same_place(other, View(), again, View())
    # what was made of an oblique volume in napari lies where it is shown
    copy = Image(np.zeros(SHAPE[::-1]), scale=other.scale, translate=other.translate)
    assert same_place(other, View(), copy, View())


@pytest.mark.parametrize("angle", [0.0, 0.35])
def test_a_layer_that_was_moved_by_hand_stays_moved(angle):
    (main, _), (other, _) = volume(angle), volume(angle)
    other.translate = np.add(other.translate, (6.0, 0.0, 0.0))
    assert not same_place(main, View(), other, View())
