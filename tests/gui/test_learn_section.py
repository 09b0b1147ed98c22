"""The section "Correct and learn": what it shows and what its buttons do."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import picture, segmented, settle
from pixel_encoder import PixelEncoder

from napari_promptseg.gui.uncertain_region import uncertain_regions

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def test_the_section_leads_from_nothing_to_a_list_of_strokes(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    assert "Segment" in section.hint.text()
    assert not section.paint_button.isEnabled()
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    assert "Paint" in section.hint.text()
    section.class_box.setCurrentIndex(section.class_box.findText("green"))
    section.paint_button.click()
    assert (layer.mode, layer.selected_label) == ("paint", 2)
    layer.brush_size = 5
    layer.paint((50, 20), 2)
    layer.paint((50, 70), 0)
    settle(session, qtbot)
    shown = [[section.list.topLevelItem(i).text(c) for c in range(4)] for i in range(2)]
    assert [row[0] for row in shown] == ["green", "background"]
    assert "green 1" in section.counts.text()
    section.list.topLevelItem(0).setSelected(True)
    section.delete_button.click()
    settle(session, qtbot)
    assert [s.value for s in session.corrector.corrections] == [0]
    session.rename(2, "leaf")
    assert section.class_box.findText("leaf") >= 0


def test_tuning_a_model_without_learned_tokens_says_so(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    layer.paint((50, 20), 2)
    settle(session, qtbot)
    section.tune_button.click()
    assert "two strokes or points of one class" in dock.footer.message.text()
    section.points.add((40, 20), 2)
    settle(session, qtbot)
    section.tune_button.click()
    settle(session, qtbot)
    assert "no learned tokens" in dock.footer.message.text()
    assert section.report.isHidden()
    assert section.curve.isHidden(), "no empty frame stays"
    assert section.tune_button.isEnabled()
    assert section.stop_button.isHidden()


def test_prompts_go_to_a_file_and_come_back(viewer, dock, qtbot, tmp_path):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    segmented(session, qtbot, "red, green | grass")
    before = session.prompts
    section.carry.files.save(tmp_path / "mine")
    settle(session, qtbot)
    session.remove_class(1)
    section.carry.files.load(tmp_path / "mine.promptseg")
    settle(session, qtbot)
    assert session.prompts == before
    heard = []
    session.message.connect(lambda text, tone: heard.append((text, tone)))
    (tmp_path / "cut.promptseg").write_bytes((tmp_path / "mine.promptseg").read_bytes()[:40])
    section.carry.files.load(tmp_path / "cut.promptseg")
    settle(session, qtbot)
    assert session.prompts == before
    assert any(tone == "error" and "truncated" in text for text, tone in heard)


def test_correct_here_next_goes_to_the_doubtful_region(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture(), scale=(2, 3))
    segmented(session, qtbot)
    region = section.next_region.go((800, 600))
    assert region is not None
    row, column = region.centre
    assert np.allclose(viewer.scene.camera.center[-2:], (2 * row, 3 * column))


def test_the_largest_doubt_comes_first_and_painted_pixels_are_beyond_it():
    sure = np.full((60, 80), 0.9, np.float16)
    sure[5:10, 5:10] = 0.3
    sure[30:50, 30:60] = 0.4
    first, second = uncertain_regions(sure)
    assert (first.centre, second.centre) == ((40.0, 45.0), (7.5, 7.5))
    own = np.zeros((60, 80), bool)
    own[30:50, 30:60] = True
    (only,) = uncertain_regions(sure, own)
    assert only.centre == (7.5, 7.5)
    assert uncertain_regions(np.full((8, 8), 0.7)) == []
