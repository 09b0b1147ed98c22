"""Edits of the result layer become strokes, whatever tool made them, and nothing that was painted is lost."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, picture, segmented, settle
from pixel_encoder import PixelEncoder

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def paint(layer, row, column, value, size=5):
    layer.brush_size = size
    layer.mode = "paint"
    layer.paint((row, column) if layer.ndim == 2 else (0, row, column), value)


def test_brush_strokes_are_kept_with_class_size_and_kind(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    (stroke,) = session.corrector.corrections
    assert (stroke.value, stroke.plane, stroke.kind) == (2, 0, "brush")
    assert stroke.size == np.count_nonzero(layer.data != session.label_map.labels)
    paint(layer, 50, 70, 0)
    settle(session, qtbot)
    assert session.corrector.corrections.counts().keys() == {0, 2}


def test_undo_takes_a_stroke_away_and_redo_brings_it_back(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    paint(layer, 50, 22, 0)
    settle(session, qtbot)
    first, second = session.corrector.corrections
    layer.undo()
    settle(session, qtbot)
    assert [s.id for s in session.corrector.corrections] == [first.id]
    layer.undo()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    layer.redo()
    settle(session, qtbot)
    layer.redo()
    settle(session, qtbot)
    assert [s.id for s in session.corrector.corrections] == [first.id, second.id]


def test_undo_of_one_of_two_edits_seen_together_makes_the_stroke_smaller(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    paint(layer, 50, 30, 2)  # before anything could look
    settle(session, qtbot)
    (whole,) = session.corrector.corrections
    layer.undo()
    settle(session, qtbot)
    (rest,) = session.corrector.corrections
    assert 0 < rest.size < whole.size
    assert rest.size == np.count_nonzero(layer.data != session.label_map.labels)


def test_fill_polygon_and_direct_writes_are_seen(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    layer.mode = "fill"
    layer.fill((50, 20), 2)
    settle(session, qtbot)
    assert [s.kind for s in session.corrector.corrections] == ["fill"]
    layer.paint_polygon([(40, 60), (40, 70), (50, 70), (50, 60)], 1)
    layer.mode = "pan_zoom"
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 2
    layer.data[0:3, 0:3] = 1
    layer.refresh()
    settle(session, qtbot)
    last = session.corrector.corrections.strokes[-1]
    assert (last.kind, last.value) == ("edit", 1)


@pytest.mark.parametrize("live", [False, True])
def test_a_new_prediction_keeps_every_painted_pixel(viewer, dock, qtbot, live):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=live)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    paint(layer, 40, 70, 0, size=3)
    settle(session, qtbot)
    corrections = session.corrector.corrections
    session.add_classes("blue")
    session.segment()
    settle(session, qtbot)
    assert session.corrector.corrections.strokes == corrections.strokes
    assert np.array_equal(corrections.impose(layer.data, 0), layer.data)
    viewer.layers.remove(layer)
    session.segment()
    settle(session, qtbot)
    assert session.result_layer is not layer
    assert np.array_equal(corrections.impose(session.result_layer.data, 0), session.result_layer.data)
    session.rename(2, "blue | sky")
    settle(session, qtbot)
    assert session.corrector.corrections.strokes == corrections.strokes


def test_live_carries_a_stroke_to_what_looks_alike(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    before = layer.data.copy()
    paint(layer, 20, 20, 2, size=7)  # the left blue square is green, says the user
    paint(layer, 20, 70, 2, size=3)
    paint(layer, 50, 20, 1, size=7)
    settle(session, qtbot)
    assert (layer.data[12:28, 12:28] == 2).mean() > 0.9
    assert (layer.data[40:, :40] == 1).mean() > 0.9
    layer.undo()
    layer.undo()
    layer.undo()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    assert np.array_equal(layer.data, before)


@pytest.mark.parametrize("live", [False, True])
def test_back_and_forward_go_through_every_state_of_mask_and_strokes(viewer, dock, qtbot, live):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=live)
    states = [((), layer.data.copy())]
    for place, value in (((20, 20), 2), ((50, 70), 1), ((40, 5), 0)):
        paint(layer, *place, value, size=7)
        settle(session, qtbot)
        states.append((session.corrector.corrections.strokes, layer.data.copy()))
    for strokes, mask in states[-2::-1]:
        assert dock.footer.back_button.isEnabled()
        dock.footer.back_button.click()
        settle(session, qtbot)
        assert session.corrector.corrections.strokes == strokes
        assert np.array_equal(layer.data, mask)
        assert session.shares == {value: (mask == value).mean() for value in (1, 2)}
    assert not dock.footer.back_button.isEnabled()
    for strokes, mask in states[1:]:
        dock.footer.forward_button.click()
        settle(session, qtbot)
        assert session.corrector.corrections.strokes == strokes
        assert np.array_equal(layer.data, mask)
    assert not dock.footer.forward_button.isEnabled()


def test_back_after_an_undo_does_not_stand_still(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    before = layer.data.copy()
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    paint(layer, 50, 70, 1)
    settle(session, qtbot)
    layer.undo()
    settle(session, qtbot)
    session.step()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 0
    assert np.array_equal(layer.data, before)


def test_back_shows_the_plane_that_it_changes(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(np.stack([picture()] * 3), rgb=True, scale=(4, 1, 1))
    viewer.dims.set_current_step(0, 0)
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    viewer.dims.set_current_step(0, 2)
    settle(session, qtbot)
    session.step()
    assert viewer.dims.current_step[0] == 0
    assert len(session.corrector.corrections) == 0


def test_deleting_a_stroke_brings_back_what_stood_under_it(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    before = layer.data.copy()
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    paint(layer, 50, 70, 1)
    settle(session, qtbot)
    first, second = session.corrector.corrections
    session.corrector.delete([first.id])
    settle(session, qtbot)
    assert session.corrector.corrections.strokes == (second,)
    assert np.array_equal(layer.data, second_only(before, second))


def second_only(before, stroke):
    out = before.copy()
    out[stroke.pixels] = stroke.value
    return out


def test_planes_of_a_stack_keep_their_own_strokes(viewer, dock, qtbot):
    session = dock.session
    viewer.add_image(np.stack([picture()] * 3), rgb=True)
    viewer.dims.set_current_step(0, 0)
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    viewer.dims.set_current_step(0, 2)
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 1
    session.segment()
    settle(session, qtbot)
    assert len(session.corrector.corrections) == 1, "a prediction on another plane is no edit"
    layer.paint((2, 50, 70), 1)
    settle(session, qtbot)
    assert [s.plane for s in session.corrector.corrections] == [0, 2]
    viewer.dims.set_current_step(0, 1)
    layer.undo()
    settle(session, qtbot)
    qtbot.waitUntil(lambda: [s.plane for s in session.corrector.corrections] == [0])


def test_a_brush_dragged_over_the_canvas_is_one_stroke(make_napari_viewer_proxy, dock_in, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    dock = dock_in(viewer)
    session = dock.session
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    layer.brush_size, layer.selected_label, layer.mode = 4, 2, "paint"
    viewer.layers.selection.active = layer
    drag(viewer, [(50.0, 10.0), (50.0, 16.0), (50.0, 22.0), (50.0, 28.0)])
    settle(session, qtbot)
    (stroke,) = session.corrector.corrections
    assert stroke.value == 2
    assert stroke.extent[1] > 15
    assert np.all(layer.data[stroke.pixels] == 2)
    layer.mode = "erase"
    drag(viewer, [(40.0, 60.0), (40.0, 70.0)])
    settle(session, qtbot)
    assert [s.kind for s in session.corrector.corrections] == ["brush", "erase"]
    layer.undo()
    settle(session, qtbot)
    assert [s.kind for s in session.corrector.corrections] == ["brush"]


def test_removing_the_image_closes_its_journal_and_forgets_nothing(viewer, dock, qtbot, tmp_path):
    session = dock.session
    image = viewer.add_image(picture())
    layer = segmented(session, qtbot)
    paint(layer, 50, 20, 2)
    settle(session, qtbot)
    viewer.layers.remove(image)
    settle(session, qtbot)
    viewer.layers.remove(layer)
    viewer.add_image(picture(), name="again")
    settle(session, qtbot)
    assert session.corrector.n_left == 1
    session.corrector.restore()
    assert [s.value for s in session.corrector.corrections] == [2]
    assert session.corrector.n_left == 0
