"""Classes and what they learned go on to planes, open images and folders; prompt files that do not fit are refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from correcting import picture, segmented, settle
from PIL import Image as Picture
from pixel_encoder import PixelEncoder

from napari_promptseg.images.readers import read_image
from napari_promptseg.prompts.prompt_file import SavedPrompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        Picture.fromarray(np.roll(picture(), 8 * i, axis=1)).save(images / f"p{i}.png")
    return images


def masks(viewer):
    return {layer.name: layer for layer in viewer.layers if layer.name.endswith(" classes")}


def test_all_planes_of_a_stack(viewer, dock, qtbot):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(np.stack([picture(), picture()[:, ::-1], picture()[::-1]]), rgb=True)
    viewer.dims.set_current_step(0, 0)
    layer = segmented(session, qtbot)
    carry.planes_button.click()
    settle(session, qtbot)
    qtbot.waitUntil(lambda: "3 of 3 pictures" in dock.footer.message.text())
    assert np.array_equal(layer.data[1], layer.data[0][:, ::-1])
    assert np.array_equal(layer.data[2], layer.data[0][::-1])
    assert session.label_map is not None
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((0, 50, 20), 2)
    session.set_option("live", True)
    settle(session, qtbot)
    assert session.corrector.corrections.planes == (0,)


def test_open_images_each_get_a_mask_of_their_own(viewer, dock, qtbot):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(picture()[:, ::-1].copy(), name="other")
    viewer.add_image(np.stack([picture()] * 2), rgb=True, name="stack")
    first = viewer.add_image(picture(), name="first")
    session.picture.choose(first)
    segmented(session, qtbot)
    carry.images_button.click()
    qtbot.waitUntil(lambda: "3 of 3 pictures" in dock.footer.message.text())
    settle(session, qtbot)
    found = masks(viewer)
    assert set(found) == {"first classes", "other classes", "stack classes"}
    assert np.array_equal(found["other classes"].data, found["first classes"].data[:, ::-1])
    assert session.picture.layer.name == "first"
    assert session.result_layer.name == "first classes"
    session.picture.choose(viewer.layers["other"])
    assert session.result_layer.name == "other classes"
    assert session.label_map is not None


def test_a_folder_becomes_label_files_with_legends(viewer, dock, qtbot, folder):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(picture())
    layer = segmented(session, qtbot)
    features = session.features
    (folder / "broken.png").write_bytes(b"not a picture")
    carry.folder_button.click()
    assert not carry.form.start_button.isEnabled()
    carry.form.folder_edit.setText(str(folder))
    carry.form.start_button.click()
    assert not carry.form.start_button.isEnabled(), "one at a time"
    qtbot.waitUntil(lambda: "3 of 4 images" in carry.folder_report.text())
    settle(session, qtbot)
    assert "broken.png" in carry.folder_report.text()
    assert session.features is features, "the picture in hand stays in hand"
    out = folder / "labels"
    for i in range(3):
        labels = np.asarray(read_image(out / f"p{i}_labels.tif").modalities[0].pixels)
        assert np.array_equal(labels, np.roll(layer.data, 8 * i, axis=1))
        assert json.loads((out / f"p{i}_labels.json").read_text())["classes"]
    carry.form.start_button.click()
    assert "already: press again to replace" in dock.footer.message.text()
    stamp = (out / "p0_labels.tif").stat().st_mtime_ns
    carry.form.start_button.click()
    qtbot.waitUntil(lambda: (out / "p0_labels.tif").stat().st_mtime_ns != stamp)
    settle(session, qtbot)


def test_a_folder_is_stopped_between_files(viewer, dock, qtbot, folder, monkeypatch):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(picture())
    segmented(session, qtbot)
    from napari_promptseg import batch

    written = batch.write_labels

    def slow(path, *rest, **keywords):
        files = written(path, *rest, **keywords)
        session.workbench._worker.quit()  # as Cancel does, at a known moment
        return files

    monkeypatch.setattr(batch, "write_labels", slow)
    assert carry.apply.to_folder(folder, folder / "labels")
    qtbot.waitUntil(lambda: "1 of 3 label files" in carry.apply.folder_report)
    assert not carry.apply.is_in_folder


def test_a_folder_without_images_is_refused(viewer, dock, qtbot, tmp_path):
    session, carry = dock.session, dock.sections["learn"].carry
    session.add_classes("red")
    assert not carry.apply.to_folder(tmp_path / "nowhere", tmp_path / "out")
    assert "There is no folder" in dock.footer.message.text()
    (tmp_path / "empty").mkdir()
    assert not carry.apply.to_folder(tmp_path / "empty", tmp_path / "out")
    assert "no image" in dock.footer.message.text()


def make_wrong_model(path):
    return save_prompts(path, SavedPrompts(PromptSet.from_text("polyp"), "another/model", "ffff0000ffff"))


def make_truncated(path):
    file = save_prompts(path, SavedPrompts(PromptSet.from_text("polyp"), "pixels", "pixel-encoder"))
    file.write_bytes(file.read_bytes()[:60])
    return file


def make_foreign(path):
    path.write_text("these are no prompts", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_wrong_model, "was made with the model 'another/model'"),
        (make_truncated, "is truncated, the end is missing"),
        (make_foreign, "is not a .promptseg file"),
        (lambda path: path, "does not exist"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_changes(viewer, dock, qtbot, tmp_path, make, said):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((50, 20), 2)
    settle(session, qtbot)
    before = (session.prompts, session.corrector.corrections.strokes, layer.data.copy())
    heard = []
    session.message.connect(lambda text, tone: heard.append((text, tone)))
    carry.files.load(make(tmp_path / "theirs.promptseg"))
    settle(session, qtbot)
    assert [tone for text, tone in heard if said in text] == ["error"]
    assert (session.prompts, session.corrector.corrections.strokes) == before[:2]
    assert np.array_equal(layer.data, before[2])


def test_loaded_prompts_are_a_state_that_back_leaves(viewer, dock, qtbot, tmp_path):
    session, carry = dock.session, dock.sections["learn"].carry
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    before = (session.prompts, layer.data.copy())
    file = save_prompts(tmp_path / "theirs", SavedPrompts(PromptSet.from_text("blue"), "pixels", "pixel-encoder"))
    carry.files.load(file)
    settle(session, qtbot)
    qtbot.waitUntil(lambda: not np.array_equal(layer.data, before[1]))
    assert session.prompts.names == ("blue",)
    dock.footer.back_button.click()
    settle(session, qtbot)
    assert session.prompts == before[0]
    assert np.array_equal(layer.data, before[1])


def test_without_a_class_nothing_is_applied(viewer, dock):
    carry = dock.sections["learn"].carry
    viewer.add_image(picture())
    assert not carry.apply.to_layers(carry.apply.images())
    assert "No class is named" in dock.footer.message.text()
