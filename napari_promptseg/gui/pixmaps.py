"""Arrays of colours as Qt draws them."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap


def fitted_pixmap(pixels: npt.NDArray[Any], side: int, ratio: float) -> QPixmap:
    """A picture within a square, sharp on screens of any density.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``(Y, X, 3)`` uint8.
    side : int
        Of the square, in the widget's own units.
    ratio : float
        Pixels of the screen per unit (``devicePixelRatioF``).
    """
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    across = round(side * ratio)
    shown = QPixmap.fromImage(image).scaled(
        across, across, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    shown.setDevicePixelRatio(ratio)
    return shown
