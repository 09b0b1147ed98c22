"""What follows what: a stroke on any plane that has a mask, and no plane where nothing that counts has changed."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import settle
from volumes import SHAPE, add_volume, painted

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, dock_in, qtbot):
    """On a volume whose planes all have a mask of red and blue, made while plane 5 was in sight."""
    widget = dock_in(viewer)
    session = widget.session
    add_volume(viewer)
    session.add_classes("red, blue")
    session.picture.show_plane((5,))
    segmented(widget, qtbot)
    return widget


def segmented(dock, qtbot, *, mean=False):
    session, panel = dock.session, dock.sections["volume"].run
    panel.mean_box.setChecked(mean)
    panel.start_button.click()
    qtbot.waitUntil(lambda: not session.volume.work.is_running)
    settle(session, qtbot)


def carried(session, qtbot):
    work = session.volume.work
    qtbot.waitUntil(lambda: not work._carry.isActive() and not work.is_carrying)
    settle(session, qtbot)


def test_a_stroke_on_a_plane_that_came_with_the_others_changes_that_plane_at_once(dock, qtbot):
    session = dock.session
    session.volume.work.set_carries(False)
    session.picture.show_plane((9,))
    painted(session, qtbot, (9, 15, 20), 1, size=9)
    layer = session.result_layer
    assert (layer.data[9, :, 14:] == 1).mean() > 0.9, "all green of this plane is red now"
    assert not layer.data[8, :, 14:].any(), "other planes wait"
    session.volume.view.show(2)
    session.picture.show_plane((None, None, 20))
    painted(session, qtbot, (2, 3, 20), 2, size=5)
    assert (layer.data[:, :, 20] == 2).mean() > 0.8


def test_a_clean_up_stays_by_back_and_forward_and_when_a_class_is_hidden(dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].cleanup
    layer, carry = session.result_layer, session.volume.work._carry
    painted(session, qtbot, (5, 15, 20), 1, size=9)
    carried(session, qtbot)
    assert "follows your 1 stroke" in dock.footer.message.text()
    assert "planes" in session.volume.work.doing
    layer.data[0, 0:2, 0:2] = 2  # a spot that nobody painted
    session.corrector.strokes.seen.set_all(layer.data)
    panel.largest_box.setChecked(True)
    panel.button.click()
    settle(session, qtbot)
    clean = layer.data.copy()
    assert not (clean[0] == 2).any()
    session.step()
    assert (layer.data[0] == 2).any()
    session.step(forward=True)
    assert not carry.isActive(), "the strokes are the same"
    session.set_look(2, visible=False)
    assert not carry.isActive(), "nothing is computed for a look"
    settle(session, qtbot)
    assert np.array_equal(layer.data, clean)
    session.set_threshold(2, 0.9)
    assert carry.isActive(), "another threshold is for all planes"
    carried(session, qtbot)
    session.set_threshold(2, 0.5)
    session.corrector.delete([s.id for s in session.corrector.corrections])
    carried(session, qtbot)
    assert "follows your change" in dock.footer.message.text()


def test_planes_that_come_twice_are_counted_once(dock, qtbot):
    segmented(dock, qtbot, mean=True)
    assert dock.session.volume.work.finished == SHAPE[0]
