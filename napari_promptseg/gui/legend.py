"""The classes' names and colours in a corner of the canvas.

A child of the canvas's own Qt widget, as napari's activity window is: names in any script are laid out by Qt, and it
is in every screenshot of the window. It lets the mouse through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_promptseg.gui.collapsible import memory
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import colour

_MARGIN = 10  # to the canvas's edges
_PADDING = 8
_SWATCH = 12
_GAP = 7
_WIDEST = 200  # of a name
_SHARE_OF_HEIGHT = 0.7  # of the canvas


@dataclass(frozen=True)
class Entry:
    """One row: a name, its colour, and whether the class is on the plane in sight."""

    name: str
    colour: str
    found: bool


class Legend(QWidget):
    """Follows names, colours and visibility of the classes, and of the layer that shows them.

    Parameters
    ----------
    session : Session
    dock : QWidget
        Somewhere in the window whose canvas it goes to.
    """

    def __init__(self, session: Session, dock: QWidget) -> None:
        super().__init__()
        self.session = session
        self.wanted: bool = memory().value("legend", True, type=bool)
        self._dock = dock
        self._layer: Any = None
        self._rows: list[Entry] = []
        self._more = 0
        self.setObjectName("prompt-segmentation-legend")
        self.setAccessibleName("Legend")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()
        for signal in (session.prompts_changed, session.result_changed, session.image_changed):
            signal.connect(self.refresh)
        session.viewer.events.theme.connect(self._on_theme)

    def switch(self, on: bool) -> None:
        """Show it or not, from now on."""
        self.wanted = on
        memory().setValue("legend", on)
        self.refresh()

    def entries(self) -> list[Entry]:
        """The visible classes in order; none where no mask is shown."""
        layer = self.session.result_layer
        if layer is None or not layer.visible:
            return []
        shares = self.session.shares
        return [Entry(c.name, c.colour, shares.get(c.value, 0) > 0) for c in self.session.prompts.classes if c.visible]

    def refresh(self) -> None:
        """Fit it to what is to be shown and to the canvas."""
        self._follow(self.session.result_layer)
        canvas = self._canvas()
        entries = self.entries() if self.wanted else []
        if canvas is None or not entries:
            self.hide()
            return
        metrics = self.fontMetrics()
        height = metrics.height() + 4
        room = max(1, int((canvas.height() * _SHARE_OF_HEIGHT - 2 * _PADDING) / height))
        if len(entries) > room:
            # what is to be seen comes first; the sort keeps the order otherwise
            entries = sorted(entries, key=lambda e: not e.found)
        self._more = len(entries) - room + 1 if len(entries) > room else 0
        self._rows = entries[: room - 1] if self._more else entries
        names = [e.name for e in self._rows] + ([self._rest()] if self._more else [])
        width = min(_WIDEST, max(metrics.horizontalAdvance(n) for n in names))
        wide, high = 2 * _PADDING + _SWATCH + _GAP + width + 1, 2 * _PADDING + height * len(names)
        self.setGeometry(max(0, canvas.width() - wide - _MARGIN), _MARGIN, wide, high)
        self.show()
        self.raise_()
        self.update()

    def close_section(self) -> None:
        """Leave the canvas."""
        self.session.viewer.events.theme.disconnect(self._on_theme)
        self._follow(None)
        canvas = self.parentWidget()
        if canvas is not None:
            canvas.removeEventFilter(self)
        self.hide()
        self.setParent(None)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep to the corner when the canvas changes its size."""
        if event.type() == QEvent.Type.Resize:
            self.refresh()
        return bool(super().eventFilter(watched, event))

    def paintEvent(self, event: Any) -> None:
        """A panel in the theme's colours, with a square and a name for each class."""
        viewer = self.session.viewer
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground, edge, ink = (colour(viewer, role) for role in ("background", "secondary", "text"))
        ground.setAlpha(225)
        painter.setBrush(ground)
        painter.setPen(QPen(edge, 1))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 5, 5)
        metrics = self.fontMetrics()
        height = metrics.height() + 4
        left = _PADDING + _SWATCH + _GAP
        for i, entry in enumerate(self._rows):
            top = _PADDING + i * height
            square = QRectF(_PADDING, top + (height - _SWATCH) / 2, _SWATCH, _SWATCH)
            painter.setBrush(QColor(entry.colour))
            painter.setPen(QPen(ink if entry.found else edge, 1))
            painter.drawRoundedRect(square, 3, 3)
            painter.setPen(_faded(ink, entry.found))
            name = metrics.elidedText(entry.name, Qt.TextElideMode.ElideRight, self.width() - left - _PADDING)
            painter.drawText(QRectF(left, top, self.width() - left, height), Qt.AlignmentFlag.AlignVCenter, name)
        if self._more:
            painter.setPen(_faded(ink, False))
            place = QRectF(left, _PADDING + len(self._rows) * height, self.width() - left, height)
            painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, self._rest())
        painter.end()

    def _rest(self) -> str:
        return f"and {self._more} more"

    def _canvas(self) -> QWidget | None:
        """The canvas it lies on, once the dock is in a window."""
        if self.parentWidget() is None:
            canvas = canvas_of(self._dock)
            if canvas is None:
                return None
            self.setParent(canvas)
            canvas.installEventFilter(self)
        return self.parentWidget()

    def _follow(self, layer: Any) -> None:
        if layer is not self._layer:
            if self._layer is not None:
                self._layer.events.visible.disconnect(self._on_visible)
            if layer is not None:
                layer.events.visible.connect(self._on_visible)
            self._layer = layer

    def _on_visible(self, event: object = None) -> None:
        self.refresh()

    def _on_theme(self, event: object = None) -> None:
        self.update()


def canvas_of(widget: QWidget) -> QWidget | None:
    """The widget that the window of `widget` draws its layers on; None while it is in no viewer's window."""
    above: QWidget | None = widget
    while above is not None and not isinstance(above, QMainWindow):
        above = above.parentWidget()
    middle = above.centralWidget() if above is not None else None
    if middle is None:
        return None
    return next((child for child in middle.findChildren(QWidget) if child.inherits("QOpenGLWidget")), None)


def _faded(ink: QColor, strong: bool) -> QColor:
    out = QColor(ink)
    out.setAlpha(255 if strong else 130)
    return out
