"""The result: which class each pixel is, how sure, and what came second."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels of one plane.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)`` uint8, or uint16 from 256 classes; 0 is background, else a `ClassPrompt.value`.
    confidence : numpy.ndarray
        ``(Y, X)`` float16, calibrated probability of the label that stands there.
    runner_up : numpy.ndarray
        ``(Y, X)`` like `labels`, the second best class.
    runner_up_confidence : numpy.ndarray
        ``(Y, X)`` float16, calibrated probability of the runner-up. It may be above `confidence`: a class under
        its own threshold comes second to the background however probable it is.
    probabilities : dict of int to numpy.ndarray, optional
        Per class value, ``(Y, X)`` float16; only where asked for.
    provenance : dict
        What made it: model, fingerprint, classes, settings, version. Plain JSON values.
    """

    labels: npt.NDArray[Any]
    confidence: npt.NDArray[np.float16]
    runner_up: npt.NDArray[Any]
    runner_up_confidence: npt.NDArray[np.float16]
    probabilities: dict[int, npt.NDArray[np.float16]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def area_share(self, value: int) -> float:
        """Share of the plane that carries this label, in ``[0, 1]``."""
        return float(np.count_nonzero(self.labels == value) / self.labels.size)
