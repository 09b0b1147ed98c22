"""Tells when a person has drawn in a layer of labels, and with what."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.learning.corrections import StrokeKind

_KINDS: dict[str, StrokeKind] = {"paint": "brush", "erase": "erase", "fill": "fill", "polygon": "polygon"}


class LabelsWatch(QObject):
    """Watches one layer at a time.

    Signals
    -------
    drawn
        Something may have been drawn: napari's event has returned, and a stroke that the mouse draws is whole.

    Notes
    -----
    napari announces edits before, while or after it makes them, depending on the tool, and undo only as a redraw. So
    an announcement says no more than that it is time to compare.
    """

    drawn = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.layer: Labels | None = None
        self._kind: StrokeKind | None = None
        self._is_drawing = False
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._tell)

    def watch(self, layer: Labels | None) -> None:
        """Watch this layer from now on, or none."""
        if layer is self.layer:
            return
        if self.layer is not None:
            events = self.layer.events
            events.paint.disconnect(self._on_paint)
            events.set_data.disconnect(self._on_change)
            events.data.disconnect(self._on_change)
            if self._on_drag in self.layer.mouse_drag_callbacks:
                self.layer.mouse_drag_callbacks.remove(self._on_drag)
        self.layer, self._is_drawing, self._kind = layer, False, None
        if layer is not None:
            layer.events.paint.connect(self._on_paint)
            layer.events.set_data.connect(self._on_change)
            layer.events.data.connect(self._on_change)
            layer.mouse_drag_callbacks.append(self._on_drag)

    def take_kind(self) -> StrokeKind | None:
        """With which tool there was painted since the last call; None for what is no tool's, such as undo."""
        kind, self._kind = self._kind, None
        return kind

    def stop(self) -> None:
        """Watch nothing, and tell nothing any more."""
        self._timer.stop()
        self.watch(None)

    def _on_paint(self, event: Any = None) -> None:
        if self.layer is not None:
            self._kind = _KINDS.get(str(self.layer.mode), "brush")
        self._timer.start()

    def _on_change(self, event: Any = None) -> None:
        self._timer.start()

    def _on_drag(self, layer: Labels, event: Any) -> Any:
        """From press to release one stroke is being drawn; it is looked at when it is whole."""
        self._is_drawing = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_drawing = False
        self._timer.start()

    def _tell(self) -> None:
        if not self._is_drawing:
            self.drawn.emit()
