"""Labels from a file beside the image they were drawn on: only where both lie in the same place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack

#: Share of a step by which labels may lie beside their image: headers round.
_APART = 0.5


def labels_over(labels: ImageStack, image: ImageStack) -> npt.NDArray[Any]:
    """Values of a label file in the order of an image's voxels.

    Parameters
    ----------
    labels : ImageStack
        As the file was read. If it does not say how it lies in the patient, its voxels are those of the image's file
        one by one, whatever turn brought either upright.
    image : ImageStack
        What the labels were drawn on.

    Returns
    -------
    numpy.ndarray
        In the labels' own shape where one of the two has no place in the patient; whether it fits is for the caller.

    Raises
    ------
    InputError
        If both have the same size but lie elsewhere in the patient.
    """
    values = np.asarray(labels.modalities[0].pixels)
    own, wanted = labels.geometry, image.geometry
    if own is None or wanted is None or values.shape[:3] != own.shape:
        return values
    if labels.metadata.get("unplaced") or image.metadata.get("unplaced"):
        same = own.file_shape == wanted.file_shape
        found: npt.NDArray[Any] = wanted.to_stack(own.to_file(values)) if same and values.ndim == 3 else values
        return found
    if own.shape == wanted.shape and not own.lies_like(wanted, _APART):
        raise InputError(
            f"The labels {labels.source!r} do not lie where {image.source!r} lies in the patient, though both have the "
            f"size {own.shape}: they belong to another image, or one of the two headers is wrong."
        )
    return values
