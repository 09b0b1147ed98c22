"""Regions through the transforms of image and layer: the same place in the world, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import View, geometry, plane_source
from napari_promptseg.gui.region_places import between, painted_regions, pixels_of, plane_index, plane_number
from napari_promptseg.images.outlines import ellipse_mask, polygon_mask

SHAPE = (40, 56)
CORNERS = np.array([[5.2, 6.3], [4.1, 30.7], [22.6, 41.2], [33.3, 12.8], [18.4, 17.9]])
TURNED = {"scale": (0.5, 2.0), "rotate": 33, "shear": [0.3], "translate": (7, -11)}
AFFINE = {"affine": np.array([[0.8, -0.4, 3], [0.5, 1.2, -6], [0, 0, 1]]), "scale": (2, 1)}
STACK = {"scale": (3, 0.5, 2.0), "rotate": np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]), "translate": (9, 1, 2)}


def image(shape=SHAPE, **place):
    return Image(np.zeros(shape, np.uint8), **place)


def drawn(layer, shape_layer, corners, kind="polygon", view=None):
    view = view or View()
    return pixels_of(corners, kind, between(shape_layer, layer, view), layer, view)


def in_layer(corners, of, to):
    """The same places of the world in another layer's coordinates."""
    return np.array([to.world_to_data(of.data_to_world(c)) for c in corners])


@pytest.mark.parametrize("place", [{}, TURNED, AFFINE])
@pytest.mark.parametrize("other", [{}, TURNED, AFFINE, {"rotate": 90}, {"scale": (3, 3), "translate": (1, 1)}])
@pytest.mark.parametrize("kind", ["polygon", "ellipse", "rectangle"])
def test_same_pixels_whatever_transforms_image_and_layer_have(place, other, kind):
    layer, shapes = image(**place), Shapes(ndim=2, **other)
    frame = np.array([[5.2, 9.3], [5.2, 30.6], [20.1, 30.6], [20.1, 9.3]])
    corners = CORNERS if kind == "polygon" else frame
    expected = (ellipse_mask if kind == "ellipse" else polygon_mask)(corners, SHAPE).mask
    plane, marked = drawn(layer, shapes, in_layer(corners, layer, shapes), kind)
    assert plane == 0
    assert np.array_equal(marked.mask, expected)


@pytest.mark.parametrize("other", [{}, STACK, {"translate": (-4, 0, 0)}])
def test_planes_of_stacks(other):
    layer, shapes = image((5, *SHAPE), **STACK), Shapes(ndim=3, **other)
    for z in range(5):
        at = np.concatenate([np.full((5, 1), float(z)), CORNERS], axis=1)
        plane, marked = drawn(layer, shapes, in_layer(at, layer, shapes))
        assert plane == z
        assert np.array_equal(marked.mask, polygon_mask(CORNERS, SHAPE).mask)


def test_time_and_depth_number_the_planes_as_the_result_does():
    layer = image((3, 4, *SHAPE))
    at = np.concatenate([np.full((5, 1), 2.0), np.full((5, 1), 1.0), CORNERS], axis=1)
    plane, _ = drawn(layer, Shapes(ndim=4), at)
    assert plane == plane_number(layer, View(), (2, 1)) == 9
    assert plane_index(layer, View(), plane) == (2, 1)


def test_an_axis_of_channels_is_no_axis_of_planes():
    layer, view = image((3, 5, *SHAPE)), View(channel_axis=0)
    shapes = Shapes(ndim=4, **geometry(layer, view))
    at = np.concatenate([np.zeros((5, 1)), np.full((5, 1), 4.0), CORNERS], axis=1)
    plane, marked = drawn(layer, shapes, at, view=view)
    assert (plane, plane_index(layer, view, plane)) == (4, (0, 4))
    assert np.array_equal(marked.mask, polygon_mask(CORNERS, SHAPE).mask)


def test_colours_are_no_axis():
    layer = Image(np.zeros((*SHAPE, 3), np.uint8), rgb=True)
    assert np.array_equal(drawn(layer, Shapes(ndim=2), CORNERS)[1].mask, polygon_mask(CORNERS, SHAPE).mask)


def test_pixels_are_those_of_the_level_that_is_looked_at():
    pyramid = [np.zeros((64, 96), np.uint8), np.zeros((32, 48), np.uint8)]
    layer = Image(pyramid, multiscale=True, scale=(2, 2))
    shapes = Shapes(ndim=2, scale=(2, 2))
    square = np.array([[9.5, 19.5], [9.5, 39.5], [29.5, 39.5], [29.5, 19.5]])  # pixels 10 to 29, 20 to 39
    fine = drawn(layer, shapes, square, view=View(level=0))[1]
    coarse = drawn(layer, shapes, square, view=View(level=1))[1]
    assert (fine.corner, fine.crop.shape) == ((10, 20), (20, 20))
    assert (coarse.corner, coarse.crop.shape) == ((5, 10), (10, 10))
    assert fine.crop.all()
    assert coarse.crop.all()


def test_planes_of_a_level_with_fewer_are_those_in_sight():
    layer = Image([np.zeros((8, 64, 96), np.uint8), np.zeros((4, 32, 48), np.uint8)], multiscale=True)
    view = View(level=1)
    for z in range(8):
        at = np.concatenate([np.full((5, 1), float(z)), CORNERS], axis=1)
        assert drawn(layer, Shapes(ndim=3), at, view=view)[0] == z // 2
        assert plane_source(layer, view, (z, 0, 0)).index == (z // 2,)


def test_a_plane_is_found_in_spite_of_noise_and_half_way_between_two_as_napari_does():
    layer, shapes = image((5, *SHAPE)), Shapes(ndim=3)
    z = np.array([[2.50001], [2.49999], [2.5], [2.5], [2.5]])
    assert drawn(layer, shapes, np.concatenate([z, CORNERS], axis=1))[0] == 2
    assert drawn(layer, shapes, np.concatenate([z + 1, CORNERS], axis=1))[0] == 4


@pytest.mark.parametrize(
    ("corners", "kind", "words"),
    [
        ([(1, 5, 5), (1, 5, 20), (3, 20, 20)], "polygon", "spans the planes 1 to 3"),
        ([(1, 5, 5), (4, 5, 5), (4, 9, 20), (1, 9, 20)], "rectangle", "spans the planes 1 to 4"),
        ([(7, 5, 5), (7, 5, 20), (7, 20, 20)], "polygon", "lies on plane 7, outside the image: its planes are 0 to 4"),
        ([(-2, 5, 5), (-2, 5, 20), (-2, 20, 20)], "polygon", "lies on plane -2"),
        ([(1, 50, 5), (1, 50, 20), (1, 60, 20)], "polygon", "outside the image"),
        ([(1, 5, 5), (1, 5, 20)], "line", "line has no area"),
        ([(1, 5, 5), (1, 10, 10), (1, 20, 20)], "polygon", "no area"),
        ([(1, 5, 5), (1, 5, 5), (1, 5, 5), (1, 5, 5)], "ellipse", "no area"),
        ([(1, 4.6, 4.6), (1, 4.6, 5.4), (1, 5.4, 5.4), (1, 5.4, 4.6)], "rectangle", "only 1 pixel:"),
        ([(1, 4.6, 4.6), (1, 4.6, 7.4), (1, 5.4, 7.4), (1, 5.4, 4.6)], "rectangle", "only 3 pixels:"),
        ([(1, -9, -9), (1, -9, 99), (1, 99, 99), (1, 99, -9)], "rectangle", "whole image"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(corners, kind, words):
    layer = image((5, *SHAPE))
    with pytest.raises(InputError, match=words) as caught:
        drawn(layer, Shapes(ndim=3), corners, kind)
    assert str(caught.value).count(".") == 1


def test_a_layer_with_other_axes_is_refused():
    with pytest.raises(InputError, match="'flat' has 2 axes but the image 'deep' has 3"):
        between(Shapes(ndim=2, name="flat"), image((5, *SHAPE), name="deep"), View())


# ---- painted


def test_painted_regions_are_one_for_each_plane():
    layer = image((4, *SHAPE))
    labels = Labels(np.zeros((4, *SHAPE), np.uint8))
    labels.data[1, 3:9, 4:20] = 7
    labels.data[3, 30:, 50:] = 7
    labels.data[2, :5, :5] = 2
    labels.data[0, 3, 3] = 7  # a slip of the brush
    found = painted_regions(labels, 7, layer, View())
    assert [s.plane for s in found] == [1, 3]
    assert all(np.array_equal(s.mask, labels.data[s.plane] == 7) for s in found)
    (again,) = painted_regions(labels, 7, layer, View(), plane=3)
    labels.name = "renamed"
    assert again.key == painted_regions(labels, 7, layer, View())[1].key
    assert {s.kind for s in found} == {"painted"}


@pytest.mark.parametrize("place", [{}, TURNED, AFFINE])
@pytest.mark.parametrize("factor", [1, 2])
def test_painted_layers_with_transforms_of_their_own_are_read_at_the_centres_of_the_image(place, factor):
    labels = Labels(np.zeros((30, 40), np.uint8), **TURNED)
    labels.data[8:22, 10:30] = 3
    layer = image((60 // factor, 70 // factor), **{**place, "translate": (-5, 3)})
    (found,) = painted_regions(labels, 3, layer, View())
    rows, columns = np.indices(found.mask.shape)
    expected = np.zeros(found.mask.shape, bool)
    for r, c in zip(rows.ravel(), columns.ravel(), strict=True):
        i, j = (int(np.floor(v + 0.5)) for v in labels.world_to_data(layer.data_to_world((r, c))))
        expected[r, c] = 0 <= i < 30 and 0 <= j < 40 and labels.data[i, j] == 3
    assert expected.sum() > 10
    assert (found.mask ^ expected).sum() <= 1


@pytest.mark.parametrize(
    ("value", "plane", "words"),
    [
        (0, None, "Label 0 is the background"),
        (9, None, "Nothing is painted with label 9 of 'brush' on this image"),
        (7, 0, "Nothing is painted with label 7 of 'brush' on this plane"),
        (5, None, "only 1 pixel:"),
        (6, None, "whole image"),
    ],
)
def test_what_is_not_painted_is_said_in_one_sentence(value, plane, words):
    labels = Labels(np.zeros((4, *SHAPE), np.uint8), name="brush")
    labels.data[1, 3:9, 4:20] = 7
    labels.data[2] = 6
    labels.data[1, 30, 30] = 5
    with pytest.raises(InputError, match=words) as caught:
        painted_regions(labels, value, image((4, *SHAPE)), View(), plane)
    assert str(caught.value).count(".") == 1
