"""From an edited label image back to strokes: what changed against the prediction, piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_promptseg.errors import InputError
from napari_promptseg.learning.corrections import Stroke, StrokeKind

_EIGHT = np.ones((3, 3), dtype=bool)


def difference(
    prediction: npt.NDArray[Any], edited: npt.NDArray[Any], plane: int = 0, *, kind: StrokeKind | None = None
) -> list[Stroke]:
    """Every connected piece that the user changed, as a stroke of the class that stands there now.

    Parameters
    ----------
    prediction, edited : numpy.ndarray
        ``(Y, X)`` integer labels of one plane: what was predicted and what stands now.
    plane : int
        Number that the strokes carry.
    kind : StrokeKind, optional
        Where not given, a piece that became background is ``"erase"`` and any other ``"brush"``.

    Returns
    -------
    list of Stroke
        In order of class value, then of their first pixel; empty where nothing changed. Diagonal neighbours
        belong together.

    Raises
    ------
    InputError
        If the shapes differ, an array is not a plane of integers, or a label is negative.

    Notes
    -----
    Brush, fill, polygon, eraser, undo and direct writes all end in the label image, so its difference to the
    prediction is the one account of edits that misses none. Cost is that of one comparison where little changed.
    """
    old, new = np.asarray(prediction), np.asarray(edited)
    if old.shape != new.shape or old.ndim != 2:
        raise InputError(f"Labels of shape {new.shape} cannot be compared with a prediction of shape {old.shape}.")
    if old.dtype.kind not in "bui" or new.dtype.kind not in "bui":
        raise InputError(f"Labels of type {new.dtype} cannot be compared with {old.dtype}: integers are needed.")
    changed = old != new
    if not changed.any():
        return []
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    box = (slice(top, int(rows[-1]) + 1), slice(left, int(columns[-1]) + 1))
    changed, new = changed[box], new[box]
    strokes: list[Stroke] = []
    for value in np.unique(new[changed]).tolist():
        pieces, n = ndimage.label(changed & (new == value), structure=_EIGHT)
        for number, where in enumerate(ndimage.find_objects(pieces, n), start=1):
            strokes.append(
                Stroke.from_mask(
                    pieces[where] == number,
                    int(value),
                    plane=plane,
                    offset=(top + where[0].start, left + where[1].start),
                    kind=kind or ("erase" if value == 0 else "brush"),
                )
            )
    return strokes
