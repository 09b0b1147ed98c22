"""The layer of regions follows what a person does to it, to the image and to the viewer."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_promptseg.errors import InputError
from napari_promptseg.gui.region_layer import RegionLayer
from napari_promptseg.images.outlines import polygon_mask

pytestmark = pytest.mark.gui

SHAPE = (40, 56)
SQUARE = np.array([[5.2, 6.3], [5.2, 20.7], [22.6, 20.7], [22.6, 6.3]])
OTHER = SQUARE + np.array([10, 25])


@pytest.fixture
def session(dock):
    return dock.session


@pytest.fixture
def regions(session):
    layer = RegionLayer(session)
    yield layer
    layer.close()


@pytest.fixture
def said(session, monkeypatch):
    sentences = []
    monkeypatch.setattr(session, "say", lambda text, *_: sentences.append(text))
    return sentences


def settle():
    for _ in range(4):
        QApplication.processEvents()


def add_image(session, shape=SHAPE, **keywords):
    return session.viewer.add_image(np.zeros(shape, np.uint8), **keywords)


def add(regions, *shapes, kind="polygon"):
    """Shapes as a script or another plugin adds them."""
    regions.add_tool("polygon")
    regions.stop()
    for corners in shapes:
        regions.layer.add(corners, shape_type=kind)
    settle()
    return [s.key for s in regions.shapes()]


def test_without_an_image_there_is_nothing_to_draw_on(regions, said):
    assert not regions.add_tool("lasso")
    assert "There is no image" in said[-1]
    assert regions.layer is None
    assert regions.shapes() == []


def test_the_layer_lies_on_the_image(session, regions):
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    affine = np.array([[1, 0, 0, 0], [0, 1.5, 0.2, 4], [0, 0, 1, -7], [0, 0, 0, 1]])
    image = add_image(
        session,
        (5, *SHAPE),
        scale=(3, 0.5, 2),
        translate=(1, 2, 3),
        rotate=turn,
        shear=(0, 0, 0.4),
        affine=affine,
        units=("mm", "um", "um"),
        axis_labels=("depth", "row", "column"),
    )
    regions.add_tool("ellipse")
    layer = regions.layer
    for name in ("scale", "translate", "rotate", "shear"):
        assert np.allclose(getattr(layer, name), getattr(image, name)), name
    assert np.allclose(layer.affine.affine_matrix, image.affine.affine_matrix)
    assert (layer.units, layer.axis_labels) == (image.units, image.axis_labels)
    assert layer.name == "regions"
    assert session.viewer.layers.selection.active is layer
    assert str(layer.mode) == "add_ellipse"
    (key,) = add(regions, np.concatenate([np.full((4, 1), 3.0), SQUARE], axis=1))
    shape = regions.shape(key)
    assert shape.plane == 3
    assert np.array_equal(shape.mask, polygon_mask(SQUARE, SHAPE).mask)


def test_regions_follow_when_image_or_layer_is_moved(session, regions):
    image = add_image(session)
    (key,) = add(regions, SQUARE)
    announced = []
    regions.changed.connect(lambda: announced.append(regions.shapes()[0].mask))
    image.translate = (2, 0)
    settle()
    assert np.array_equal(announced[-1], polygon_mask(SQUARE - [2, 0], SHAPE).mask)
    regions.layer.scale = (0.5, 0.5)
    settle()
    assert np.array_equal(announced[-1], polygon_mask(SQUARE / 2 - [2, 0], SHAPE).mask)
    assert len(announced) == 2
    assert regions.shapes()[0].key == key


def test_outlines_of_another_layer_come_to_lie_where_they_are_seen(session, regions):
    add_image(session, scale=(2, 0.5), translate=(3, -4))
    world = SQUARE * (2, 0.5) + (3, -4)
    theirs = session.viewer.add_shapes([world / 4], scale=(4, 4), shape_type="rectangle")
    theirs.add([[0, 0], [3, 3]], shape_type="line")
    assert regions.adopt(theirs, positive=False) == 1
    (shape,) = regions.shapes()
    assert np.array_equal(shape.mask, polygon_mask(SQUARE, SHAPE).mask)
    assert not shape.positive
    theirs.selected_data = {0}
    theirs.remove_selected()
    with pytest.raises(InputError, match="no closed outline"):
        regions.adopt(theirs)
    assert len(regions.shapes()) == 1


def test_keys_stay_through_edits_removals_and_undoing(session, regions):
    add_image(session)
    first, second, third = add(regions, SQUARE, OTHER, SQUARE + 3)
    layer = regions.layer
    before = [np.array(v) for v in layer.data]
    layer.data = [before[0], before[1] - 2, before[2]]
    settle()
    assert [s.key for s in regions.shapes()] == [first, second, third]
    assert np.array_equal(regions.shape(second).mask, polygon_mask(OTHER - 2, SHAPE).mask)
    regions.set_positive(third, False)
    layer.selected_data = {0}
    layer.remove_selected()
    settle()
    assert [(s.key, s.positive) for s in regions.shapes()] == [(second, True), (third, False)]
    layer.data = before  # a script undoes
    settle()
    assert [(s.key, s.positive) for s in regions.shapes()] == [(first, True), (second, True), (third, False)]
    assert list(layer.features["region"]) == [first, second, third]
    regions.remove(second)
    assert [s.key for s in regions.shapes()] == [first, third]
    assert regions.layer.nshapes == 2
    regions.remove("no such key")
    assert regions.layer.nshapes == 2


def test_the_sign_is_in_the_table_and_in_the_colour(session, regions):
    add_image(session)
    first, second = add(regions, SQUARE, OTHER)
    layer = regions.layer
    regions.set_positive(second, False)
    assert list(layer.features["positive"]) == [True, False]
    assert not np.allclose(layer.edge_color[0], layer.edge_color[1])
    told = []
    regions.changed.connect(lambda: told.append(1))
    layer.features = {"region": [first, second], "positive": [False, True], "own": ["a", "b"]}
    settle()
    assert [s.positive for s in regions.shapes()] == [False, True]
    assert list(layer.features["own"]) == ["a", "b"]
    assert told == [1]
    regions.set_positive(first, False)
    assert told == [1], "nothing new"


def test_a_selected_region_is_told(session, regions):
    add_image(session, SHAPE)
    first, second = add(regions, SQUARE, OTHER)
    told = []
    regions.selection_changed.connect(lambda: told.append(regions.selected))
    regions.layer.mode = "select"
    regions.layer.selected_data = {1}
    assert told[-1] == regions.selected == second
    regions.layer.selected_data = {0}
    assert told[-1] == regions.selected == first
    regions.layer.selected_data = {0, 1}
    assert regions.selected == ""


def test_what_cannot_be_used_is_said_once_and_holds_nothing_up(session, regions, said):
    add_image(session, (4, *SHAPE))
    plane = np.full((4, 1), 2.0)
    good = np.concatenate([plane, SQUARE], axis=1)
    bad = {
        "spans the planes 0 to 3": np.concatenate([[[0], [1], [2], [3]], SQUARE], axis=1),
        "lies outside the image": np.concatenate([plane, SQUARE + 100], axis=1),
        "whole image": np.concatenate([plane, [[-9, -9], [-9, 99], [99, 99], [99, -9]]], axis=1),
        "only 2 pixels": np.concatenate([plane, [[4.6, 4.6], [4.6, 6.4], [5.4, 6.4], [5.4, 4.6]]], axis=1),
    }
    (key,) = add(regions, good, *bad.values())
    assert [s.key for s in regions.shapes()] == [key]
    for words, told in zip(bad, regions.refused().values(), strict=True):
        assert words in told
        assert said.count(told) == 1
    regions.set_positive(key, False)
    settle()
    assert len(said) == len(bad)
    regions.layer.data = [good, *[good + 1e-3 * n for n in range(1, 5)]]
    settle()
    assert regions.refused() == {}
    assert len(regions.shapes()) == 5


def test_a_renamed_layer_is_the_same_and_a_deleted_one_is_made_anew(session, regions):
    add_image(session)
    (key,) = add(regions, SQUARE)
    regions.layer.name = "mine"
    assert [s.key for s in regions.shapes()] == [key]
    told = []
    regions.changed.connect(lambda: told.append(len(regions.shapes())))
    session.viewer.layers.remove("mine")
    settle()
    assert told == [0]
    assert regions.layer is None
    assert add(regions, OTHER) != [key]
    assert regions.layer.name == "regions"
    assert np.array_equal(regions.shapes()[0].mask, polygon_mask(OTHER, SHAPE).mask)


def test_every_image_has_regions_of_its_own(session, regions):
    one = add_image(session, name="one")
    add(regions, SQUARE)
    other = add_image(session, (20, 30), name="other")
    session.picture.choose(other)
    settle()
    assert regions.shapes() == []
    (key,) = add(regions, SQUARE - 4)
    assert regions.shape(key).mask.shape == (20, 30)
    session.picture.choose(one)
    settle()
    assert [s.mask.shape for s in regions.shapes()] == [SHAPE]
    session.viewer.layers.remove(one)
    settle()
    assert [s.key for s in regions.shapes()] == [key], "the other image is in hand now"


def test_other_axes_in_view_are_refused_and_a_mirrored_view_is_not(session, regions, said):
    add_image(session, (4, *SHAPE))
    dims = session.viewer.dims
    dims.order = (1, 0, 2)
    assert not regions.add_tool("rectangle")
    assert "rows and columns" in said[-1]
    dims.order = (0, 2, 1)
    assert regions.add_tool("rectangle")
    dims.ndisplay = 3
    assert not regions.add_tool("rectangle")
    assert "3-D view" in said[-1]


def test_new_data_with_other_axes_get_a_layer_of_their_own(session, regions):
    image = add_image(session)
    add(regions, SQUARE)
    image.data = np.zeros((3, *SHAPE), np.uint8)
    settle()
    (told,) = regions.refused().values()
    assert "has 2 axes but the image" in told
    (key,) = add(regions, np.concatenate([np.ones((4, 1)), OTHER], axis=1))
    assert regions.shape(key).plane == 1


def test_painted_regions_of_the_image_in_hand(session, regions):
    add_image(session)
    labels = Labels(np.zeros(SHAPE, np.uint8))
    labels.data[3:9, 4:20] = 5
    session.viewer.add_layer(labels)
    (shape,) = regions.regions_of_labels(labels, 5)
    assert np.array_equal(shape.mask, labels.data == 5)


def test_closed_it_follows_no_more(session):
    regions = RegionLayer(session)
    image = add_image(session)
    add(regions, SQUARE)
    layer, told = regions.layer, []
    regions.changed.connect(lambda: told.append(1))
    regions.close()
    layer.add(OTHER, shape_type="polygon")
    image.scale = (2, 2)
    session.viewer.layers.remove(layer)
    settle()
    assert told == []
