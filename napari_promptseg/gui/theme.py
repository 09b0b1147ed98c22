"""Colours of napari's theme, and the few pictures that the dock draws with them."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

_SIDE = 32  # drawn at twice the size shown, so that it stays sharp


def colour(viewer: Any, role: str) -> QColor:
    """A colour of the viewer's theme: ``"text"``, ``"icon"``, ``"warning"``, ``"error"``, ``"secondary"`` ..."""
    theme = get_theme(viewer.theme)
    found = QColor(getattr(theme, role).as_hex())
    if role in ("warning", "error"):
        # meant as grounds behind text: halfway to the text's colour they can be read themselves
        text = QColor(theme.text.as_hex())
        found = QColor(*((a + b) // 2 for a, b in zip(found.getRgb()[:3], text.getRgb()[:3], strict=True)))
    return found


def swatch_icon(name: str) -> QIcon:
    """A square of a class's colour."""
    pixmap, painter = _canvas()
    painter.setBrush(QColor(name))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawRoundedRect(QRectF(3, 3, 26, 26), 5, 5)
    painter.end()
    return QIcon(pixmap)


def eye_icon(ink: QColor, *, is_open: bool) -> QIcon:
    """An open eye, or one that is struck through."""
    pixmap, painter = _canvas()
    faint = QColor(ink)
    faint.setAlpha(255 if is_open else 110)
    painter.setPen(QPen(faint, 2.4))
    lid = QPainterPath(QPointF(2, 16))
    lid.quadTo(QPointF(16, 1), QPointF(30, 16))
    lid.quadTo(QPointF(16, 31), QPointF(2, 16))
    painter.drawPath(lid)
    painter.setBrush(faint)
    painter.drawEllipse(QPointF(16, 16), 4, 4)
    if not is_open:
        painter.drawLine(QPointF(5, 28), QPointF(27, 4))
    painter.end()
    return QIcon(pixmap)


def cross_icon(ink: QColor) -> QIcon:
    """A cross, for removing."""
    pixmap, painter = _canvas()
    painter.setPen(QPen(ink, 3))
    painter.drawLine(QPointF(9, 9), QPointF(23, 23))
    painter.drawLine(QPointF(23, 9), QPointF(9, 23))
    painter.end()
    return QIcon(pixmap)


def arrow_icon(ink: QColor, *, is_open: bool) -> QIcon:
    """A chevron: down for an open section, right for a closed one."""
    pixmap, painter = _canvas()
    painter.setPen(QPen(ink, 3))
    points = [(8, 12), (16, 21), (24, 12)] if is_open else [(12, 8), (21, 16), (12, 24)]
    painter.drawPolyline([QPointF(*p) for p in points])
    painter.end()
    return QIcon(pixmap)


def tool_icon(tool: str, ink: QColor) -> QIcon:
    """What a drawing tool draws: ``"rectangle"``, ``"ellipse"``, ``"polygon"`` or ``"lasso"``."""
    pixmap, painter = _canvas()
    painter.setPen(QPen(ink, 2.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin))
    if tool == "rectangle":
        painter.drawRect(QRectF(4, 7, 24, 18))
    elif tool == "ellipse":
        painter.drawEllipse(QRectF(3, 6, 26, 20))
    elif tool == "polygon":
        painter.drawPolygon([QPointF(*p) for p in ((16, 3), (29, 13), (24, 28), (8, 28), (3, 13))])
    else:
        loop = QPainterPath(QPointF(9, 21))
        loop.cubicTo(QPointF(-3, 12), QPointF(9, 3), QPointF(17, 4))
        loop.cubicTo(QPointF(32, 5), QPointF(33, 20), QPointF(18, 22))
        loop.cubicTo(QPointF(12, 23), QPointF(7, 21), QPointF(9, 26))
        loop.lineTo(QPointF(8, 29))
        painter.drawPath(loop)
    painter.end()
    return QIcon(pixmap)


def _canvas() -> tuple[QPixmap, QPainter]:
    pixmap = QPixmap(_SIDE, _SIDE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return pixmap, painter
