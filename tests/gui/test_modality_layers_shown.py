"""What a user sees of several modalities: a mask none of them hides, names that tell them apart, a strip of now."""

from __future__ import annotations

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
