"""A small picture of how tuning goes: loss, and score on held-out strokes, over the steps."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QWidget

from napari_promptseg.gui.theme import colour


class Curve(QWidget):
    """Draws ``(step, loss, score)`` points; the score has the axis from 0 to 1, the loss that of its own range."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.points: list[tuple[int, float, float]] = []
        self.setFixedHeight(64)
        self.setAccessibleName("Loss and score curve")
        self.setToolTip(
            "While prompts are tuned: loss on the strokes learned from (thin), Dice on those held out (bold)"
        )

    def clear(self) -> None:
        """Begin a new curve."""
        self.points = []
        self.update()

    def add(self, step: int, loss: float, score: float) -> None:
        """Go on with one point."""
        self.points.append((step, loss, score))
        self.setAccessibleDescription(f"Step {step}: loss {loss:.2f}, held-out Dice {score:.2f}")
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw both lines, with their last values beside them."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(4, 6, self.width() - 84, self.height() - 12)
        painter.setPen(QPen(colour(self.viewer, "secondary"), 1))
        painter.drawRect(box)
        if self.points:
            last = max(1, self.points[-1][0])
            highest = max(1e-6, max(p[1] for p in self.points))
            text, accent = colour(self.viewer, "text"), colour(self.viewer, "current")
            for column, top, pen, at in (
                (1, highest, QPen(text, 1), 0.0),
                (2, 1.0, QPen(accent.lighter(140), 2.4), 1.0),
            ):
                line = QPolygonF(
                    QPointF(
                        box.left() + box.width() * p[0] / last, box.bottom() - box.height() * min(1, p[column] / top)
                    )
                    for p in self.points
                )
                painter.setPen(pen)
                painter.drawPolyline(line)
                painter.setBrush(pen.color())
                painter.drawEllipse(line.last(), 2, 2)
                painter.setBrush(Qt.BrushStyle.NoBrush)
                side = QRectF(box.right() + 4, box.top() + at * box.height() / 2, 76, box.height() / 2)
                name = "loss" if column == 1 else "Dice"
                painter.setPen(pen.color())
                painter.drawText(side, Qt.AlignmentFlag.AlignVCenter, f"{name} {self.points[-1][column]:.2f}")
        painter.end()
