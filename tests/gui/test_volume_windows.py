"""CT windows: the viewer and the model see the same range, and it goes with the prompts; notes and other grids."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import settle
from pixel_encoder import PixelEncoder
from volumes import SHAPE, add_volume, geometry

from napari_promptseg.images.normalisation import to_rgb8
from napari_promptseg.images.windows import CT_WINDOWS

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def ct() -> np.ndarray:
    """Hounsfield units from air to bone along x."""
    return np.broadcast_to(np.linspace(-1000, 1500, SHAPE[2]).astype(np.int16), SHAPE).copy()


def add_ct(viewer, **keywords):
    layer = add_volume(viewer, ct(), **keywords)
    layer.metadata["kind"] = "ct"
    return layer


def choose(control, name):
    index = next(i for i in range(control.box.count()) if control.box.itemText(i).startswith(name))
    control.box.setCurrentIndex(index)
    control.box.activated.emit(index)


def take(dock, viewer):
    """A CT whose reader said so before it was in hand."""
    layer = add_ct(viewer)
    dock.session.picture.choose(None)
    dock.session.picture.choose(layer)
    return layer


def test_a_ct_is_taken_for_one_and_offers_windows(viewer, dock, qtbot):
    layer, section = take(dock, viewer), dock.sections["image"]
    assert dock.session.picture.view.kind == "ct"
    assert dock.session.prompts.image_kind == "ct"
    assert section.kind_box.currentText() == "CT"
    assert not section.window.isHidden()
    assert section.window.box.currentText() == "automatic"
    choose(section.window, "lung")
    assert tuple(layer.contrast_limits) == CT_WINDOWS["lung"]
    source = dock.session.picture.source()
    stack = source.stack()
    assert np.array_equal(stack.picture(), to_rgb8(layer.data[source.index[0]], limits=CT_WINDOWS["lung"]))
    choose(section.window, "automatic")
    assert dock.session.picture.view.limits is None
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) == CT_WINDOWS["soft tissue"])
    assert source.limits() == CT_WINDOWS["soft tissue"], "as the model sees it"


def test_what_is_said_to_be_mr_is_shown_as_the_model_sees_it(viewer, dock, qtbot):
    layer, section = add_volume(viewer, ct()), dock.sections["image"]
    layer.contrast_limits = (0, 10)
    section.kind_box.setCurrentIndex(section.kind_box.findText("MR"))
    section.kind_box.activated.emit(section.kind_box.currentIndex())
    wanted = dock.session.picture.source().limits()
    qtbot.waitUntil(lambda: tuple(layer.contrast_limits) == wanted)


def test_what_the_user_chose_is_not_guessed_over(viewer, dock):
    section = dock.sections["image"]
    section.kind_box.setCurrentIndex(section.kind_box.findText("ultrasound"))
    section.kind_box.activated.emit(section.kind_box.currentIndex())
    take(dock, viewer)
    assert dock.session.prompts.image_kind == "ultrasound"


def test_all_planes_are_seen_through_one_measured_range(viewer, dock):
    pixels = np.zeros(SHAPE, np.uint16)
    pixels[:6] = np.arange(SHAPE[2])
    pixels[6:] = 100 * np.arange(SHAPE[2])
    add_volume(viewer, pixels)
    picture = dock.session.picture
    found = []
    for z in (0, 11):
        picture.show_plane((z,))
        found.append(picture.source().stack().picture().max())
    assert found[0] < 20
    assert found[1] == 255


def test_as_shown_follows_the_layers_contrast(viewer, dock, qtbot):
    layer, control = take(dock, viewer), dock.sections["image"].window
    layer.contrast_limits = (-100, 300)
    choose(control, "as shown")
    assert dock.session.picture.view.limits == (-100, 300)
    layer.contrast_limits = (-50, 200)
    qtbot.waitUntil(lambda: dock.session.picture.view.limits == (-50, 200))
    assert control.box.currentText() == "as shown  -50 to 200"
    choose(control, "bone")
    layer.contrast_limits = (0, 10)
    qtbot.waitUntil(lambda: not control._timer.isActive())
    assert dock.session.picture.view.limits == CT_WINDOWS["bone"], "the choice of a preset stays"


def test_another_window_keeps_the_result_layer(viewer, dock, qtbot):
    session = dock.session
    take(dock, viewer)
    session.set_option("live", False)
    session.add_classes("red")
    assert session.segment()
    qtbot.waitUntil(lambda: session.label_map is not None)
    layer = session.result_layer
    choose(dock.sections["image"].window, "brain")
    assert session.segment()
    settle(session, qtbot)
    assert session.result_layer is layer


def test_a_photograph_after_a_ct_is_no_ct(viewer, dock):
    take(dock, viewer)
    photo = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    dock.session.picture.choose(photo)
    assert dock.session.picture.view.kind == "auto"
    assert dock.session.prompts.image_kind == "natural"
    assert dock.sections["image"].window.isHidden()


def test_the_window_goes_into_the_prompt_file_and_comes_back(viewer, dock, qtbot, tmp_path):
    from napari_promptseg.prompts.prompt_file import load_prompts

    session, carry = dock.session, dock.sections["learn"].carry
    layer = take(dock, viewer)
    choose(dock.sections["image"].window, "liver")
    session.add_classes("red")
    files = carry.files if hasattr(carry, "files") else dock.sections["learn"].files
    files.save(tmp_path / "liver.promptseg")
    qtbot.waitUntil(lambda: "Saved" in dock.footer.message.text())
    encoder = session.engine.segmenter.encoder
    saved = load_prompts(tmp_path / "liver.promptseg", fingerprint=encoder.fingerprint, model=encoder.name)
    assert saved.normalisation["window"] == list(CT_WINDOWS["liver"])
    assert saved.normalisation["kind"] == "ct"
    choose(dock.sections["image"].window, "lung")
    files.load(tmp_path / "liver.promptseg")
    qtbot.waitUntil(lambda: session.picture.view.limits == CT_WINDOWS["liver"])
    assert tuple(layer.contrast_limits) == CT_WINDOWS["liver"]
    assert dock.sections["image"].window.box.currentText().startswith("liver")
    settle(session, qtbot)


def test_what_the_reader_noticed_is_said(viewer, dock):
    section = dock.sections["image"]
    layer = add_volume(viewer)
    assert section.notes.isHidden()
    layer.metadata["notes"] = ["2 slices are missing.", "Its slices are uneven.", "A third thing."]
    section.refresh()
    assert section.notes.text() == "2 slices are missing.\nIts slices are uneven. (1 more)"
    assert "A third thing." in section.notes.toolTip()


def test_a_volume_on_another_grid_is_resampled_only_when_asked(viewer, dock, qtbot):
    session, panel = dock.session, dock.sections["image"].resample
    first = add_volume(viewer, ct())
    assert panel.isHidden()
    coarse = geometry((6, 10, 14), (6.0, 4.0, 2.0))
    values = np.arange(6 * 10 * 14, dtype=np.int16).reshape(6, 10, 14)
    other = add_volume(viewer, values, placed=coarse, name="other")
    session.picture.choose(first)
    assert not panel.isHidden()
    n = len(viewer.layers)
    panel.button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == n + 1)
    made = viewer.layers["other on head"]
    assert made.data.shape == SHAPE
    assert np.allclose(made.scale, first.scale)
    assert np.allclose(made.translate, first.translate)
    assert made.data[4, 8, 12] == other.data[2, 4, 6], "the same place in the patient"
    assert made.metadata["geometry"].lies_like(first.metadata["geometry"])
    assert "Resampled" in made.metadata["notes"][-1]
    settle(session, qtbot)
