"""“Tune modalities” as a person sees it: from strokes, regions and labels layers; kept, refused, stopped."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from correcting import picture, segmented, settle
from pixel_encoder import PixelEncoder

from napari_promptseg.errors import InputError
from napari_promptseg.gui.drawn_concept import DrawnConcept
from napari_promptseg.learning import modalities as learner

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


@cache
def embedded() -> Any:
    from napari_promptseg import load_encoder

    return load_encoder(device="cpu")


@pytest.fixture
def dock(dock):
    dock.sections["modalities"].header.setChecked(True)
    return dock


@pytest.fixture
def given(monkeypatch):
    """What the learner was given; it then stops."""
    asked: list[Any] = []

    def tune(segmenter, samples, prompts, *, settings, progress):
        asked.extend(samples)
        raise InputError("Enough of it.")

    monkeypatch.setattr(learner, "tune_modalities", tune)
    return asked


def pair(viewer, dock):
    """RGB, and another sensor that is bright on the right."""
    other = np.zeros((64, 96), np.uint8)
    other[:, 48:] = 200
    viewer.add_image(other, name="field thermal")
    dock.session.picture.choose(viewer.add_image(picture(), name="field"))
    dock.sections["modalities"].row("field thermal").box.click()
    return dock.sections["modalities"].tune


def test_strokes_are_learned_from_with_all_modalities(viewer, dock, qtbot, given):
    panel = pair(viewer, dock)
    segmented(dock.session, qtbot, "red, green")
    points = dock.sections["learn"].points
    for at, value in (((5, 5), 1), ((50, 70), 2), ((20, 20), 0)):
        assert points.add(at, value)
    said = []
    dock.session.message.connect(lambda text, tone: said.append(text))
    panel.button.click()
    qtbot.waitUntil(lambda: "Enough of it." in said)
    settle(dock.session, qtbot)
    assert [m.name for m in given[0].stack.modalities] == ["field", "field thermal"]
    assert sorted(given[0].pixels.values.tolist()) == [0, 1, 2]
    assert panel.button.isEnabled()
    assert panel.stop_button.isHidden()


def test_regions_teach_with_what_is_outside_them(viewer, dock, qtbot, given):
    panel, session = pair(viewer, dock), dock.session
    segmented(session, qtbot, "red, green")
    mask = np.zeros((64, 96), bool)
    mask[40:60, 10:40] = True
    source = session.picture.source()
    session.regions.cards.append(DrawnConcept(value=1, source=source, mask=mask, image=id(session.picture.layer)))
    panel.origin_box.setCurrentIndex(1)
    panel.button.click()
    qtbot.waitUntil(lambda: bool(given))
    settle(session, qtbot)
    pixels = given[0].pixels
    assert set(pixels.values.tolist()) == {0, 1}
    assert (mask[pixels.rows, pixels.columns] == (pixels.values == 1)).all()
    assert len(given[0].stack.modalities) == 2
    session.regions.cards.clear()


def test_a_labels_layer_is_offered_where_it_fits_and_read(viewer, dock, qtbot, given):
    panel, session = pair(viewer, dock), dock.session
    segmented(session, qtbot, "red, green")
    labels = np.zeros((64, 96), np.int32)
    labels[:, :20], labels[:, 80:], labels[:8] = 1, 2, 9
    viewer.add_labels(labels, name="truth")
    viewer.add_labels(labels[:9], name="another size")
    names = [panel.origin_box.itemText(i) for i in range(panel.origin_box.count())]
    assert names == ["from strokes", "from drawn regions", "from truth"]
    panel.origin_box.setCurrentIndex(2)
    panel.button.click()
    qtbot.waitUntil(lambda: bool(given))
    settle(session, qtbot)
    pixels = given[0].pixels
    assert set(pixels.values.tolist()) == {0, 1, 2}
    assert pixels.rows.min() >= 8  # labels of no class teach nothing


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("strokes", "Paint some of the mask's errors first"),
        ("regions", "No region of a class is drawn on this image"),
        ("layer", "Choose a labels layer of the same size"),
    ],
)
def test_what_is_missing_is_said(viewer, dock, qtbot, origin, words):
    panel, said = pair(viewer, dock), []
    dock.session.message.connect(lambda text, tone: said.append(text))
    assert not panel.tuning.start(origin)
    assert said[-1].startswith("No class is named yet")
    segmented(dock.session, qtbot, "red, green")
    assert not panel.tuning.start(origin)
    assert said[-1].startswith(words)
    dock.sections["modalities"].row("field thermal").box.click()
    assert not panel.tuning.start(origin)
    assert said[-1].startswith("Tick at least one more modality")


def test_it_can_be_stopped(viewer, dock, qtbot, monkeypatch):
    def slow(segmenter, samples, prompts, *, settings, progress):
        for i in range(100000):
            time.sleep(0.001)
            progress(i, 100000, "working")
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(learner, "tune_modalities", slow)
    panel, session = pair(viewer, dock), dock.session
    segmented(session, qtbot, "red, green")
    before = session.prompts
    assert dock.sections["learn"].points.add((5, 5), 1)
    panel.button.click()
    assert not panel.stop_button.isHidden()
    panel.stop_button.click()
    qtbot.waitUntil(lambda: not panel.tuning.is_running)
    settle(session, qtbot)
    assert session.prompts == before


@pytest.mark.dock(encoder=embedded)
def test_a_kept_tuning_changes_the_mask_says_so_and_can_be_taken_back(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["modalities"]
    rng = np.random.default_rng(0)
    colour = rng.integers(90, 160, (96, 128, 3), dtype=np.uint8)
    heat = rng.integers(0, 30, (96, 128), dtype=np.uint8)
    labels = np.zeros((96, 128), np.int32)
    for top, left in ((10, 10), (50, 30), (20, 80), (60, 90)):
        heat[top : top + 22, left : left + 22] += 200
        labels[top : top + 22, left : left + 22] = 1
    viewer.add_labels(labels, name="truth")
    viewer.add_image(heat, name="thermal")
    session.picture.choose(viewer.add_image(colour, name="colour"))
    section.row("thermal").box.click()
    segmented(session, qtbot, "dog", live=True)
    before = session.prompts
    section.tune.tuning.settings = learner.ModalitySettings(grouping=None)
    section.tune.origin_box.setCurrentIndex(2)
    section.tune.button.click()
    qtbot.waitUntil(lambda: not section.tune.tuning.is_running)
    settle(session, qtbot)
    assert "Held-out Dice" in section.tune.report.text()
    assert ", kept." in section.tune.report.text()
    found = np.asarray(session.result_layer.data)
    assert 2 * ((found == 1) & (labels == 1)).sum() / ((found == 1).sum() + (labels == 1).sum()) > 0.8
    assert session.tuning.validation["kept"]
    dock.footer.back_button.click()
    settle(session, qtbot)
    assert session.prompts == before
