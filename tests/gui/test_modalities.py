"""Several layers of one scene in the dock: ticking, weights, what does not fit, what goes away, and the strip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from correcting import segmented, settle
from napari.layers import Image
from pixel_encoder import PixelEncoder

from napari_promptseg import samples
from napari_promptseg.gui.ablation import trials
from napari_promptseg.prompts.modality_notes import ModalityNote, modality_notes, with_modality_notes

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]

NIR, RGB = "farmland near infrared", "farmland"


@pytest.fixture
def section(dock):
    found = dock.sections["modalities"]
    found.header.setChecked(True)
    return found


@pytest.fixture
def farmland(viewer):
    """The pair of File > Open Sample: near infrared below, RGB above."""
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    return viewer


def mask(session: Any) -> np.ndarray:
    return np.array(session.result_layer.data)


def test_ticking_near_infrared_changes_the_mask_and_weight_0_brings_it_back(farmland, dock, section, qtbot):
    session = dock.session
    assert session.picture.layer.name == RGB
    assert [row.objectName() for row in section.rows] == [f"modality-{RGB}", f"modality-{NIR}"]
    row = section.row(NIR)
    assert row.kind_box.currentData() == "nir"
    assert not section.row(RGB).box.isEnabled()
    assert row.slider.isHidden()
    segmented(session, qtbot, "green, red", live=True)
    alone, single = mask(session), session.label_map
    row.box.click()
    settle(session, qtbot)
    assert not row.slider.isHidden()
    assert [(n.name, n.kind, n.weight) for n in modality_notes(session.prompts.metadata)] == [
        (RGB, "rgb", 1.0),
        (NIR, "nir", 0.5),
    ]
    joint = mask(session)
    assert (joint != alone).any()
    assert [m["name"] for m in session.label_map.provenance["modalities"]] == [RGB, NIR]
    row.slider.setValue(0)
    qtbot.waitUntil(lambda: np.array_equal(mask(session), alone))
    settle(session, qtbot)
    assert np.array_equal(session.label_map.confidence, single.confidence)
    row.slider.setValue(row.slider.maximum())
    qtbot.waitUntil(lambda: not np.array_equal(mask(session), alone))
    settle(session, qtbot)
    assert row.figure.text() == "2.00"
    assert (mask(session) != joint).any()
    row.box.click()
    settle(session, qtbot)
    assert np.array_equal(mask(session), alone)
    assert modality_notes(session.prompts.metadata) == ()


def test_each_is_shown_as_the_model_sees_it(farmland, dock, section, qtbot):
    section.row(NIR).box.click()
    qtbot.waitUntil(lambda: section.seen.findChild(object, f"seen-{NIR}") is not None)
    assert section.seen.findChild(object, f"seen-{RGB}") is not None
    assert section.header.text() == "Modalities"
    section.header.setChecked(False)
    assert section.header.text() == f"Modalities:  {RGB}, {NIR}"


def test_the_strip_has_the_masks_and_a_click_takes_the_weights(farmland, dock, section, qtbot):
    session, strip = dock.session, section.strip
    section.row(NIR).box.click()
    settle(session, qtbot)
    segmented(session, qtbot, "green, red", live=True)
    joint = mask(session)
    strip.button.click()
    qtbot.waitUntil(lambda: len(strip.ablation.made) == 3)
    settle(session, qtbot)
    assert [t.caption for t in strip.pictures()] == ["all", "only farmland", "only near infrared"]
    made = {t.caption: t for t in strip.ablation.made}
    assert np.array_equal(made["all"].labels, joint)
    assert made["all"].differs == 0
    assert made["only farmland"].differs == pytest.approx((made["only farmland"].labels != joint).mean())
    assert [t.isChecked() for t in strip.pictures()] == [True, False, False]
    strip.pictures()[1].click()
    qtbot.waitUntil(lambda: np.array_equal(mask(session), made["only farmland"].labels))
    settle(session, qtbot)
    assert section.modalities.weights() == [1.0, 0.0]
    assert [t.isChecked() for t in strip.pictures()] == [False, True, False]
    assert np.array_equal(mask(session), made["only farmland"].labels)
    # unticking ends what the strip compares
    section.row(NIR).box.click()
    settle(session, qtbot)
    assert strip.pictures() == []


def test_from_three_on_the_strip_leaves_each_out(qtbot):
    found = trials(["a", "b", "c"], [1.0, 0.5, 0.0])
    assert [c for c, _ in found] == ["all", "only a", "only b", "only c", "without a", "without b", "without c"]
    assert found[0][1] == (1.0, 0.5, 0.0)
    assert found[2][1] == (0.0, 1.0, 0.0)
    assert found[4][1] == (0.0, 0.5, 1.0)
    assert trials(["a", "b"], [1.0, 0.0])[0][1] == (1.0, 1.0)


def test_the_strip_can_be_stopped(farmland, dock, section, qtbot):
    session, strip = dock.session, section.strip
    section.row(NIR).box.click()
    segmented(session, qtbot, "green, red")
    strip.button.click()
    strip.stop_button.click()
    qtbot.waitUntil(lambda: not strip.ablation.is_running)
    settle(session, qtbot)
    assert strip.ablation.made == []
    assert strip.button.isEnabled()
    assert strip.stop_button.isHidden()


def test_what_lies_elsewhere_is_named_and_resampled_only_when_asked(farmland, dock, section, qtbot):
    session, viewer = dock.session, farmland
    half = np.asarray(viewer.layers[NIR].data)[::2, ::2]
    viewer.add_image(half, name="coarse nir", scale=(1.2, 1.2), translate=(0.3, 0.3), units=("meter",) * 2)
    session.picture.choose(viewer.layers[RGB])
    row = section.row("coarse nir")
    assert row.problem.text() == "'coarse nir' has 128 × 128 pixels, 'farmland' 256 × 256."
    assert row.resample_button.text() == "Resample onto farmland"
    said = []
    session.message.connect(lambda text, tone: said.append(text))
    row.box.click()
    assert not row.box.isChecked()
    assert "Resample it onto 'farmland' first." in said[-1]
    assert len(viewer.layers) == 3
    row.resample_button.click()
    settle(session, qtbot)
    made = viewer.layers["coarse nir on farmland"]
    assert made.data.shape == (256, 256)
    assert np.allclose(made.scale, viewer.layers[RGB].scale)
    assert [s.name for s in section.modalities.ticked()] == ["coarse nir on farmland"]
    assert section.modalities.ticked()[0].kind == "nir"
    # the centre of a coarse pixel lies between four fine ones
    fine = made.data.astype(float)
    assert np.abs(fine[:-1:2, :-1:2] - half).mean() < 12
    assert viewer.layers["coarse nir"].data.shape == (128, 128)


@pytest.mark.parametrize(
    ("keywords", "sentence"),
    [
        ({"scale": (1, 1)}, "Pixels of 'other' are 1 × 1 apart, those of 'farmland' 0.6 × 0.6."),
        ({"scale": (0.6, 0.6), "translate": (3, 0)}, "'other' lies elsewhere: it is moved or turned"),
        ({"scale": (0.6, 0.6), "rotate": 10}, "'other' lies elsewhere: it is moved or turned"),
    ],
)
def test_scale_and_pose_are_named(farmland, dock, section, keywords, sentence):
    viewer = farmland
    viewer.add_image(np.zeros((256, 256), np.uint8), name="other", units=("meter",) * 2, **keywords)
    dock.session.picture.choose(viewer.layers[RGB])
    assert section.row("other").problem.text().startswith(sentence)


def test_a_layer_that_is_removed_is_named_and_work_goes_on(farmland, dock, section, qtbot):
    session, viewer = dock.session, farmland
    segmented(session, qtbot, "green, red", live=True)
    alone = mask(session)
    section.row(NIR).box.click()
    settle(session, qtbot)
    said = []
    session.message.connect(lambda text, tone: said.append(text))
    viewer.layers.remove(viewer.layers[NIR])
    settle(session, qtbot)
    assert said[0] == f"{NIR!r} was removed; the mask goes on without it."
    assert section.modalities.names == [RGB]
    assert np.array_equal(mask(session), alone)
    assert len(section.rows) == 1
    assert "Open a second picture" in section.hint.text()


def test_another_image_takes_its_own_partner_or_says_what_is_missing(farmland, dock, section, qtbot):
    session, viewer = dock.session, farmland
    segmented(session, qtbot, "green, red", live=True)
    section.row(NIR).box.click()
    section.row(NIR).slider.setValue(14)
    settle(session, qtbot)
    said = []
    session.message.connect(lambda text, tone: said.append(text))
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="photo", rgb=True)
    session.picture.choose(viewer.layers["photo"])
    settle(session, qtbot)
    assert f"{NIR!r} is not among the layers that lie on 'photo': left out here." in said
    assert section.missing.text() == f"Not on this image: {NIR}. It is left out."
    assert session.segment()
    settle(session, qtbot)
    assert "modalities" not in session.label_map.provenance
    viewer.add_image(np.zeros((40, 50), np.uint8), name="photo nir")
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="photo 2", rgb=True)
    session.picture.choose(viewer.layers["photo 2"])
    settle(session, qtbot)
    # of two images of this size only one is near infrared
    assert section.modalities.names == ["photo 2", "photo nir"]
    assert section.modalities.weights() == [1.0, 0.7]
    session.picture.choose(viewer.layers[RGB])
    settle(session, qtbot)
    assert section.modalities.names == [RGB, NIR]


def test_notes_of_a_file_tick_the_layers_they_speak_of(farmland, dock, section, qtbot):
    session = dock.session
    session.add_classes("green")
    notes = [ModalityNote("drone", "rgb", 1.0), ModalityNote("drone nir", "nir", 0.25)]
    session.set_prompts(replace(session.prompts, metadata=with_modality_notes({}, notes)))
    assert section.modalities.names == [RGB, NIR]
    assert section.modalities.weights() == [1.0, 0.25]
    assert section.row(NIR).figure.text() == "0.25"


def test_channels_of_one_layer_are_modalities_too(viewer, dock, section, qtbot):
    session = dock.session
    pixels = np.zeros((3, 40, 50), np.uint8)
    pixels[0, :, 25:], pixels[1, 20:] = 255, 255
    viewer.add_image(pixels, name="cells", axis_labels=("c", "y", "x"))
    session.picture.look(channel_axis=0, channels=(0,))
    assert [row.objectName() for row in section.rows] == [
        "modality-cells",
        "modality-cells, channel 1",
        "modality-cells, channel 2",
    ]
    section.row("cells, channel 1").box.click()
    stack = session.picture.source().stack()
    assert [m.name for m in stack.modalities] == ["cells", "cells, channel 1"]
    assert (stack.picture(0, modality=1)[20:] == 255).all()
    assert (stack.picture(0, modality=1)[:20] == 0).all()
    segmented(session, qtbot, "black, red")
    assert session.label_map is not None


def test_planes_of_a_stack_are_matched(viewer, dock, section, qtbot):
    session = dock.session
    first, second = (np.arange(5 * 16 * 20, dtype=np.int16).reshape(5, 16, 20) + k for k in (0, 1000))
    place = {"scale": (3, 1, 1), "translate": (7, 0, 0)}
    viewer.add_image(second, name="t1c", **place)
    session.picture.choose(viewer.add_image(first, name="flair", **place))
    assert section.row("t1c").kind_box.currentData() == "t1c"
    section.row("t1c").box.click()
    viewer.dims.set_point(0, 7 + 3 * 3)
    source = session.picture.source()
    assert source.index == (3,)
    stack = source.stack()
    assert np.array_equal(stack.region(0, modality=1), second[3])
    other = source.at((1,)).stack()
    assert np.array_equal(other.region(0, modality=0), first[1])
    assert np.array_equal(other.region(0, modality=1), second[1])
    assert source.at((1,)).key != source.key


def test_strokes_teach_with_all_modalities_and_stay_as_painted(farmland, dock, section, qtbot):
    session = dock.session
    layer = segmented(session, qtbot, "green, red", live=True)
    section.row(NIR).box.click()
    settle(session, qtbot)
    points = dock.sections["learn"].points
    for at, value in (((20, 20), 1), ((200, 40), 2), ((120, 200), 1), ((60, 150), 2), ((230, 230), 0)):
        assert points.add((at[0] * 0.6, at[1] * 0.6), value)  # places are in metres
    settle(session, qtbot)
    taught = mask(session)
    assert session.label_map.provenance["method"] == "live"
    assert [layer.data[at] for at in ((20, 20), (200, 40))] == [1, 2]
    section.row(NIR).slider.setValue(0)
    settle(session, qtbot)
    qtbot.waitUntil(lambda: not np.array_equal(mask(session), taught))
    assert [layer.data[at] for at in ((20, 20), (200, 40))] == [1, 2]


def test_new_pixels_of_a_ticked_layer_are_encoded_again(farmland, dock, section, qtbot):
    section.row(NIR).box.click()
    before = dock.session.picture.source().key
    farmland.layers[NIR].data = np.zeros((256, 256), np.uint8)
    assert dock.session.picture.source().key != before


def test_layers_of_a_viewer_without_images_do_no_harm(dock, section):
    assert section.rows == []
    assert section.modalities.names == []
    assert not section.modalities.tick(section.modalities._shown(Image(np.zeros((4, 4))), None), True)
