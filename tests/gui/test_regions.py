"""Regions as a person draws them: a card in words, edits, a class, a mask that follows."""

from __future__ import annotations

import pytest
from correcting import drag, open_dock, picture, settle
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from tower_encoder import TowerEncoder

from napari_promptseg.learning.regions import RegionSettings

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    # shown, so that the canvas has a size to draw on
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def dock(viewer, tmp_path, qtbot):
    widget = open_dock(viewer, tmp_path / "strokes", TowerEncoder)
    widget.session.regions.learning.settings = RegionSettings(steps=1, distil_steps=1)
    yield widget
    widget.let_go()
    qtbot.waitUntil(lambda: widget.session.workbench.is_idle, timeout=10000)


def ready(dock, qtbot):
    """Everything that follows from a click or an edit has happened."""
    session = dock.session
    QApplication.processEvents()
    qtbot.waitUntil(
        lambda: (
            session.workbench.is_idle
            and not session.regions.learning.is_running
            and not session.regions._edit_timer.isActive()
        ),
        timeout=60000,
    )
    settle(session, qtbot)


def draw_square(viewer, dock, qtbot, corners=((9.5, 9.5), (29.5, 29.5)), tool="rectangle"):
    """Draw with the mouse; gives the card of what was drawn."""
    button = dock.sections["regions"].tools.buttons[tool]
    if not button.isChecked():
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    (top, left), (bottom, right) = corners
    drag(viewer, [(top, left), ((top + bottom) / 2, (left + right) / 2), (bottom, right)])
    ready(dock, qtbot)
    return list(dock.sections["regions"].cards.values())[-1]


def test_a_rectangle_drawn_becomes_a_card_and_a_class_and_a_mask(viewer, dock, qtbot):
    section, session = dock.sections["regions"], dock.session
    viewer.add_image(picture())
    assert section.hint.text().startswith("Take a tool")
    card = draw_square(viewer, dock, qtbot)
    region = session.regions.cards[0]
    assert region.mask.sum() == 400
    assert card.sentence.toPlainText().startswith("one ")
    assert "blue" in card.sentence.toPlainText()
    assert "Use as class" in section.hint.text()
    assert session.result_layer is None
    qtbot.keyClicks(card.name_edit, "blue")
    qtbot.keyClick(card.name_edit, Qt.Key.Key_Return)
    qtbot.mouseClick(card.use_button, Qt.MouseButton.LeftButton)
    ready(dock, qtbot)
    (c,) = session.prompts.classes
    assert c.name == "blue"
    assert c.sentences == (card.sentence.toPlainText(),)
    labels = session.result_layer.data
    assert labels[15, 15] == 1, "what was drawn"
    assert labels[15, 65] == 1, "and the same thing elsewhere"
    assert labels[45, 15] == 0
    assert section.hint.isHidden()
    assert section.report.text()
    assert card.add_button.text() == "blue"
