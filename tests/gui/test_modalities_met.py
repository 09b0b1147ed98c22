"""What a person meets who opens files of several sensors and prompts of another day for the first time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from correcting import picture, segmented, settle
from napari.layers import Image
from pixel_encoder import PixelEncoder

from napari_promptseg import samples
from napari_promptseg.gui.layers import View
from napari_promptseg.gui.modality_layers import Shown, mendable, mismatch, resampled_onto, short_names
from napari_promptseg.learning import modalities as learner
from napari_promptseg.prompts.modality_notes import ModalityNote, with_modality_notes

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def open_section(dock):
    section = dock.sections["modalities"]
    section.header.setChecked(True)
    return section


def load(session, *notes):
    """As a prompt file with these notes does."""
    session.set_prompts(replace(session.prompts, metadata=with_modality_notes({}, notes)))


@pytest.fixture
def said(dock):
    heard = []
    dock.session.message.connect(lambda text, tone: heard.append(text))
    return heard


# ---- pictures of different size


def test_pictures_of_two_cameras_are_stretched_onto_each_other_and_that_is_said():
    rows = np.arange(150, dtype=np.float32)[:, None] * np.ones((1, 248), np.float32)
    main, depth = Image(np.zeros((301, 496, 3), np.uint8), name="road", rgb=True), Image(rows, name="depth")
    found, _, remark = resampled_onto(main, View(), Shown(depth))
    assert found.shape == (301, 496)
    assert found[:, 400].max() > 148, "not in a corner of it"
    assert np.abs(found[::2, 30] - (np.arange(151) * 2 + 0.5) * 150 / 301 + 0.5)[1:-1].max() < 0.1
    assert "taken to show the same view" in remark


def test_a_picture_that_covers_a_part_only_is_resampled_to_its_place_with_a_word():
    main = Image(np.zeros((100, 100)), name="field", scale=(2, 2))
    values = np.ones((50, 100))
    values[0] = 0
    part = Image(values, name="part", scale=(2, 2))
    found, _, remark = resampled_onto(main, View(), Shown(part))
    assert (found[1:49] == 1).all()
    assert (found[51:] == 0).all()
    assert remark == "It covers 50% of 'field'; the rest is black."
    whole = Image(np.ones((200, 200)), name="whole", translate=(-0.5, -0.5))
    assert resampled_onto(main, View(), Shown(whole))[2] == ""


def test_other_shapes_are_not_stretched():
    values = np.ones((50, 80))
    values[0] = 0
    found, _, remark = resampled_onto(Image(np.zeros((100, 100))), View(), Shown(Image(values)))
    assert (found[1:49, :79] == 1).all()
    assert (found[51:] == 0).all()
    assert "covers" in remark


def test_no_resampling_is_offered_where_it_cannot_help(viewer, dock, said):
    section = open_section(dock)
    viewer.add_image(np.zeros((4, 40, 50), np.uint8), name="stack")
    dock.session.picture.choose(viewer.add_image(np.zeros((40, 50), np.uint8), name="plane"))
    row = section.row("stack")
    assert row.problem.text() == "'stack' has 3 axes and 'plane' 2: they cannot be one scene."
    assert row.resample_button.isHidden()
    row.box.click()
    assert "Resample" not in said[-1]
    assert not mendable(viewer.layers["plane"], View(), Shown(viewer.layers["stack"]))
    assert "pixels" in mismatch(viewer.layers["plane"], View(), Shown(Image(np.zeros((20, 25)))))


def test_what_was_resampled_is_called_by_its_kind():
    names = ["road", "road [1]", "road [2] on road"]
    assert short_names(names, ["rgb", "nir", "depth"]) == ["road", "near infrared", "depth"]


# ---- prompts of another day


def test_channels_of_the_layer_in_hand_are_ticked_again(viewer, dock):
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((3, 40, 50), np.uint8), name="plate 7", axis_labels=("c", "y", "x"))
    session.picture.look(channel_axis=0, channels=(0,))
    session.add_classes("red")
    load(
        session,
        ModalityNote("plate 3", "fluorescence", 1.0),
        ModalityNote("plate 3, channel 2", "fluorescence", 0.7),
    )
    assert section.modalities.names == ["plate 7", "plate 7, channel 2"]
    assert not section.modalities.missing
    assert section.row("plate 7, channel 2").kind_box.currentData() == "fluorescence"


def test_kinds_of_a_file_are_shown_and_used(viewer, dock):
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((40, 50), np.uint8), name="b")
    session.picture.choose(viewer.add_image(np.zeros((40, 50), np.uint8), name="a"))
    session.add_classes("red")
    load(session, ModalityNote("a", "flair", 1.0), ModalityNote("b", "t1c", 1.0))
    assert [row.kind_box.currentData() for row in section.rows] == ["flair", "t1c"]
    assert section.modalities.kinds() == ["flair", "t1c"]
    assert [m.shown_kind for m in session.picture.source().stack().modalities] == ["flair", "t1c"]


def test_a_partner_that_is_opened_later_is_taken(viewer, dock, said):
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="road", rgb=True)
    session.add_classes("red")
    load(session, *(ModalityNote(n, k) for n, k in (("way", "rgb"), ("way nir", "nir"), ("way ir", "thermal"))))
    assert section.missing.text() == "Not on this image: way nir, way ir. They are left out."
    viewer.add_image(np.zeros((40, 50), np.uint8), name="road thermal")
    assert section.modalities.names == ["road", "road thermal"]
    assert section.missing.text() == "Not on this image: way nir. It is left out."
    viewer.add_image(np.zeros((40, 50), np.uint8), name="road nir")
    assert section.modalities.names == ["road", "road nir", "road thermal"]
    assert section.missing.isHidden()


def test_another_modality_in_hand_than_the_files_first_is_said(viewer, dock, said):
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((40, 50, 3), np.uint8), name="road", rgb=True)
    session.picture.choose(viewer.add_image(np.zeros((40, 50), np.uint8), name="road thermal"))
    session.add_classes("red")
    load(session, ModalityNote("way", "rgb"), ModalityNote("way ir", "thermal"))
    assert said[-1] == "'way' came first when these prompts were made: choose 'road' under “Image”."
    assert not section.modalities.missing
    session.picture.choose(viewer.layers["road"])
    assert section.modalities.names == ["road", "road thermal"]
    assert section.modalities.kinds() == ["rgb", "thermal"]


# ---- layers that go, a look that changes


def test_all_layers_removed_at_once_leave_no_word_of_a_mask(viewer, dock, qtbot, said):
    section = open_section(dock)
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    segmented(dock.session, qtbot, "green, red", live=True)
    section.row("farmland near infrared").box.click()
    settle(dock.session, qtbot)
    said.clear()
    viewer.layers.clear()
    settle(dock.session, qtbot)
    assert said == []


def test_all_layers_selected_and_removed_go_with_their_points(viewer, dock, qtbot):
    """napari goes through the selection: a layer of it that has gone by itself is an error."""
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    segmented(dock.session, qtbot, "green, red")
    assert dock.sections["learn"].points.add((12, 12), 1)
    settle(dock.session, qtbot)
    assert "farmland points" in viewer.layers
    viewer.layers.remove("farmland")
    assert "farmland points" in viewer.layers
    viewer.layers.remove("farmland points")
    settle(dock.session, qtbot)
    assert [layer.name for layer in viewer.layers if "points" in layer.name] == []
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    settle(dock.session, qtbot)
    assert len(viewer.layers) == 0


def test_saying_that_a_colour_picture_is_aerial_keeps_its_mask(viewer, dock, qtbot):
    session = dock.session
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    before = session.picture.source().key
    session.set_image_kind("aerial", "auto")
    assert session.picture.source().key == before
    assert open_section(dock).row("farmland").kind_box.currentData() == "rgb"


def test_a_click_on_the_strip_can_be_taken_back(viewer, dock, qtbot):
    session, section = dock.session, open_section(dock)
    for pixels, keywords, _ in samples.farmland():
        viewer.add_image(pixels, **keywords)
    segmented(session, qtbot, "green, red", live=True)
    section.row("farmland near infrared").box.click()
    settle(session, qtbot)
    section.strip.button.click()
    qtbot.waitUntil(lambda: len(section.strip.pictures()) == 3)
    settle(session, qtbot)
    assert len({tile.width() for tile in section.strip.pictures()}) == 1
    section.strip.pictures()[2].click()
    settle(session, qtbot)
    assert section.modalities.weights() == [0.0, 1.0]
    dock.footer.back_button.click()
    settle(session, qtbot)
    assert section.modalities.weights() == [1.0, 0.5]


# ---- tuning


def test_cancel_too_keeps_the_best_so_far_and_stopping_is_said(viewer, dock, qtbot, monkeypatch, said):
    """A step may take a second, and judging several: nobody shall wonder whether the click was heard."""
    import threading

    going, asked = threading.Event(), []

    def slow(segmenter, samples, prompts, *, settings, progress):
        for i in range(100_000):
            going.set()
            threading.Event().wait(0.001)
            try:
                progress(i, 100_000, "loss 0.5")
            except Exception as error:
                asked.append(str(error))
                raise
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(learner, "tune_modalities", slow)
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((64, 96), np.uint8), name="field thermal")
    session.picture.choose(viewer.add_image(picture(), name="field"))
    section.row("field thermal").box.click()
    segmented(session, qtbot, "red, green")
    assert dock.sections["learn"].points.add((5, 5), 1)
    panel, steps = section.tune, []
    session.progress.connect(lambda done, total, text: steps.append(text))
    panel.button.click()
    assert panel.button.isHidden()
    assert not panel.stop_button.isHidden()
    qtbot.waitUntil(going.is_set)
    qtbot.waitUntil(lambda: any("step 1 of 100000: loss 0.5" in text for text in steps))
    session.cancel()
    assert "to judge the best so far" in said[-1]
    assert not panel.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not panel.tuning.is_running)
    settle(session, qtbot)
    assert asked == ["Stopped at your request."]
    assert said[-1] == "Stopped before there was anything to judge; nothing was changed."
    assert not panel.button.isHidden()
    assert panel.stop_button.isHidden()


def test_which_label_counts_as_which_class_is_said(viewer, dock, qtbot):
    section, session = open_section(dock), dock.session
    viewer.add_image(np.zeros((64, 96), np.uint8), name="field thermal")
    session.picture.choose(viewer.add_image(picture(), name="field"))
    viewer.add_labels(np.zeros((64, 96), np.int32), name="truth")
    section.row("field thermal").box.click()
    panel = section.tune
    session.add_classes("car, tree")
    assert panel.legend.isHidden()
    panel.origin_box.setCurrentIndex(2)
    panel.origin_box.activated.emit(2)
    assert panel.legend.text() == "Its labels count as: 1 car, 2 tree; 0 background. Others teach nothing."
    session.add_classes("road")
    assert "3 road" in panel.legend.text()


# ---- room


def test_long_names_do_not_push_the_dock_out_of_sight(viewer, dock):
    section = open_section(dock)
    long = "scan of the second visit with a very long description"
    viewer.add_image(np.zeros((40, 50), np.uint8), name=f"{long}, thermal")
    dock.session.picture.choose(viewer.add_image(np.zeros((20, 25, 3), np.uint8), name=long))
    section.row(f"{long}, thermal").resample_button.click()
    dock.session.add_classes("necrosis, edema, non-enhancing tumour, enhancing tumour")
    for other in dock.sections.values():
        other.header.setChecked(other is section)
    assert dock.scroll.widget().minimumSizeHint().width() <= 340
    header = dock.sections["classes"].header
    assert "non-enhancing tumour, enhancing tumour" in header.toolTip()
