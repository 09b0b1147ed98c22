"""The window lives while a picture is encoded: a timer in its thread keeps beating."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer

from napari_promptseg.gui.dock import PromptSegmentationWidget
from napari_promptseg.gui.engine import Engine
from napari_promptseg.gui.session import Session

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def encoder():
    from napari_promptseg.encoders.loading import load_encoder

    return load_encoder("embedded", device="cpu")


class Watched:
    """The encoder, with the times between which it was at work."""

    def __init__(self, encoder):
        self.encoder = encoder
        self.spans = []

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode_plane(self, *args, **keywords):
        begin = time.perf_counter()
        try:
            return self.encoder.encode_plane(*args, **keywords)
        finally:
            self.spans.append((begin, time.perf_counter()))


def test_heartbeats_keep_coming_while_the_embedded_model_encodes(viewer, qtbot, encoder):
    from skimage.data import astronaut

    from napari_promptseg.segmentation.segmenter import Segmenter

    watched = Watched(encoder)
    engine = Engine(lambda spec, device: watched, Segmenter, list)
    widget = PromptSegmentationWidget(viewer, Session(viewer, engine=engine, warm_up=False))
    viewer.window.add_dock_widget(widget, name="Prompt segmentation")
    session = widget.session
    beats = []
    timer = QTimer(interval=10, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start()
    viewer.add_image(astronaut().repeat(2, axis=0).repeat(2, axis=1), rgb=True)
    session.add_classes("woman, rocket")
    try:
        for _ in range(3):
            assert session.segment()
            qtbot.waitUntil(lambda: session.workbench.is_idle)
    finally:
        timer.stop()
        widget.let_go()
    assert session.result_layer is not None
    assert len(watched.spans) == 3
    # Relative to the work itself, since a busy machine slows both; work in the window's thread would give no beat.
    counts = [sum(begin < beat < end for beat in beats) for begin, end in watched.spans]
    best = int(np.argmax(counts))
    begin, end = watched.spans[best]
    inside = [beat for beat in beats if begin < beat < end]
    assert len(inside) >= 5
    assert np.median(np.diff(inside)) < (end - begin) / 5
