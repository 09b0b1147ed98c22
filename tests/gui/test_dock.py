"""The dock, used as a person uses it: typing, clicking, and reading the label layer."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QComboBox, QLineEdit, QWidget

from napari_promptseg.gui.class_table import EYE, KNOWN, NAME, REMOVE, SHARE, THRESHOLD

pytestmark = pytest.mark.gui


def type_names(dock, qtbot, text, *, key=Qt.Key.Key_Return, modifier=Qt.KeyboardModifier.NoModifier):
    box = dock.sections["classes"].names_edit
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, key, modifier)


def press_segment(dock, qtbot):
    qtbot.mouseClick(dock.footer.segment_button, Qt.MouseButton.LeftButton)
    settled(dock, qtbot)


def settled(dock, qtbot):
    session = dock.session
    qtbot.waitUntil(lambda: session.workbench.is_idle and not session._live_timer.isActive())


def cell(dock, row, column):
    table = dock.sections["classes"].table
    return table.model().index(row, column)


def test_names_typed_and_segment_pressed_give_a_label_layer(dock, viewer, qtbot, ramp, core):
    viewer.add_image(ramp, name="ramp", scale=(2, 3), translate=(5, 7), units=("um", "um"))
    type_names(dock, qtbot, "dark, bright | light")
    press_segment(dock, qtbot)
    layer = dock.session.result_layer
    assert layer.name == "ramp classes"
    np.testing.assert_array_equal(np.unique(layer.data), [0, 2])
    np.testing.assert_array_equal(layer.scale, (2, 3))
    np.testing.assert_array_equal(layer.translate, (5, 7))
    assert [str(u) for u in layer.units] == ["micrometer", "micrometer"]
    assert list(layer.features["class"]) == ["background", "dark", "bright | light"]
    assert "MainThread" not in core.segmenter.threads
    table = dock.sections["classes"].table.model()
    assert [table.index(r, KNOWN).data() for r in (0, 1)] == ["related", "known"]
    assert table.index(1, SHARE).data() == f"{(layer.data == 2).mean() * 100:.1f} %"


def test_ctrl_enter_adds_and_segments(dock, viewer, qtbot, ramp):
    viewer.add_image(ramp)
    type_names(dock, qtbot, "bright", modifier=Qt.KeyboardModifier.ControlModifier)
    settled(dock, qtbot)
    assert dock.session.result_layer.data.any()


@pytest.mark.parametrize(
    ("image", "names", "sentence"),
    [
        (False, "cat", "There is no image"),
        (True, "", "No class is named"),
        (True, "cat, Cat", "twice"),
        (True, " , | ", "Type at least one name"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(dock, viewer, qtbot, ramp, image, names, sentence):
    if image:
        viewer.add_image(ramp)
    if names:
        type_names(dock, qtbot, names)
    if sentence in ("There is no image", "No class is named"):
        press_segment(dock, qtbot)
    assert sentence in dock.footer.message.text()
    assert dock.session.result_layer is None


@pytest.mark.parametrize("name", ["słoń", "猫", 'he said "hi"', '5" pipe', "l'œil", "ça"])
def test_names_in_any_language_and_with_quotes(dock, viewer, qtbot, ramp, name):
    viewer.add_image(ramp)
    dock.sections["classes"].names_edit.setText(name)
    dock.sections["classes"].add()
    press_segment(dock, qtbot)
    assert list(dock.session.result_layer.features["class"])[1:] == [name]


def test_the_layer_box_follows_inserts_renames_and_removals(dock, viewer, ramp):
    box = dock.sections["image"].layer_box
    assert not box.isEnabled()
    first = viewer.add_image(ramp, name="first")
    viewer.add_image(np.zeros((9, 9, 3), np.uint8), name="second", rgb=True)
    viewer.add_labels(np.zeros((4, 4), int))
    assert [box.itemText(i) for i in range(box.count())] == ["first", "second"]
    assert box.currentText() == "first"
    first.name = "renamed"
    assert box.currentText() == "renamed"
    viewer.layers.remove(first)
    assert box.currentText() == "second"
    assert dock.sections["image"].facts.text().startswith("RGB, one plane")
    viewer.layers.clear()
    assert dock.session.picture.layer is None


def test_live_edits_follow_without_encoding_again(dock, viewer, qtbot, ramp, core):
    viewer.add_image(ramp)
    type_names(dock, qtbot, "bright")
    press_segment(dock, qtbot)
    before = dock.session.result_layer.data.sum()
    model = dock.sections["classes"].table.model()
    assert model.setData(cell(dock, 0, THRESHOLD), 0.9)
    settled(dock, qtbot)
    assert 0 < dock.session.result_layer.data.sum() < before
    assert model.setData(cell(dock, 0, NAME), "dark | black")
    settled(dock, qtbot)
    assert dock.session.result_layer.features["class"][1] == "dark | black"
    assert len(core.segmenter.encoded) == 1
    assert core.segmenter.segmented == 3
    dock.sections["classes"].live_box.setChecked(False)
    model.setData(cell(dock, 0, THRESHOLD), 0.1)
    settled(dock, qtbot)
    assert core.segmenter.segmented == 3


def test_hiding_recolouring_and_removing_a_class(dock, viewer, qtbot, ramp, core):
    viewer.add_image(ramp)
    type_names(dock, qtbot, "dark, bright")
    press_segment(dock, qtbot)
    table, layer = dock.sections["classes"].table, dock.session.result_layer
    table.clicked.emit(cell(dock, 1, EYE))
    assert layer.colormap.map(2)[..., 3] == 0
    dock.session.set_look(2, visible=True, colour="#ff0000")
    np.testing.assert_allclose(layer.colormap.map(2), (1, 0, 0, 1))
    assert core.segmenter.segmented == 1
    table.clicked.emit(cell(dock, 1, REMOVE))
    settled(dock, qtbot)
    np.testing.assert_array_equal(np.unique(layer.data), [0, 1])


def test_cancel_stops_between_tiles_and_leaves_no_layer(dock, viewer, qtbot, ramp, core):
    core.tiles, core.pause = 500, 0.02
    viewer.add_image(ramp)
    type_names(dock, qtbot, "bright")
    qtbot.mouseClick(dock.footer.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "tile" in dock.footer.message.text())
    assert dock.footer.cancel_button.isEnabled()
    qtbot.mouseClick(dock.footer.cancel_button, Qt.MouseButton.LeftButton)
    settled(dock, qtbot)
    assert dock.session.result_layer is None
    assert dock.footer.message.text().startswith("Stopped")
    assert not dock.footer.cancel_button.isEnabled()


def test_an_image_removed_during_work_is_said_and_nothing_written(dock, viewer, qtbot, ramp, core):
    core.tiles, core.pause = 10, 0.02
    layer = viewer.add_image(ramp)
    type_names(dock, qtbot, "bright")
    qtbot.mouseClick(dock.footer.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.session.is_busy and core.segmenter is not None)
    viewer.layers.remove(layer)
    settled(dock, qtbot)
    assert len(viewer.layers) == 0
    assert "removed" in dock.footer.message.text()


def test_a_stack_is_segmented_plane_by_plane(dock, viewer, qtbot, ramp):
    stack = np.stack([ramp, 255 - ramp, ramp])
    viewer.add_image(stack)
    type_names(dock, qtbot, "bright")
    viewer.dims.set_current_step(0, 1)
    press_segment(dock, qtbot)
    data = dock.session.result_layer.data
    assert data.shape == stack.shape
    assert [plane.any() for plane in data] == [False, True, False]
    viewer.dims.set_current_step(0, 2)
    press_segment(dock, qtbot)
    np.testing.assert_array_equal(data[1], data[2][:, ::-1])


def test_a_model_that_is_not_there_is_said_and_the_one_before_stays(dock, viewer, qtbot):
    dock.session.choose_model("hf-hub:no/model")
    settled(dock, qtbot)
    assert "embedded model works" in dock.footer.message.text()
    assert dock.session.model.spec == "embedded"


def test_score_layers_come_and_go(dock, viewer, qtbot, ramp):
    viewer.add_image(np.stack([ramp, ramp]), scale=(4, 1, 1))
    type_names(dock, qtbot, "bright")
    viewer.dims.set_current_step(0, 1)
    dock.sections["classes"].scores_box.setChecked(True)
    press_segment(dock, qtbot)
    layer = viewer.layers["bright score"]
    np.testing.assert_allclose(layer.data_to_world((0, 0, 0)), (4, 0, 0))
    assert dock.sections["image"].layer_box.count() == 1
    dock.sections["classes"].scores_box.setChecked(False)
    assert "bright score" not in viewer.layers


def test_closing_the_dock_during_work_is_quiet(dock, viewer, qtbot, ramp, core):
    core.tiles, core.pause = 200, 0.02
    viewer.add_image(ramp)
    type_names(dock, qtbot, "bright")
    qtbot.mouseClick(dock.footer.segment_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: core.segmenter is not None and core.segmenter.going.is_set())
    viewer.window.remove_dock_widget(dock)
    dock.let_go()
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
    viewer.add_image(ramp)
    assert len(viewer.layers) == 2


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_is_readable_at_360_pixels_without_sideways_scrolling(dock, viewer, qtbot, ramp, theme):
    viewer.theme = theme
    viewer.add_image(ramp)
    type_names(dock, qtbot, "a rather long class name, sofa | couch")
    for section in dock.sections.values():
        section.header.setChecked(True)
    viewer.window.show()
    dock.resize(360, 720)
    assert dock.minimumSizeHint().width() <= 360
    assert dock.scroll.widget().minimumSizeHint().width() + 14 <= 360


def test_every_control_has_a_name_and_a_tooltip(dock):
    kinds = (QAbstractButton, QComboBox, QLineEdit, QAbstractSlider)
    own = [w for w in dock.findChildren(QWidget) if isinstance(w, kinds) and not w.objectName().startswith("qt_")]
    own = [w for w in own if not isinstance(w.parent(), QComboBox) and "ScrollBar" not in type(w).__name__]
    own = [w for w in own if type(w.parent()).__name__ != "ClassTable"]
    assert len(own) > 15
    assert [type(w).__name__ for w in own if not (w.accessibleName() and w.toolTip())] == []


def test_sections_remember_whether_they_are_open(dock, viewer, core):
    from napari_promptseg.gui.model_section import ModelSection

    section = dock.sections["model"]
    section.header.setChecked(not section.is_open)
    again = ModelSection(dock.session)
    assert again.is_open == section.is_open
    again.close_section()
