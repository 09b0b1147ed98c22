"""What goes wrong outside the picture: files of a model, the disk, the memory of a GPU. Each gives one sentence."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest
import torch
from pixel_encoder import PixelEncoder

from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.gui.dock import PromptSegmentationWidget
from napari_promptseg.gui.engine import Engine
from napari_promptseg.gui.saving import save
from napari_promptseg.gui.session import Session
from napari_promptseg.resource_files import resource
from napari_promptseg.segmentation.segmenter import Segmenter

pytestmark = pytest.mark.gui

PICTURE = np.zeros((24, 32), np.uint8)
PICTURE[:, :16] = 200


class Fragile(PixelEncoder):
    """Meets a full GPU: goes on with the CPU if it `recovers`, else not at all."""

    def __init__(self, *, recovers: bool) -> None:
        self.recovers = recovers
        self.notices: list[str] = []
        self.device = torch.device("cpu")

    def encode_plane(self, picture, **keywords):
        if not self.recovers:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        if not self.notices:
            self.notices.append("The memory of cuda is full: pixels goes on with the CPU, which is slower.")
        return super().encode_plane(picture, **keywords)


@pytest.fixture
def dock_on(viewer, qtbot):
    """A dock whose models come from a function of the spec."""
    made = []

    def make(load) -> PromptSegmentationWidget:
        engine = Engine(lambda spec, device: load(spec), Segmenter, list)
        widget = PromptSegmentationWidget(viewer, Session(viewer, engine=engine, warm_up=False))
        viewer.window.add_dock_widget(widget, name="Prompt segmentation")
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.let_go()
        qtbot.waitUntil(lambda w=widget: w.session.workbench.is_idle)


def segmented(dock, viewer, qtbot):
    if not len(viewer.layers):
        viewer.add_image(PICTURE)
    session = dock.session
    if not len(session.prompts):
        session.add_classes("red")
    session.segment()
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    return dock.footer.message.text()


def test_a_gpu_that_fills_up_is_told_once_and_the_mask_is_there(dock_on, viewer, qtbot):
    dock = dock_on(lambda spec: Fragile(recovers=True))
    first = segmented(dock, viewer, qtbot)
    assert "goes on with the CPU" in first
    assert first.startswith("Found red.")
    np.testing.assert_array_equal(dock.session.result_layer.data == 1, PICTURE > 0)
    assert "CPU" not in segmented(dock, viewer, qtbot)


def test_memory_that_does_not_suffice_is_told(dock_on, viewer, qtbot):
    dock = dock_on(lambda spec: Fragile(recovers=False))
    text = segmented(dock, viewer, qtbot)
    assert text == "The memory of the device is full: choose CPU under Model, or a smaller level."
    assert dock.session.result_layer is None
    assert dock.footer.segment_button.isEnabled()


def corrupt(folder):
    shutil.copytree(resource("embedded"), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    for name in ("open_clip_model.safetensors", "alignment.safetensors"):
        whole = (resource("embedded") / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 3])


def missing(folder):
    shutil.copytree(resource("embedded"), folder, ignore=shutil.ignore_patterns("open_clip_model.safetensors"))


@pytest.mark.parametrize("spoil", [corrupt, missing, lambda folder: None], ids=["corrupt", "no weights", "no folder"])
def test_a_model_that_cannot_be_read_is_told_and_the_one_before_stays(dock_on, viewer, qtbot, tmp_path, spoil):
    folder = tmp_path / "model"
    spoil(folder)
    dock = dock_on(lambda spec: PixelEncoder() if spec == "embedded" else load_encoder(spec, device="cpu"))
    session = dock.session
    segmented(dock, viewer, qtbot)
    layer, before = session.result_layer, session.model
    session.choose_model(f"local-dir:{folder}")
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    text = dock.footer.message.text()
    assert str(folder) in text
    assert "\n" not in text
    assert "Traceback" not in text
    assert "went wrong" not in text
    assert session.model == before
    assert session.result_layer is layer
    assert "Found red" in segmented(dock, viewer, qtbot)


def test_a_full_disk_is_told_and_the_file_before_stays(dock_on, viewer, qtbot, tmp_path, monkeypatch):
    dock = dock_on(lambda spec: PixelEncoder())
    segmented(dock, viewer, qtbot)
    target = tmp_path / "mask.tif"
    save(dock.session, target, overwrite=False)
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
    before = target.read_bytes()

    def full(*_args, **_keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    dock.session.result_layer.data[0, 0] = 0
    save(dock.session, target, overwrite=True)
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
    monkeypatch.undo()
    text = dock.footer.message.text()
    assert text.startswith("The disk is full")
    assert str(tmp_path) in text
    assert target.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.json", "mask.tif"]
