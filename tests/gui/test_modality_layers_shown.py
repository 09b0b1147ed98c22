"""What a user sees of several modalities: a mask none of them hides, names that tell them apart, a strip of now."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from correcting import segmented, settle
from napari.layers import Image
from PIL import Image as Picture
from pixel_encoder import PixelEncoder

from napari_promptseg.gui.modality_layers import guessed_kind, short_names

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


@pytest.fixture
def pair(viewer, dock):
    """A colour picture, and a grey one over it that hides it."""
    rng = np.random.default_rng(0)
    colour = np.zeros((60, 80, 3), np.uint8)
    colour[:, :40], colour[:, 40:] = (0, 200, 0), (200, 0, 0)
    viewer.add_image(colour, name="field", rgb=True)
    viewer.add_image(rng.integers(0, 255, (60, 80)).astype(np.uint8), name="field [1]")
    section = dock.sections["modalities"]
    section.header.setChecked(True)
    return section


def order(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_no_ticked_layer_hides_the_mask(pair, viewer, dock, qtbot):
    segmented(dock.session, qtbot, "green, red", live=True)
    assert order(viewer) == ["field", "field classes", "field [1]"]
    pair.row("field [1]").box.click()
    settle(dock.session, qtbot)
    assert order(viewer) == ["field", "field [1]", "field classes"]
    # where the user puts it afterwards it stays, a new one is seen again
    viewer.layers.move(2, 1)
    pair.row("field [1]").slider.setValue(3)
    settle(dock.session, qtbot)
    assert order(viewer) == ["field", "field classes", "field [1]"]
    viewer.layers.remove("field classes")
    segmented(dock.session, qtbot, "green, red", live=True)
    assert order(viewer) == ["field", "field [1]", "field classes"]


def test_the_strip_goes_when_its_masks_are_no_longer_true(pair, viewer, dock, qtbot):
    session, strip = dock.session, pair.strip
    segmented(session, qtbot, "green, red", live=True)
    pair.row("field [1]").box.click()
    settle(session, qtbot)

    def compare() -> None:
        strip.button.click()
        qtbot.waitUntil(lambda: len(strip.pictures()) == 3)
        settle(session, qtbot)

    compare()
    pair.row("field [1]").slider.setValue(3)
    settle(session, qtbot)
    assert len(strip.pictures()) == 3, "weights are what it compares"
    assert dock.sections["learn"].points.add((10, 10), 2)
    settle(session, qtbot)
    assert strip.pictures() == []
    compare()
    session.add_classes("blue")
    settle(session, qtbot)
    assert strip.pictures() == []


def test_planes_that_may_be_channels_are_said_to_be(viewer, dock, qtbot):
    section = dock.sections["modalities"]
    section.header.setChecked(True)
    viewer.add_image(np.zeros((4, 40, 50), np.uint8), name="plate")
    assert "If the 4 planes of this one are channels" in section.hint.text()
    dock.session.picture.look(channel_axis=0, channels=(0,))
    assert "planes" not in section.hint.text()
    assert [row.objectName() for row in section.rows[1:]] == [f"modality-plate, channel {c}" for c in (1, 2, 3)]
    viewer.layers.clear()
    viewer.add_image(np.zeros((20, 40, 50), np.uint8), name="stack")
    assert "channels" not in section.hint.text()


def test_masks_that_are_alike_are_not_ranked(pair, viewer, dock, qtbot):
    segmented(dock.session, qtbot, "green, red", live=True)
    pair.row("field [1]").box.click()
    settle(dock.session, qtbot)
    pair.strip.button.click()
    qtbot.waitUntil(lambda: len(pair.strip.pictures()) == 3, timeout=20000)
    settle(dock.session, qtbot)
    assert pair.strip.hint.text().startswith("Nearest to all: only")
    pair.strip.ablation.made = [replace(t, differs=0.0) for t in pair.strip.ablation.made]
    pair.strip.refresh()
    assert pair.strip.hint.text() == "The masks are all alike."


def test_a_file_of_the_same_name_is_told_by_its_folder(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy()
    for folder, pixels in (("images", np.zeros((40, 40, 3), np.uint8)), ("thermal", np.ones((40, 40), np.uint8))):
        (tmp_path / folder).mkdir()
        Picture.fromarray(pixels).save(tmp_path / folder / "a.png")
        viewer.open(tmp_path / folder / "a.png", plugin="napari")
    assert [guessed_kind(layer) for layer in viewer.layers] == ["rgb", "thermal"]
    assert guessed_kind(Image(np.zeros((8, 8)), name="a nir")) == "nir"
    assert guessed_kind(Image(np.zeros((8, 8)), name="a")) == "auto"


def test_a_number_of_napari_gives_way_to_the_kind():
    names = ["road", "road [1]", "road [2]"]
    assert short_names(names, ["rgb", "thermal", "depth"]) == ["road", "thermal", "depth"]
    assert short_names(names, ["rgb", "thermal", "auto"]) == ["road", "thermal", "[2]"]
    assert short_names(names, ["rgb", "thermal", "thermal"]) == names
    assert short_names(names) == ["road", "[1]", "[2]"]


def test_tune_prompts_says_that_it_learns_from_one_of_them(pair, viewer, dock, qtbot):
    session = dock.session
    verdict = SimpleNamespace(sentence="held-out Dice 0.40 → 0.60", cancelled=False, notices=(), kept=False)
    verdict.report = dict
    session.tuning._on_done(verdict)
    assert "alone" not in session.tuning.report
    pair.row("field [1]").box.click()
    session.tuning._on_done(verdict)
    assert session.tuning.report.endswith("Learned from 'field' alone: “Tune modalities” learns from all.")
