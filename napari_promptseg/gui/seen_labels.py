"""What stood in a label layer when it was last looked at, so that a person's edits are what differs from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.volume_index import indexer, place_of, shape_at


class SeenLabels:
    """One array for all planes, since planes across different axes of a volume share their voxels.

    Parameters
    ----------
    shape : tuple of int
        Of the label layer's data. Memory is taken only for what is written to.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._labels: npt.NDArray[Any] = np.zeros(shape, np.uint8)
        #: Numbers of the planes that were looked at.
        self.planes: set[int] = set()

    def __getitem__(self, plane: int) -> npt.NDArray[Any]:
        """A copy ``(rows, columns)`` of what was seen in a plane; 0 where nothing was."""
        return self._labels[indexer(place_of(self._labels.shape, plane))].copy()

    def __setitem__(self, plane: int, labels: npt.NDArray[Any]) -> None:
        self._widen(labels.dtype)
        place = place_of(self._labels.shape, plane)
        assert labels.shape == shape_at(self._labels.shape, place)
        self._labels[indexer(place)] = labels
        self.planes.add(plane)

    def set_all(self, labels: npt.NDArray[Any]) -> None:
        """Take in the whole array."""
        self._widen(labels.dtype)
        self._labels[...] = labels

    def _widen(self, dtype: np.dtype[Any]) -> None:
        if dtype.itemsize > self._labels.dtype.itemsize:
            self._labels = self._labels.astype(dtype)
