"""A small picture with a line of text under it; one that can be chosen is a button."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QSizePolicy, QToolButton, QWidget

from napari_promptseg.gui.pixmaps import fitted_pixmap


class PictureTile(QToolButton):
    """A labelled thumbnail.

    Parameters
    ----------
    side : int
        Longest side of the picture, in the widget's own units.
    parent : QWidget, optional
    """

    def __init__(self, side: int = 96, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.side = side
        self.caption = ""
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setAutoRaise(True)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setStyleSheet(
            "QToolButton { padding: 2px; border: 1px solid transparent; border-radius: 3px; }"
            "QToolButton:checked { border-color: palette(highlight); }"
        )

    def show_picture(self, pixels: npt.NDArray[Any], caption: str, tip: str) -> None:
        """Show ``(Y, X, 3)`` uint8 pixels; long lines of the caption are cut in their middle."""
        pixmap = fitted_pixmap(pixels, self.side, self.devicePixelRatioF())
        self.setIcon(QIcon(pixmap))
        self.setIconSize(QSize(self.side, round(self.side * min(1.0, pixmap.height() / max(1, pixmap.width())))))
        self.caption = " ".join(caption.split())
        # all are equally wide, whatever their captions, so that rows of them stand in columns
        self.setFixedWidth(self.side + 8)
        metrics, side = self.fontMetrics(), self.side
        lines = [metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, side) for line in caption.split("\n")]
        self.setText("\n".join(lines))
        self.setToolTip(tip)
        self.setAccessibleName(self.caption)
