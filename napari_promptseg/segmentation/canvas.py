"""The arrays of a label map while its parts are decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.segmentation.decision import Decision
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.pixel_maps import PixelMaps


class Canvas:
    """The arrays of a label map, filled part by part.

    Parameters
    ----------
    shape : tuple of int
        ``(Y, X)``.
    values : sequence of int
        Of the classes, in order.
    want_probabilities : bool
        Keep one float16 map per class too.
    """

    def __init__(self, shape: tuple[int, int], values: Sequence[int], want_probabilities: bool) -> None:
        self.values = list(values)
        dtype = np.uint8 if max(values) < 256 else np.uint16
        self.table = np.array([0, *values], dtype=dtype)
        self.labels = np.zeros(shape, dtype)
        self.runner_up = np.zeros(shape, dtype)
        self.confidence = np.zeros(shape, np.float16)
        self.runner_up_confidence = np.zeros(shape, np.float16)
        self.probabilities = {v: np.zeros(shape, np.float16) for v in values} if want_probabilities else {}

    def put(
        self,
        rows: slice,
        columns: slice,
        maps: PixelMaps,
        decision: Decision,
        inside: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> None:
        """Write the `inside` of a decided part to its place."""
        self.labels[rows, columns] = self._as_values(decision.index[inside])
        self.runner_up[rows, columns] = self._as_values(decision.second[inside])
        self.confidence[rows, columns] = decision.confidence[inside].half().cpu().numpy()
        self.runner_up_confidence[rows, columns] = decision.second_confidence[inside].half().cpu().numpy()
        for i, value in enumerate(self.values if self.probabilities else (), start=1):
            self.probabilities[value][rows, columns] = maps.full(i)[inside].clamp(0, 1).half().cpu().numpy()

    def _as_values(self, index: torch.Tensor) -> npt.NDArray[Any]:
        """Class numbers to label values."""
        numbers = index.cpu().numpy()
        if self.values == list(range(1, len(self.values) + 1)):
            return numbers
        out: npt.NDArray[Any] = self.table[numbers]
        return out

    def finish(self, made_by: dict[str, Any]) -> LabelMap:
        """The label map."""
        second = (self.runner_up, self.runner_up_confidence)
        return LabelMap(self.labels, self.confidence, *second, self.probabilities, made_by)
