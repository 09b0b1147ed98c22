"""A dock on a fake model: quick, and its masks are known beforehand."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from correcting import PATIENCE, open_dock
from pixel_encoder import PixelEncoder
from qtpy.QtCore import QSettings

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import ModelError
from napari_promptseg.gui.dock import PromptSegmentationWidget
from napari_promptseg.gui.engine import Engine
from napari_promptseg.gui.session import Session
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.scene import Scene, View
from napari_promptseg.segmentation.settings import SegmentationSettings


class FakeEncoder:
    """Knows two words."""

    device = torch.device("cpu")

    def __init__(self, spec: str) -> None:
        self.name = spec

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "family": "fake", "licence": "none"}

    def familiarity(self, names):
        known = {"bright": "known", "dark": "related"}
        return [(known.get(n, "unknown"), ("bright", "dark")) for n in names]


@dataclass
class FakeSegmenter:
    """Class k (from 1) is where brightness is at least its threshold; the last of them wins."""

    encoder: FakeEncoder
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    features: DenseFeatures | None = None
    scene: Scene | None = None
    tiles: int = 1
    pause: float = 0.0
    encoded: list[str] = field(default_factory=list)
    segmented: int = 0
    threads: set[str] = field(default_factory=set)
    going: threading.Event = field(default_factory=threading.Event)

    def set_image(self, stack, *, plane=0, quality=None, progress=None):
        self.threads.add(threading.current_thread().name)
        picture = stack.picture(plane)
        for i in range(self.tiles):
            progress(i, self.tiles, f"encoding tile {i + 1} of {self.tiles}")
            self.going.set()
            time.sleep(self.pause)
        self.picture = picture[..., 0] / 255.0
        self.encoded.append(stack.modalities[0].name)
        none = torch.zeros(1, 1, 1)
        self.features = DenseFeatures(none, none, none[0, 0], picture.shape[:2], "fake")
        self.scene = Scene(View(stack, plane, 0, stack.limits(0)), quality or "fast", self.features, picture)
        return self.features

    def segment(self, prompts, *, want_probabilities=False, progress=None):
        self.segmented += 1
        labels = np.zeros(self.picture.shape, np.uint8)
        for c in prompts.classes:
            labels[self.picture >= c.threshold] = c.value
        confidence = self.picture.astype(np.float16)
        scores = {c.value: confidence for c in prompts.classes} if want_probabilities else {}
        second, chance = np.zeros_like(labels), (1 - self.picture).astype(np.float16)
        return LabelMap(labels, confidence, second, chance, scores, {"model": self.encoder.name})


@dataclass
class FakeCore:
    """The parts an engine is made of; `segmenter` appears with the first model loaded."""

    tiles: int = 1
    pause: float = 0.0
    segmenter: FakeSegmenter | None = None

    def load_encoder(self, spec: str, device: str) -> FakeEncoder:
        if spec == "hf-hub:no/model":
            raise ModelError("The model 'hf-hub:no/model' is not there; the embedded model works now.")
        return FakeEncoder(spec)

    def make_segmenter(self, encoder: FakeEncoder) -> FakeSegmenter:
        self.segmenter = FakeSegmenter(encoder, tiles=self.tiles, pause=self.pause)
        return self.segmenter


@pytest.fixture(autouse=True)
def own_settings(tmp_path):
    """Settings of the person who runs the tests stay out of them."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


@pytest.fixture
def qtbot(qtbot, monkeypatch):
    """That of pytest-qt, patient: a wait ends when what it waits for is there, however busy the machine is."""
    monkeypatch.setattr(qtbot, "waitUntil", partial(qtbot.waitUntil, timeout=PATIENCE))
    return qtbot


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy(show=False)


@pytest.fixture
def dock_in(make_napari_viewer_proxy, tmp_path, qtbot):
    """Opens docks on an encoder that sees colours, in the viewers given, and lets go of them before the viewers go."""
    opened = []

    def open_in(viewer, encoder=PixelEncoder, folder=tmp_path / "strokes"):
        opened.append(open_dock(viewer, folder, encoder))
        return opened[-1]

    yield open_in
    for widget in opened:
        widget.let_go()
    qtbot.waitUntil(lambda: all(widget.session.workbench.is_idle for widget in opened))


@pytest.fixture
def dock(request, viewer):
    """The dock in a viewer's window: on the fake core, or on the model that ``pytest.mark.dock`` names."""
    marker = request.node.get_closest_marker("dock")
    if marker is None:
        return request.getfixturevalue("fake_dock")
    return request.getfixturevalue("dock_in")(viewer, **marker.kwargs)


@pytest.fixture
def fake_dock(viewer, core, qtbot):
    """The dock on the fake core, which keeps no strokes."""
    engine = Engine(core.load_encoder, core.make_segmenter, list)
    widget = PromptSegmentationWidget(viewer, Session(viewer, engine=engine, warm_up=False))
    viewer.window.add_dock_widget(widget, name="Prompt segmentation")
    yield widget
    widget.let_go()
    qtbot.waitUntil(lambda: widget.session.workbench.is_idle)


@pytest.fixture
def ramp() -> np.ndarray:
    """Brightness from 0 (left) to 255 (right), in 8 rows."""
    return np.tile(np.arange(256, dtype=np.uint8), (8, 1))
