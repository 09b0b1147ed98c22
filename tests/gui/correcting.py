"""A dock on the encoder that sees colours, and how a person paints in its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pixel_encoder import PixelEncoder
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_promptseg.gui.dock import PromptSegmentationWidget
from napari_promptseg.gui.engine import Engine
from napari_promptseg.gui.session import Session
from napari_promptseg.segmentation.segmenter import Segmenter

#: Milliseconds that a test waits for what must come; below the limit of a whole test.
PATIENCE = 120_000


def picture() -> np.ndarray:
    """Red on the left, green on the right, a blue square within each, 64 x 96."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48, 0] = 255
    pixels[:, 48:, 1] = 255
    pixels[10:30, 10:30] = (0, 0, 255)
    pixels[10:30, 60:80] = (0, 0, 255)
    return pixels


def open_dock(viewer: Any, folder: Path, encoder: Any = PixelEncoder) -> PromptSegmentationWidget:
    """The dock on `viewer`, keeping strokes in `folder`."""
    engine = Engine(lambda spec, device: encoder(), lambda encoder: Segmenter(encoder), list)
    session = Session(viewer, engine=engine, warm_up=False, strokes_folder=folder)
    widget = PromptSegmentationWidget(viewer, session)
    viewer.window.add_dock_widget(widget, name="Prompt segmentation")
    return widget


def settle(session: Session, qtbot: Any) -> None:
    """Let edits be noticed, and the mask follow."""
    for _ in range(4):
        QApplication.processEvents()
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    for _ in range(4):
        QApplication.processEvents()


def segmented(session: Session, qtbot: Any, names: str = "red, green", *, live: bool = False) -> Any:
    """Name classes and segment; gives the result layer."""
    session.set_option("live", live)
    session.add_classes(names)
    assert session.segment()
    qtbot.waitUntil(lambda: session.label_map is not None)
    settle(session, qtbot)
    return session.result_layer


def on_canvas(viewer: Any, points: list[tuple[float, float]]) -> tuple[Any, list[QPoint]]:
    """The canvas, and where ``(row, column)`` in the world are on it."""
    # the proxy of the fixture warns of what only tests may reach for
    native = getattr(viewer, "__wrapped__", viewer).window._qt_viewer.canvas.native
    width, height = native.width(), native.height()
    centre, zoom = viewer.scene.camera.center, viewer.scene.camera.zoom
    return native, [
        QPoint(round(width / 2 + (c - centre[-1]) * zoom), round(height / 2 + (r - centre[-2]) * zoom))
        for r, c in points
    ]


def laid_out(viewer: Any, qtbot: Any) -> None:
    """Wait until the window has given the canvas its place: what is drawn before lands elsewhere."""
    native, _ = on_canvas(viewer, [])
    sizes: list[tuple[int, int]] = []

    def is_steady() -> bool:
        sizes.append((native.width(), native.height()))
        return len(sizes) > 8 and len(set(sizes[-8:])) == 1

    qtbot.waitUntil(is_steady)


def move(native: Any, place: QPoint, modifier: Any, *, pressed: bool) -> None:
    """Move the mouse there, now: on a real screen `QTest.mouseMove` moves the cursor, of which is heard later."""
    button = Qt.MouseButton.LeftButton if pressed else Qt.MouseButton.NoButton
    at, globally = QPointF(place), QPointF(native.mapToGlobal(place))
    event = QMouseEvent(QEvent.Type.MouseMove, at, globally, Qt.MouseButton.NoButton, button, modifier)
    QApplication.sendEvent(native, event)
    QApplication.processEvents()


def drag(viewer: Any, points: list[tuple[float, float]], modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    """Press at the first ``(row, column)`` in the world, move through the others, release."""
    native, places = on_canvas(viewer, points)
    move(native, places[0], modifier, pressed=False)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, modifier, places[0])
    for place in places[1:]:
        move(native, place, modifier, pressed=True)
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, modifier, places[-1])
    QApplication.processEvents()


def outline(viewer: Any, points: list[tuple[float, float]]) -> None:
    """Click on the corners of a polygon, the last of them twice."""
    for point in points:
        drag(viewer, [point])
    native, places = on_canvas(viewer, points)
    QTest.mouseDClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, places[-1])
    QApplication.processEvents()
