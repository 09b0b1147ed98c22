"""Regions as a person draws them: a card in words, edits, a class, a mask that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from correcting import drag, picture, settle
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication
from tower_encoder import TowerEncoder

from napari_promptseg.gui.word_chip import AddWord, WordChip
from napari_promptseg.learning.regions import RegionSettings, region_values
from napari_promptseg.prompts.region_notes import notes_of

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(viewer, dock_in):
    """On a picture, in a window that is not shown."""
    viewer.add_image(picture())
    return hasty(dock_in(viewer, TowerEncoder))


@pytest.fixture
def drawn_in(make_napari_viewer_proxy, dock_in):
    """In a window that is shown, so that the canvas has a size to draw on."""
    return hasty(dock_in(make_napari_viewer_proxy(show=True), TowerEncoder))


def hasty(dock):
    """The dock, learning a region in one step."""
    dock.session.regions.learning.settings = RegionSettings(steps=1, distil_steps=1)
    return dock


def box(top, left, bottom, right):
    mask = np.zeros((64, 96), bool)
    mask[top:bottom, left:right] = True
    return mask


BLUE, RED, GREEN = box(10, 10, 30, 30), box(40, 10, 60, 30), box(40, 60, 60, 90)


def put(dock, qtbot, mask, name=""):
    """A region as if it had been drawn; gives its card."""
    session = dock.session
    region = session.regions.put(session.picture.source(), mask)
    ready(dock, qtbot)
    if name:
        session.regions.edit(region.id, lambda concept: concept.with_name(name))
    return dock.sections["regions"].cards[region.id]


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


def test_a_rectangle_drawn_becomes_a_card_and_a_class_and_a_mask(drawn_in, qtbot):
    dock, viewer = drawn_in, drawn_in.session.viewer
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
    # the point tool and the drawing tool do not take each other's clicks
    dock.sections["learn"].point_button.click()
    assert not section.tools.buttons["rectangle"].isChecked()
    draw_square(viewer, dock, qtbot, ((40.0, 60.0), (60.0, 90.0)))
    assert len(section.cards) == 2
    assert not len(session.corrector.corrections)
    session.regions.remove(session.regions.cards[1].id)
    ready(dock, qtbot)
    assert len(section.tools.layer.layer.data) == 1
    # a shape that is deleted takes its card along; what its class learned from it goes, too
    section.tools.layer.layer.selected_data = {0}
    section.tools.layer.layer.remove_selected()
    ready(dock, qtbot)
    assert not section.cards
    assert session.prompts.classes[0].sentences == ()
    assert region_values(session.prompts) == ()
    # outside the picture nothing is a region; the drawing stays
    section.tools.take_up("rectangle")
    drag(viewer, [(-20.0, 20.0), (-15.0, 30.0), (-8.0, 40.0)])
    ready(dock, qtbot)
    assert not section.cards
    assert "outside" in section.line.text()
    assert len(section.tools.layer.layer.data) == 1


def test_words_are_switched_changed_and_added(dock, qtbot):
    regions = dock.session.regions
    card = put(dock, qtbot, BLUE)
    before = card.sentence.toPlainText()
    chip = next(c for c in card.findChildren(WordChip) if c.attribute.kind == "location")
    assert chip.isChecked()
    qtbot.mouseClick(chip, Qt.MouseButton.LeftButton, pos=chip.rect().center() - QPoint(10, 0))
    assert card.sentence.toPlainText() == before.split(", located")[0]
    chip = next(c for c in card.findChildren(WordChip) if c.attribute.kind == "shape" and c.isVisibleTo(card))
    chip.words.fill()
    assert "ring-shaped" in [action.text() for action in chip.words.actions()]
    chip.words.edit.setText(" kvadrat  formad ")
    chip.words.edit.returnPressed.emit()
    assert "kvadrat formad" in card.sentence.toPlainText()
    more = [c for c in card.findChildren(AddWord) if c.isVisibleTo(card)]
    assert more
    more[0].menus["texture"].fill()
    next(a for a in more[0].menus["texture"].actions() if a.text() == "smooth").trigger()
    assert "smooth" in card.sentence.toPlainText()
    for name in ("полип", "猫", "l'œil"):
        card.name_edit.setText(name)
        card.name_edit.editingFinished.emit()
        assert name in card.sentence.toPlainText()
    assert card.badge.text() == ""
    ready(dock, qtbot)
    assert card.badge.text() == "? unknown"
    card.sentence.setPlainText("something like\nan eye")
    qtbot.keyClick(card.sentence, Qt.Key.Key_Return)
    assert regions.cards[0].sentence == "something like an eye"
    assert card.remake_button.isVisibleTo(card)
    card.remake_button.click()
    assert "l'œil" in card.sentence.toPlainText()
    # drawn anew, what the user said stays said
    dock.session.regions.put(dock.session.picture.source(), GREEN, shape="")
    regions.cards[0].mask = GREEN
    regions._describe(regions.cards[0])
    ready(dock, qtbot)
    assert "kvadrat formad" in regions.cards[0].sentence
    assert "green" in regions.cards[0].sentence


def test_a_class_follows_its_cards(dock, qtbot):
    session, regions = dock.session, dock.session.regions
    card = put(dock, qtbot, BLUE, "square")
    card.use_button.click()
    ready(dock, qtbot)
    assert region_values(session.prompts) == (1,)
    segmented = session.result_layer.data.copy()
    assert (segmented[BLUE] == 1).mean() > 0.9
    regions.edit(card.id, lambda concept: concept.with_word("size", "tiny"))
    assert "tiny" in notes_of(session.prompts.metadata)[0]["concept"]["sentence"], "the note at once"
    ready(dock, qtbot)
    assert "tiny" in session.prompts.classes[0].sentences[0], "the class after a moment"
    # another class by its name, a negative of the first
    other = put(dock, qtbot, RED, "patch")
    other.use_button.click()
    ready(dock, qtbot)
    assert [c.name for c in session.prompts.classes] == ["square", "patch"]
    assert not np.array_equal(session.result_layer.data, segmented)
    third = put(dock, qtbot, GREEN)
    third.sign_button.click()
    assert third.sign_button.text() == "is not it"
    assert not third.use_button.isEnabled()
    third.classes.aboutToShow.emit()
    third.classes.actions()[0].trigger()
    ready(dock, qtbot)
    assert len(session.prompts.classes[0].sentences) == 1, "what it is not is no sentence of it"
    assert [note["positive"] for note in notes_of(session.prompts.metadata)] == [True, True, False]
    # renamed, the concept stays and takes the name
    session.rename(1, "window")
    ready(dock, qtbot)
    assert regions.cards[0].concept.name == "window"
    assert session.prompts.classes[0].sentences == (regions.cards[0].sentence,)
    assert region_values(session.prompts) == (1, 2)
    session.remove_class(1)
    ready(dock, qtbot)
    assert [c.value for c in regions.cards] == [None, 2, None]


def test_back_and_forward_go_through_what_was_learned(dock, qtbot):
    session, regions = dock.session, dock.session.regions
    put(dock, qtbot, RED, "red").use_button.click()
    ready(dock, qtbot)
    card = put(dock, qtbot, BLUE, "blue")
    card.use_button.click()
    ready(dock, qtbot)
    after = session.prompts
    assert regions.cards[1].value == 2
    for _ in range(5):
        if len(session.prompts) == 2:
            dock.footer.back_button.click()
    assert [c.value for c in regions.cards] == [1, None]
    assert card.use_button.isVisibleTo(card)
    while dock.footer.forward_button.isEnabled():
        dock.footer.forward_button.click()
    ready(dock, qtbot)
    assert session.prompts == after
    assert [c.value for c in regions.cards] == [1, 2]
    regions.remove(card.id)
    ready(dock, qtbot)
    assert session.prompts.classes[1].sentences == ()
    for _ in range(5):
        if len(regions.cards) == 1:
            dock.footer.back_button.click()
    assert [c.value for c in regions.cards] == [1, 2], "a deleted card comes back"
    assert regions.cards[1].mask is not None


def test_cards_go_through_a_file(dock, qtbot, tmp_path):
    session = dock.session
    put(dock, qtbot, BLUE, "blue").use_button.click()
    ready(dock, qtbot)
    said, labels = session.regions.cards[0].sentence, session.result_layer.data.copy()
    files = dock.sections["learn"].carry.files
    files.save(tmp_path / "blue.promptseg")
    ready(dock, qtbot)
    session.remove_class(1)
    session.regions.remove(session.regions.cards[0].id)
    session.regions._gone.clear()
    ready(dock, qtbot)
    assert not dock.sections["regions"].cards
    files.load(tmp_path / "blue.promptseg")
    ready(dock, qtbot)
    (card,) = dock.sections["regions"].cards.values()
    assert card.sentence.toPlainText() == said
    assert card.picture.text() == "from a\nfile"
    assert card.add_button.text() == "blue"
    session.segment()
    ready(dock, qtbot)
    assert np.array_equal(session.result_layer.data, labels)
    # one that cannot be read is kept and says so
    note = {"class": 1, "positive": True, "concept": {"format": 99}}
    session.set_prompts(replace(session.prompts, metadata={"regions": [note]}))
    assert "format" in dock.sections["regions"].line.text()
    assert notes_of(session.prompts.metadata)[0]["concept"] == {"format": 99}


def test_what_is_no_region_is_said_in_the_section(dock, qtbot):
    section, session = dock.sections["regions"], dock.session
    assert section.hint.text().startswith("Take a tool")
    section.tools.painted_button.click()
    assert "no label layer" in section.line.text()
    labels = session.viewer.add_labels(np.zeros((64, 96), np.uint8))
    section.tools.painted_button.click()
    assert "painted" in section.line.text()
    labels.data[:] = 1
    section.tools.painted_button.click()
    assert "whole image" in section.line.text()
    assert not section.cards
    labels.data[:] = BLUE
    section.tools.painted_button.click()
    ready(dock, qtbot)
    (card,) = section.cards.values()
    assert "blue" in card.sentence.toPlainText()
    # a removed drawing leaves what was said of it
    section.tools.take_up("rectangle")
    layer = section.tools.layer.layer
    layer.add_rectangles(np.array([[40.0, 10.0], [40.0, 30.0], [60.0, 30.0], [60.0, 10.0]]))
    ready(dock, qtbot)
    assert len(section.cards) == 2
    session.viewer.layers.remove(layer)
    ready(dock, qtbot)
    assert len(section.cards) == 2
    assert "cards keep" in section.line.text()
    session.viewer.layers.clear()
    ready(dock, qtbot)
    assert not section.tools.painted_button.isEnabled()


def test_the_kind_of_picture_is_chosen_for_all_regions(dock, qtbot):
    section, session = dock.sections["regions"], dock.session
    put(dock, qtbot, BLUE)
    box = section.kind_box
    box.setCurrentIndex(box.findData("endoscopy"))
    box.activated.emit(box.currentIndex())
    ready(dock, qtbot)
    assert session.prompts.image_kind == "endoscopy"
    assert session.regions.cards[0].concept.image_kind == "endoscopy"
