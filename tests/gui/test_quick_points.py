"""One click is a correction: with Ctrl at any time, with the point tool alone; in napari's Points layer, too."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, picture, segmented, settle
from pixel_encoder import PixelEncoder
from qtpy.QtCore import Qt

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def markers(viewer):
    return [layer for layer in viewer.layers if layer.name.endswith(" points")]


def test_clicks_on_the_canvas_are_points_and_leave_the_brush_alone(make_napari_viewer_proxy, dock_in, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    dock = dock_in(viewer)
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    section.class_box.setCurrentIndex(section.class_box.findText("green"))
    section.paint_button.click()
    layer.brush_size = 9
    drag(viewer, [(50.0, 20.0)], CTRL)
    settle(session, qtbot)
    (point,) = session.corrector.corrections
    assert (point.kind, point.value, point.size, point.corner) == ("point", 2, 1, (50, 20))
    assert layer.mode == "paint", "the brush is in hand again"
    drag(viewer, [(40.0, 70.0)], CTRL | SHIFT)
    settle(session, qtbot)
    assert [(s.kind, s.value) for s in session.corrector.corrections] == [("point", 2), ("point", 0)]
    section.point_button.click()
    assert layer.mode == "pan_zoom"
    drag(viewer, [(50.0, 30.0)])
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 3
    drag(viewer, [(50.0, 30.0), (45.0, 30.0), (40.0, 40.0)])
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 3, "a drag moves the picture"
    layer.mode = "erase"
    assert not section.point_button.isChecked()


@pytest.mark.parametrize("live", [False, True])
def test_a_point_is_listed_deleted_undone_and_gone_back_on(viewer, dock, qtbot, live):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=live)
    before = layer.data.copy()
    assert section.points.add((50, 20), 2)
    settle(session, qtbot)
    item = section.list.topLevelItem(0)
    assert [item.text(c) for c in (0, 1, 3)] == ["green", "point", "1"]
    assert layer.data[50, 20] == 2
    item.setSelected(True)
    section.delete_button.click()
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    section.points.add((50, 20), 2)
    settle(session, qtbot)
    dock.footer.back_button.click()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    assert np.array_equal(layer.data, before)
    assert not markers(viewer)
    section.points.add((50, 20), 2)
    settle(session, qtbot)
    layer.undo()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    assert np.array_equal(layer.data, before)


def test_a_point_may_confirm_what_the_mask_says(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    before = layer.data.copy()
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((50, 70), 1)
    settle(session, qtbot)
    assert section.points.add((50, 20), 1)
    settle(session, qtbot)
    assert [s.kind for s in session.corrector.corrections] == ["brush", "point"]
    layer.undo()  # napari has no step for a point that changed nothing
    settle(session, qtbot)
    assert [s.kind for s in session.corrector.corrections] == ["point"]
    assert np.array_equal(layer.data, before)


def test_points_teach_the_mask(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    for at, value in (((20, 20), 2), ((25, 70), 2), ((50, 20), 1), ((50, 70), 2)):
        section.points.add(at, value)
        settle(session, qtbot)
    assert (layer.data[11:29, 11:29] == 2).mean() > 0.9


def test_the_points_layer_shows_moves_and_takes_points(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(np.stack([picture()] * 3), rgb=True, scale=(4, 2, 2), translate=(0, 5, 7))
    viewer.dims.set_current_step(0, 1)
    layer = segmented(session, qtbot)
    section.points.add((4, 5 + 2 * 50, 7 + 2 * 20), 2)
    settle(session, qtbot)
    (shown,) = markers(viewer)
    assert np.array_equal(shown.data, [[1, 50, 20]])
    assert np.allclose(shown.data_to_world(shown.data[0]), layer.data_to_world((1, 50, 20)))
    assert list(shown.features["class"]) == ["green"]
    section.class_box.setCurrentIndex(section.class_box.findText("background"))
    shown.add((1, 40, 70))
    settle(session, qtbot)
    assert [(s.plane, s.value, s.corner) for s in session.corrector.corrections] == [(1, 2, (50, 20)), (1, 0, (40, 70))]
    assert layer.data[1, 40, 70] == 0
    (shown,) = markers(viewer)
    moved = shown.data.copy()
    moved[0] = (1, 51, 22)
    shown.data = moved
    settle(session, qtbot)
    assert {s.corner for s in session.corrector.corrections} == {(51, 22), (40, 70)}
    (shown,) = markers(viewer)
    shown.selected_data = {0, 1}
    shown.remove_selected()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    assert not markers(viewer)


def test_points_survive_a_lost_window(viewer, dock_in, qtbot):
    viewer.add_image(picture())
    first = dock_in(viewer)
    segmented(first.session, qtbot)
    first.sections["learn"].points.add((50, 20), 2)
    settle(first.session, qtbot)
    first.let_go()
    second = dock_in(viewer)
    second.sections["learn"].restore_button.click()
    assert [(s.kind, s.corner) for s in second.session.corrector.corrections] == [("point", (50, 20))]


def test_a_click_outside_says_where_to_click(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    segmented(session, qtbot)
    assert not section.points.add((500, 20), 1)
    assert "click inside it" in dock.footer.message.text()
