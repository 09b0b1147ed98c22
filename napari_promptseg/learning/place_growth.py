"""How fast place grows unsure in a volume: corrected planes between others are guessed from these.

Outlines of compact structures pass smoothly from plane to plane; those of folded tissue (grey matter, vessels) do not.
A plane that was left out lies farther from its neighbours than the planes in between do. So it is the growth of the
uncertainty with distance that is estimated, and not a weight: near a corrected plane place counts in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.segmentation.volumes.planes import PlaneAxis
from napari_promptseg.segmentation.volumes.prior import ByPlace

#: A plane by its axis and number.
PlaneKey = tuple[PlaneAxis, int]

#: Multiples of the usual growth that are tried.
GROWTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

#: Planes guessed at most, evenly spread.
_MOST = 3

#: The least growth whose cross-entropy is at most so many times the lowest is taken: of planes left out few are seen.
_ABOUT_AS_GOOD = 1.1

_LEAST = 1e-6


def planes_between(planes: Sequence[PlaneKey]) -> list[PlaneKey]:
    """Planes with another on either side along their axis, evenly spread over these: what lies beyond is no guide."""
    inner = []
    for axis in dict.fromkeys(a for a, _ in planes):
        inner += [(axis, p) for p in sorted({p for a, p in planes if a == axis})[1:-1]]
    if len(inner) <= _MOST:
        return inner
    return [inner[int(i)] for i in np.linspace(0, len(inner) - 1, _MOST).round()]


def fitting_growth(
    prior: ByPlace,
    planes: Sequence[PlaneKey],
    labels_of: Callable[[PlaneKey], npt.NDArray[np.generic]],
    chances_without: Callable[[PlaneKey], torch.Tensor],
    values: Sequence[int],
) -> float:
    """Multiple of the usual growth that explains planes guessed from the others.

    Parameters
    ----------
    prior : ByPlace
        What all of them say, at the usual growth.
    planes : sequence of PlaneKey
        To guess, see `planes_between`; without any the usual growth stays.
    labels_of : callable
        ``(rows, columns)`` of a plane's voxels, classes of `values` only.
    chances_without : callable
        ``(C + 1, rows, columns)`` at a plane's voxels by what was learned on the others.
    values : sequence of int
        Class values in the order of the maps, background first.

    Returns
    -------
    float
        One of `GROWTHS`; 1 where there is nothing to guess.
    """
    if not planes:
        return 1.0
    losses = np.zeros(len(GROWTHS))
    order = np.asarray(values)
    for key in planes:
        rows = torch.from_numpy((labels_of(key)[None] == order[:, None, None]).argmax(axis=0))
        chances, others = chances_without(key), prior.without(*key)
        for i, factor in enumerate(GROWTHS):
            found = others.grown(factor).adjusted(*key, chances)
            losses[i] -= float(found.gather(0, rows[None]).clamp_min(_LEAST).log().mean())
    return GROWTHS[int(np.argmax(losses <= _ABOUT_AS_GOOD * losses.min()))]
