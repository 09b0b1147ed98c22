"""What the section says of labels it did not make: clean-up by marks, figures out of date, strokes not carried yet."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from correcting import settle
from volumes import SHAPE, add_volume, painted

from napari_promptseg.gui.volume_marks import drawn, filled_in
from napari_promptseg.gui.work import Job

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, dock_in, qtbot):
    """On a volume whose second class stands in two parts."""
    widget = dock_in(viewer)
    session = widget.session
    session.volume.work.set_carries(False)
    session.set_option("live", False)
    add_volume(viewer)
    session.add_classes("one, two")
    session.picture.show_plane((5,))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 2:6, 2:6] = 1
    labels[2:8, 2:6, 20:24] = labels[2:8, 12:16, 4:8] = 2
    source = session.picture.source()
    result = session.result_for(session.picture.layer, session.picture.view)
    result.stand(session.prompts)
    result.write((), labels, session.prompts)
    assert source.index == (5,)
    session.result_changed.emit()
    settle(session, qtbot)
    session.corrector.strokes.seen.set_all(result.standing.data)
    return widget


def test_only_parts_with_a_stroke_or_a_region_stay(dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].cleanup
    layer = session.result_layer
    panel.marked_box.setChecked(True)
    panel.button.click()
    assert "No class has a stroke or a region" in dock.footer.message.text()
    painted(session, qtbot, (5, 4, 24), 2, size=2)
    before = layer.data.copy()
    panel.button.click()
    settle(session, qtbot)
    assert (layer.data[2:8, 2:6, 20:24] == 2).all(), "the part that was painted at"
    assert not layer.data[:, 12:16, 4:8].any(), "the other part of that class"
    assert (layer.data[2:8, 2:6, 2:6] == 1).all(), "a class without a mark"
    session.picture.show_plane((11,))
    session.step()
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    assert session.shares == {1: 0.0, 2: 0.0}, "of the plane in sight, not of all"


def test_a_region_marks_its_class_on_the_plane_it_was_drawn_on(dock, qtbot):
    from napari_promptseg.gui.drawn_concept import DrawnConcept

    session = dock.session
    session.volume.view.show(1)
    session.picture.show_plane((None, 13))
    source = session.picture.source()
    mask = np.zeros(source.plane_shape, bool)
    mask[0, 4:8] = True  # the top row of a coronal plane is the head
    card = DrawnConcept(value=2, source=source, mask=mask, image=id(session.picture.layer))
    other = DrawnConcept(value=1, positive=False, source=source, mask=~mask, image=id(session.picture.layer))
    session.regions.cards += [card, other]
    marks = filled_in(drawn(session), SHAPE, np.uint8)
    assert (marks[SHAPE[0] - 1, 13, 4:8] == 2).all()
    assert np.count_nonzero(marks) == 4


def test_planes_that_come_in_while_a_clean_up_waits_are_not_lost(dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].cleanup
    layer = session.result_layer
    gate = threading.Event()
    session.workbench.submit(Job("other", lambda progress: gate.wait(120), lambda _: None, lambda _: None, quiet=True))
    panel.largest_box.setChecked(True)
    panel.button.click()
    layer.data[9, 10:12, 10:12] = 1  # what the job before brings
    layer.data[2:8, 2:6, 10] = 1
    gate.set()
    settle(session, qtbot)
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    settle(session, qtbot)
    assert (layer.data[2:8, 2:6, 2:6] == 1).all()
    assert not layer.data[9].any(), "cleaned up as it stood when the clean-up was done"
    assert np.count_nonzero(layer.data == 2) == 6 * 4 * 4


def test_the_table_says_when_it_is_out_of_date(dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].table
    panel.measure_button.click()
    qtbot.waitUntil(lambda: panel.table.topLevelItemCount() == 2)
    assert panel.outdated.isHidden()
    session.picture.show_plane((9,))  # looking elsewhere changes nothing
    session.result_changed.emit()
    qtbot.waitUntil(lambda: not session.volume.measures._look.isActive())
    settle(session, qtbot)
    assert panel.outdated.isHidden()
    painted(session, qtbot, (9, 10, 20), 2, size=2)
    qtbot.waitUntil(lambda: not panel.outdated.isHidden())
    panel.measure_button.click()
    qtbot.waitUntil(panel.outdated.isHidden)


def test_strokes_that_no_other_plane_follows_yet_say_so(dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].run
    assert panel.state.isHidden()
    session.volume.work.set_carries(True)
    painted(session, qtbot, (5, 4, 24), 2, size=2)
    assert not panel.state.isHidden()
    assert "segment all planes" in panel.state.text()
    session.volume.work.set_carries(False)
    assert panel.state.isHidden()


def test_the_table_has_areas_and_its_file_is_called_as_the_layer(viewer, dock, qtbot):
    from qtpy.QtWidgets import QFileDialog

    session, panel = dock.session, dock.sections["volume"].table
    panel.measure_button.click()
    qtbot.waitUntil(lambda: panel.table.topLevelItemCount() == 2)
    titles = [panel.table.headerItem().text(column) for column in range(5)]
    assert titles == ["Class", "mL", "mm²", "Planes", "Mean"]
    assert [panel.table.topLevelItem(row).text(2) for row in (0, 1)] == ["32.00", "64.00"]
    assert all(panel.table.headerItem().toolTip(column) for column in range(5))
    session.picture.layer.name = "Thorax/Abdomen"
    panel.save_button.click()
    dialog = panel.findChild(QFileDialog)
    assert dialog.selectedFiles()[0].endswith("/Thorax_Abdomen_volumes.csv")
    dialog.reject()


def test_sizes_to_clean_up_say_their_unit(viewer, dock):
    panel, layer = dock.sections["volume"].cleanup, dock.session.picture.layer
    assert (panel.smooth_box.suffix(), panel.smallest_box.suffix()) == (" mm", " mm³")
    layer.units = ("micrometer",) * 3
    panel.refresh()
    assert panel.smallest_box.suffix() == " µm³"
    layer.units = ("pixel",) * 3
    panel.refresh()
    assert panel.smallest_box.suffix() == " px³"
