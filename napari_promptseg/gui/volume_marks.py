"""Where a user has said by hand what is there: strokes and drawn regions of a volume, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.layers import result_index
from napari_promptseg.gui.volume_index import indexer

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session


@dataclass(frozen=True, eq=False)
class Mark:
    """Pixels of one plane that stand for a class.

    Parameters
    ----------
    plane : tuple
        What numpy takes to give the plane ``(rows, columns)`` of the labels.
    pixels : object
        What it takes to give the pixels of the plane.
    shape : tuple of int
        Of the plane they were drawn on; empty where it is sure to be that of the labels.
    value : int
        Of the class; 0 for background.
    """

    plane: tuple[Any, ...]
    pixels: Any
    shape: tuple[int, ...]
    value: int


def painted(session: Session) -> list[Mark]:
    """Strokes of the image in hand."""
    strokes = session.corrector.strokes
    if strokes is None:
        return []
    return [Mark(indexer(strokes.index(s.plane)), s.pixels, (), s.value) for s in strokes.corrections]


def drawn(session: Session) -> list[Mark]:
    """Regions of the image in hand that show a class."""
    found = []
    for card in session.regions.cards:
        source, mask = card.source, card.mask
        if card.value is None or not card.positive or source is None or mask is None:
            continue
        if card.image == id(session.picture.layer):
            found.append(Mark(indexer(result_index(source.view, source.index)), mask, mask.shape, card.value))
    return found


def filled_in(marks: Sequence[Mark], shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The marks in an array of all planes: their values, or True where it holds no numbers; later ones on top."""
    array = np.zeros(shape, dtype)
    for mark in marks:
        plane = array[mark.plane]
        if not mark.shape or plane.shape == mark.shape:  # else of another level of a pyramid
            plane[mark.pixels] = True if array.dtype == bool else mark.value
    return array
