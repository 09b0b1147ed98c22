"""The legend in the corner of the canvas."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_promptseg.gui.legend import Legend, canvas_of

pytestmark = pytest.mark.gui


@pytest.fixture
def legend(dock, viewer, ramp, qtbot) -> Legend:
    """Of a ramp on which “bright” is the right half and “dim” nowhere."""
    viewer.add_image(ramp)
    session = dock.session
    session.live = False
    session.add_classes("dim, bright")
    session.set_threshold(1, 0.5)
    session.set_threshold(2, 0.5)
    assert session.segment()
    qtbot.waitUntil(lambda: session.label_map is not None and session.workbench.is_idle)
    return dock.legend


def names(legend: Legend) -> list[str]:
    return [e.name for e in legend._rows]


def test_it_lies_in_the_corner_of_the_canvas_once_there_is_a_mask(legend, dock):
    canvas = canvas_of(dock)
    assert canvas is not None
    assert legend.parentWidget() is canvas
    assert not legend.isHidden()
    assert names(legend) == ["dim", "bright"]
    assert [e.found for e in legend._rows] == [False, True]
    assert canvas.rect().contains(legend.geometry())
    assert canvas.width() - legend.geometry().right() <= 12


def test_there_is_none_without_a_mask(dock, viewer, ramp):
    viewer.add_image(ramp)
    dock.session.add_classes("bright")
    assert dock.legend.isHidden()


def test_it_follows_names_colours_visibility_and_removal(legend, dock):
    session = dock.session
    session.rename(2, "赤い 🍎 very bright | lit")
    session.set_look(2, colour="#12cdef")
    assert names(legend) == ["dim", "赤い 🍎 very bright"]
    picture = legend.grab().toImage()
    ratio = picture.devicePixelRatio()
    row = legend.fontMetrics().height() + 4
    assert picture.pixelColor(int(14 * ratio), int((8 + 1.5 * row) * ratio)) == QColor("#12cdef")
    session.set_look(1, visible=False)
    assert names(legend) == ["赤い 🍎 very bright"]
    session.remove_class(2)
    assert legend.isHidden()


def test_it_goes_and_comes_with_the_layer(legend, dock, viewer):
    layer = dock.session.result_layer
    layer.visible = False
    assert legend.isHidden()
    layer.visible = True
    assert not legend.isHidden()
    viewer.layers.remove(layer)
    assert legend.isHidden()


def test_the_box_in_the_dock_switches_it_and_is_remembered(legend, dock, viewer):
    box = dock.sections["classes"].legend_box
    assert box.isChecked()
    box.setChecked(False)
    assert legend.isHidden()
    again = Legend(dock.session, dock)
    assert not again.wanted
    again.close_section()
    box.setChecked(True)
    assert not legend.isHidden()


def test_of_many_classes_those_on_the_picture_come_first(legend, dock, viewer):
    session = dock.session
    session.add_classes(", ".join(f"thing {i}" for i in range(80)))
    assert legend._more > 0
    assert names(legend)[0] == "bright"
    assert len(names(legend)) + legend._more == 82
    assert canvas_of(dock).rect().contains(legend.geometry())


def test_it_leaves_the_canvas_with_the_dock(legend, dock, viewer):
    canvas = canvas_of(dock)
    dock.let_go()
    assert legend.parentWidget() is None
    assert not canvas.findChildren(Legend)
    viewer.layers.remove(viewer.layers[-1])


def test_a_widget_outside_a_window_has_no_canvas(qtbot):
    lonely = QWidget()
    qtbot.addWidget(lonely)
    assert canvas_of(lonely) is None
