"""Regions drawn with the mouse, with every tool, on a plane and on a stack."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, laid_out, on_canvas, picture
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_promptseg.gui.region_layer import RegionLayer
from napari_promptseg.images.outlines import ellipse_mask, polygon_mask

pytestmark = pytest.mark.gui

SHAPE = (64, 96)


def let_events_pass():
    for _ in range(4):
        QApplication.processEvents()


def rectangle(top, left, bottom, right):
    return polygon_mask([(top, left), (top, right), (bottom, right), (bottom, left)], SHAPE).mask


def select(regions, key):
    """As a click with napari's own tool selects a shape."""
    regions.layer.mode = "select"
    regions.layer.selected_data = {[s.key for s in regions.shapes()].index(key)}


@pytest.fixture
def drawing(make_napari_viewer_proxy, dock_in, qtbot):
    """A dock's session in a window, and a region layer."""
    viewer = make_napari_viewer_proxy(show=True)
    dock = dock_in(viewer)
    regions = RegionLayer(dock.session)
    laid_out(viewer, qtbot)
    yield viewer, dock.session, regions
    regions.close()


def nearly(mask, expected, band=1):
    """The same but for pixels at the outline: the mouse is rounded to pixels of the screen."""
    around = np.ones((3, 3), bool)
    inner = ndimage.binary_erosion(expected, around, iterations=band, border_value=1)
    outer = ndimage.binary_dilation(expected, around, iterations=band)
    return bool(mask[inner].all()) and not mask[~outer].any()


@pytest.mark.parametrize("planes", [0, 3])
def test_every_tool_draws_a_region(drawing, planes):
    viewer, _, regions = drawing
    viewer.add_image(np.stack([picture()] * planes) if planes else picture(), rgb=True)
    if planes:
        viewer.dims.set_current_step(0, 2)
    let_events_pass()
    announced = []
    regions.changed.connect(lambda: announced.append([s.kind for s in regions.shapes()]))

    assert regions.add_tool("rectangle")
    drag(viewer, [(10.0, 10.0), (20.0, 20.0), (30.0, 34.0)])
    let_events_pass()
    (shape,) = regions.shapes()
    assert nearly(shape.mask, rectangle(10, 10, 30, 34))

    regions.add_tool("ellipse")
    drag(viewer, [(10.0, 50.0), (20.0, 60.0), (40.0, 90.0)])
    let_events_pass()
    shape = regions.shapes()[-1]
    assert nearly(shape.mask, ellipse_mask([(10, 50), (10, 90), (40, 90), (40, 50)], SHAPE).mask)

    regions.add_tool("polygon", positive=False)
    corners = [(40.0, 10.0), (40.0, 40.0), (60.0, 40.0), (50.0, 25.0), (60.0, 10.0)]
    for corner in corners:
        drag(viewer, [corner])
        let_events_pass()
        assert len(regions.shapes()) == 2, "a polygon that is being drawn is no region yet"
    native, places = on_canvas(viewer, corners)
    QTest.mouseDClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, places[-1])
    let_events_pass()
    shape = regions.shapes()[-1]
    assert nearly(shape.mask, polygon_mask(corners, SHAPE).mask)

    regions.add_tool("lasso")
    angles = np.linspace(0, 2 * np.pi, 60)
    drag(viewer, [(52 + 8 * np.sin(a), 70 + 12 * np.cos(a)) for a in angles])
    let_events_pass()
    regions.stop()
    shapes = regions.shapes()
    assert nearly(shapes[-1].mask, ellipse_mask([(44, 58), (44, 82), (60, 82), (60, 58)], SHAPE).mask, 2)

    assert [s.kind for s in shapes] == ["rectangle", "ellipse", "polygon", "polygon"]
    assert announced == [["rectangle", "ellipse", "polygon", "polygon"][:n] for n in (1, 2, 3, 4)]
    assert [s.positive for s in shapes] == [True, True, False, True]
    assert {s.plane for s in shapes} == {2 if planes else 0}
    assert len({s.key for s in shapes}) == 4
    assert not regions.refused()
    layer = regions.layer
    assert list(layer.features["region"]) == [s.key for s in shapes]
    assert not np.allclose(layer.edge_color[1], layer.edge_color[2])
    assert np.allclose(layer.edge_color[1], layer.edge_color[3])


def press(viewer, point, *, double=False):
    drag(viewer, [point])
    if double:
        native, places = on_canvas(viewer, [point])
        QTest.mouseDClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, places[0])
    let_events_pass()


def test_regions_are_moved_edited_given_up_copied_and_deleted_with_the_mouse_and_keep_their_keys(drawing):
    viewer, _, regions = drawing
    viewer.add_image(picture(), rgb=True)
    regions.add_tool("rectangle")
    drag(viewer, [(10.0, 10.0), (20.0, 20.0), (30.0, 34.0)])
    regions.add_tool("polygon")
    for corner in [(40.0, 40.0), (40.0, 60.0), (58.0, 60.0)]:
        press(viewer, corner)
    press(viewer, (58.0, 40.0), double=True)
    first, second = (s.key for s in regions.shapes())
    layer, told = regions.layer, []
    regions.changed.connect(lambda: told.append([s.key for s in regions.shapes()]))

    # moved as a whole
    select(regions, first)
    mask = regions.shape(first).mask
    drag(viewer, [(20.0, 20.0), (22.0, 24.0), (26.0, 30.0)])
    let_events_pass()
    assert nearly(regions.shape(first).mask, np.roll(mask, (6, 10), (0, 1)), 2)
    assert told == [[first, second]], "once, when the mouse is let go"

    # one corner moved, one taken in, one taken out
    before = regions.shape(second).marked.n_pixels
    select(regions, second)
    layer.mode = "direct"
    drag(viewer, [(40.0, 60.0), (38.0, 70.0), (36.0, 80.0)])
    let_events_pass()
    assert regions.shape(second).marked.n_pixels > 1.2 * before
    layer.mode = "vertex_insert"
    press(viewer, (58.0, 50.0))
    assert len(layer.data[1]) == 5
    layer.mode = "vertex_remove"
    press(viewer, tuple(layer.data[1][-1]))
    assert len(layer.data[1]) == 4
    assert [s.key for s in regions.shapes()] == [first, second]

    # a polygon that is given up leaves nothing, though napari's table keeps its row
    regions.add_tool("polygon")
    press(viewer, (10.0, 60.0))
    press(viewer, (10.0, 66.0))
    assert layer.nshapes == 3
    assert [s.key for s in regions.shapes()] == [first, second]
    regions.stop()
    let_events_pass()
    assert layer.nshapes == 2
    regions.add_tool("polygon")
    press(viewer, (10.0, 60.0))
    native, _ = on_canvas(viewer, [(0.0, 0.0)])
    QTest.keyClick(native, Qt.Key.Key_Escape)
    let_events_pass()
    assert layer.nshapes == 2
    assert [s.key for s in regions.shapes()] == [first, second]
    assert not regions.refused()
    regions.add_tool("ellipse")
    drag(viewer, [(5.0, 60.0), (10.0, 70.0), (25.0, 90.0)])
    let_events_pass()
    third = regions.shapes()[-1].key
    assert [s.key for s in regions.shapes()] == [first, second, third]
    assert list(layer.features["region"]) == [first, second, third]
    assert [s.kind for s in regions.shapes()] == ["rectangle", "polygon", "ellipse"]

    # copied and pasted by napari's own keys
    select(regions, third)
    for key in (Qt.Key.Key_C, Qt.Key.Key_V):
        QTest.keyClick(native, key, Qt.KeyboardModifier.ControlModifier)
    let_events_pass()
    keys = [s.key for s in regions.shapes()]
    assert keys[:3] == [first, second, third]
    assert len(set(keys)) == 4

    # deleted by napari's own key
    select(regions, second)
    QTest.keyClick(native, Qt.Key.Key_Delete)
    let_events_pass()
    assert [s.key for s in regions.shapes()] == [first, third, keys[3]]
    assert [s.kind for s in regions.shapes()] == ["rectangle", "ellipse", "ellipse"]
    assert told[-1] == [first, third, keys[3]]


def test_drawn_on_a_turned_and_stretched_image_the_pixels_are_those_under_the_mouse(drawing):
    viewer, _, regions = drawing
    image = viewer.add_image(picture(), rgb=True, scale=(1.5, 0.5), rotate=30, translate=(5, -8))
    viewer.reset_view()
    regions.add_tool("polygon")
    corners = [(12.0, 20.0), (15.0, 70.0), (45.0, 60.0), (30.0, 30.0)]
    world = [tuple(image.data_to_world(c)) for c in corners]
    for corner in world[:-1]:
        press(viewer, corner)
    press(viewer, world[-1], double=True)
    (shape,) = regions.shapes()
    assert nearly(shape.mask, polygon_mask(corners, SHAPE).mask)
    regions.add_tool("ellipse", positive=False)
    drag(viewer, [tuple(image.data_to_world(at)) for at in [(10.0, 15.0), (15.0, 30.0), (40.0, 75.0)]])
    let_events_pass()
    ellipse = regions.shapes()[1]
    assert nearly(ellipse.mask, ellipse_mask([(10, 15), (10, 75), (40, 75), (40, 15)], SHAPE).mask)
    assert not ellipse.positive


def test_a_region_drawn_wholly_beside_the_image_is_refused_and_one_partly_is_cut(drawing, monkeypatch):
    viewer, session, regions = drawing
    said = []
    monkeypatch.setattr(session, "say", lambda text, *_: said.append(text))
    viewer.add_image(picture(), rgb=True)
    viewer.scene.camera.zoom /= 2
    regions.add_tool("rectangle")
    drag(viewer, [(-30.0, -30.0), (-20.0, -20.0), (-10.0, -10.0)])
    let_events_pass()
    assert regions.shapes() == []
    assert said == ["The region lies outside the image: draw it on the image."]
    drag(viewer, [(-10.0, -10.0), (10.0, 10.0), (20.0, 30.0)])
    let_events_pass()
    (shape,) = regions.shapes()
    assert shape.marked.corner == (0, 0)
    assert nearly(shape.mask, rectangle(-10, -10, 20, 30))
    drag(viewer, [(40.0, 40.0)])
    let_events_pass()
    assert len(regions.shapes()) == 1, "a click is no region"
    assert said[1:] == ["That was hardly a pixel: hold the button and drag, or zoom in."]
    assert regions.layer.nshapes == 2, "and leaves nothing behind"


def test_a_polygon_that_is_begun_on_one_plane_and_ended_on_another_is_refused(drawing):
    viewer, _, regions = drawing
    viewer.add_image(np.stack([picture()] * 4), rgb=True)
    viewer.dims.set_current_step(0, 1)
    regions.add_tool("polygon")
    for corner in [(10.0, 10.0), (10.0, 40.0)]:
        press(viewer, corner)
    viewer.dims.set_current_step(0, 3)
    let_events_pass()
    press(viewer, (40.0, 40.0))
    press(viewer, (40.0, 10.0), double=True)
    assert regions.shapes() == []
    (told,) = regions.refused().values()
    assert "spans the planes 1 to 3" in told


def test_rows_and_columns_may_be_transposed_in_the_viewer(drawing):
    viewer, _, regions = drawing
    viewer.add_image(np.stack([picture()] * 4), rgb=True)
    viewer.dims.set_current_step(0, 2)
    viewer.dims.transpose()
    viewer.reset_view()
    assert regions.add_tool("rectangle")
    drag(viewer, [(12.0, 8.0), (20.0, 20.0), (60.0, 30.0)])  # columns run down, rows across
    let_events_pass()
    (shape,) = regions.shapes()
    assert shape.plane == 2
    assert nearly(shape.mask, rectangle(8, 12, 30, 60))
