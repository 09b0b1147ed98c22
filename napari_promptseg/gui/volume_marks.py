"""Where a user has said by hand what is there: strokes and drawn regions of a volume, by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.layers import result_index
from napari_promptseg.gui.volume_index import indexer

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session


def marks_of(session: Session) -> npt.NDArray[Any] | None:
    """Class of each voxel of the volume in hand that lies under a stroke or in a region that speaks for a class.

    Parameters
    ----------
    session : Session

    Returns
    -------
    numpy.ndarray or None
        Of the result's shape, 0 where nothing was marked; None without a result.
    """
    layer, image, strokes = session.result_layer, session.picture.layer, session.corrector.strokes
    if layer is None or image is None or strokes is None or layer.data.shape != strokes.shape:
        return None
    marks = np.zeros(layer.data.shape, layer.data.dtype)
    for card in session.regions.cards:
        source, mask = card.source, card.mask
        if card.value is None or not card.positive or source is None or mask is None or card.image != id(image):
            continue
        plane = marks[indexer(result_index(source.view, source.index))]
        if plane.shape == mask.shape:  # else of another level of a pyramid
            plane[mask] = card.value
    for stroke in strokes.corrections:
        strokes.plane(marks, stroke.plane)[stroke.pixels] = stroke.value
    return marks
