"""What strokes taught goes along: to a file, to another process, to other pictures; or stays, as the user likes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from correcting import picture, segmented, settle
from PIL import Image as Picture
from pixel_encoder import PixelEncoder

from napari_promptseg.images.readers import read_image
from napari_promptseg.prompts.prompt_file import load_prompts
from napari_promptseg.segmentation.live_heads import live_heads

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def corrected(viewer, dock, qtbot, names="red, green"):
    """The left blue square is of the second class, says the user, and red stays red; gives the layer."""
    session = dock.session
    image = viewer.add_image(picture(), name="first")
    session.picture.choose(image)
    layer = segmented(session, qtbot, names, live=True)
    layer.brush_size, layer.mode = 7, "paint"
    layer.paint((20, 20), 2)
    settle(session, qtbot)
    for place in ((50, 20), (40, 5)):
        session.corrector.add_point(1, place)
        settle(session, qtbot)
    return layer


_ELSEWHERE = """
import sys
import numpy as np
from correcting import picture
from pixel_encoder import PixelEncoder
from napari_promptseg import ImageStack, Segmenter
from napari_promptseg.prompts.prompt_file import load_prompts

segmenter = Segmenter(PixelEncoder())
segmenter.set_image(ImageStack.from_array(picture()))
found = segmenter.segment(load_prompts(sys.argv[1]).prompts)
np.savez(sys.argv[2], labels=found.labels, confidence=found.confidence)
"""


def test_a_fresh_process_makes_the_same_mask_from_the_file(viewer, dock, qtbot, tmp_path):
    layer = corrected(viewer, dock, qtbot)
    session, carry = dock.session, dock.sections["learn"].carry
    assert (layer.data[12:28, 62:78] == 2).mean() > 0.9, "the other square has learned"
    carry.strokes_box.setChecked(True)
    carry.files.save(tmp_path / "taught")
    settle(session, qtbot)
    assert "with what 3 strokes taught" in dock.footer.message.text()
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent)])
    subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(tmp_path / "taught.promptseg"), str(tmp_path / "mask.npz")],
        check=True,
        env={**os.environ, "PYTHONPATH": paths, "QT_QPA_PLATFORM": "offscreen"},
    )
    with np.load(tmp_path / "mask.npz") as found:
        labels, confidence = found["labels"], found["confidence"]
    own = session.corrector.corrections.painted(0, layer.data.shape) >= 0
    assert 0 < own.mean() < 0.1
    assert np.array_equal(labels[~own], layer.data[~own])
    assert np.array_equal(confidence[~own], session.label_map.confidence[~own])
    report = load_prompts(tmp_path / "taught.promptseg").validation
    assert report["carried"] == {"strokes": 3, "picture": "first"}
    assert "not judged on other pictures" in report["sentence"]
    assert session.prompts.learned is None, "the picture in hand still learns from the strokes themselves"


def test_unticked_the_strokes_stay(viewer, dock, qtbot, tmp_path):
    corrected(viewer, dock, qtbot)
    session, carry = dock.session, dock.sections["learn"].carry
    assert not carry.strokes_box.isHidden()
    assert not carry.strokes_box.isChecked(), "the model knows both words"
    assert carry.what.isHidden()
    carry.files.save(tmp_path / "words")
    settle(session, qtbot)
    assert load_prompts(tmp_path / "words.promptseg").prompts == session.prompts


def test_it_is_ticked_where_a_corrected_name_is_unknown(viewer, dock, qtbot):
    carry = dock.sections["learn"].carry
    assert carry.strokes_box.isHidden(), "there are no strokes"
    corrected(viewer, dock, qtbot, "red, gizmo")
    assert dock.session.known["gizmo"][0] == "unknown"
    assert carry.strokes_box.isChecked()
    assert "3 strokes of this picture go along" in carry.what.text()
    carry.strokes_box.click()
    assert not carry.carrying.is_on


def test_open_images_begin_from_what_was_taught(viewer, dock, qtbot):
    other = viewer.add_image(picture()[:, ::-1].copy(), name="other")
    layer = corrected(viewer, dock, qtbot, "red, gizmo")
    session, carry = dock.session, dock.sections["learn"].carry
    before = layer.data.copy()
    carry.images_button.click()
    qtbot.waitUntil(lambda: "2 of 2 pictures with what the strokes taught" in dock.footer.message.text())
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    theirs = viewer.layers["other classes"]
    assert (theirs.data[12:28, 18:34] == 2).mean() > 0.9
    # a correction over there adds to it
    session.picture.choose(other)
    assert "on another picture" in carry.what.text()
    theirs.brush_size, theirs.mode = 5, "paint"
    theirs.paint((50, 20), 1)
    settle(session, qtbot)
    assert (theirs.data[12:28, 18:34] == 2).mean() > 0.9
    carry.files.save(Path(session.corrector.folder) / "both")
    settle(session, qtbot)
    saved = load_prompts(Path(session.corrector.folder) / "both.promptseg")
    assert len(live_heads(saved.prompts)) == 2, "what both pictures taught"
    assert "on another picture" in saved.validation["sentence"]
    # unticked, words alone are left to begin from
    assert carry.strokes_box.isChecked()
    carry.strokes_box.setChecked(False)
    session.corrector.delete([s.id for s in session.corrector.corrections])
    session.segment()
    settle(session, qtbot)
    assert not (theirs.data == 2).any()


def test_what_is_carried_twice_is_stored_in_two_layers(viewer, dock, qtbot, tmp_path):
    corrected(viewer, dock, qtbot)
    session, carry = dock.session, dock.sections["learn"].carry
    carry.strokes_box.setChecked(True)
    carry.files.save(tmp_path / "one")
    settle(session, qtbot)
    carry.files.load(tmp_path / "one.promptseg")
    settle(session, qtbot)
    assert len(live_heads(session.prompts)) == 1
    session.result_layer.paint((5, 90), 0)
    settle(session, qtbot)
    carry.files.save(tmp_path / "two")
    settle(session, qtbot)
    saved = load_prompts(tmp_path / "two.promptseg").prompts
    assert len(live_heads(saved)) == 2
    assert np.array_equal(live_heads(saved)[0].weights, live_heads(session.prompts)[0].weights)


def test_a_folder_is_segmented_with_what_the_strokes_taught(viewer, dock, qtbot, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Picture.fromarray(picture()[:, ::-1].copy()).save(images / "p.png")
    corrected(viewer, dock, qtbot, "red, gizmo")
    carry = dock.sections["learn"].carry
    assert carry.apply.to_folder(images, tmp_path / "labels")
    qtbot.waitUntil(lambda: "1 of 1 images" in carry.apply.folder_report)
    labels = np.asarray(read_image(tmp_path / "labels" / "p_labels.tif").modalities[0].pixels)
    assert (labels[12:28, 18:34] == 2).mean() > 0.9
