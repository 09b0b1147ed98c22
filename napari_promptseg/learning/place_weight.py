"""How far place may be trusted in a volume: each corrected plane is guessed from the others, with and without it.

Outlines of compact structures pass smoothly from plane to plane; those of folded tissue (grey matter, vessels) do not,
and there place only spoils what looks have learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.volumes.planes import PlaneAxis
from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane

#: A plane by its axis and number.
PlaneKey = tuple[PlaneAxis, int]

#: Shares of the usual weight that are tried, the usual one first.
SHARES = (1.0, 0.25, 0.0)

#: Gain in Dice from which a smaller share is taken: the others lie farther from a plane left out than planes in between
#: lie from the nearest one, so place is better than it looks here.
_CLEARLY = 0.08

#: Planes guessed at most, evenly spread.
_MOST = 5


def place_share(
    corrected: Mapping[PlaneKey, CorrectedPlane],
    prior: ByPlace,
    looks_without: Callable[[PlaneKey], torch.Tensor],
    values: Sequence[int],
) -> float:
    """Share of its usual weight that place gets.

    Parameters
    ----------
    corrected : mapping of PlaneKey to CorrectedPlane
        Under three nothing can be said, and place has its usual weight.
    prior : ByPlace
        What all of them say, at the usual weight.
    looks_without : callable
        Coarse probabilities ``(C + 1, h, w)`` of a plane, in the order of its voxels, by looks learned on the others.
    values : sequence of int
        Class values in the order of the maps, background first.

    Returns
    -------
    float
        One of `SHARES`.
    """
    shown = [key for key, c in corrected.items() if np.isin(c.labels, values[1:]).any()]
    if len(shown) < 3:
        return SHARES[0]
    picked = [shown[int(i)] for i in np.unique(np.linspace(0, len(shown) - 1, _MOST).round())]
    scores = np.zeros(len(SHARES))
    for key in picked:
        own = corrected[key].labels
        looks = F.interpolate(looks_without(key)[None], own.shape, mode="bilinear", align_corners=False)[0]
        others = prior.without(*key)
        for i, share in enumerate(SHARES):
            chances = others.weighted(share).adjusted(*key, looks)
            scores[i] += _dice(np.asarray(values)[chances.argmax(dim=0).numpy()], own, values) / len(picked)
    best = int(scores.argmax())
    return SHARES[best] if scores[best] > scores[0] + _CLEARLY else SHARES[0]


def _dice(found: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64], values: Sequence[int]) -> float:
    """Mean over the classes that either shows."""
    each = [
        2 * np.count_nonzero((found == v) & (wanted == v)) / total
        for v in values[1:]
        if (total := np.count_nonzero(found == v) + np.count_nonzero(wanted == v))
    ]
    return float(np.mean(each)) if each else 1.0
