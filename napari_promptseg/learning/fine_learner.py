"""Learning from single pixels of corrected planes: one convex solve on what they measure (`segmentation.fine_head`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.learning.anchored import Examples, fit_change
from napari_promptseg.segmentation.fine_head import FineHead, Lift

Floats = npt.NDArray[np.float64]

#: Values that spread less are flat but for rounding, which is not to be learned from.
_NOISE = 1e-5


@dataclass(frozen=True)
class FineSettings:
    """How pixels teach.

    The values were chosen on volumes number 1, 3, 5, ... of the labelled packs only (`benchmarks/volume_dice.py`).

    Parameters
    ----------
    n_pixels : int
        Learned from, of all planes together.
    n_directions : int
        Random half-planes.
    penalty : float
        Per pixel, against weights of values of unit length.
    by_area : float
        Exponent of a class's area in what it counts: between 0, all classes count the same and small ones are drawn
        too large, and 1, as many pixels as there are, and small ones are missed.
    seed : int
    """

    n_pixels: int = 12_000
    n_directions: int = 256
    penalty: float = 1e-5
    by_area: float = 0.75
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PlanePixels:
    """Pixels of one plane that teach.

    Parameters
    ----------
    measured : torch.Tensor
        ``(n, d)`` of `pixel_values`.
    values : numpy.ndarray
        ``(n,)`` their classes.
    areas : numpy.ndarray
        ``(n,)``: for how many pixels each stands.
    """

    measured: torch.Tensor
    values: npt.NDArray[np.int64]
    areas: Floats

    @classmethod
    def drawn(
        cls, measured: torch.Tensor, labels: npt.NDArray[np.generic], n: int, rng: np.random.Generator
    ) -> PlanePixels:
        """So many of ``(d, Y, X)`` values, as evenly from all classes as they have pixels.

        Parameters
        ----------
        measured : torch.Tensor
        labels : numpy.ndarray
            ``(Y, X)``.
        n : int
        rng : numpy.random.Generator
        """
        flat = labels.ravel()
        classes, counts = np.unique(flat, return_counts=True)
        taken, values, areas = [], [], []
        left = n
        # small classes first: what they cannot fill is the others'
        for number, at in enumerate(counts.argsort()):
            wanted = min(int(counts[at]), left // (len(classes) - number))
            left -= wanted
            if not wanted:
                continue
            taken.append(rng.choice(np.flatnonzero(flat == classes[at]), wanted, replace=False))
            values.append(np.full(wanted, int(classes[at]), np.int64))
            areas.append(np.full(wanted, counts[at] / wanted))
        picked = np.concatenate(taken)
        x = measured.flatten(1)[:, torch.from_numpy(picked)].T.contiguous()
        return cls(x, np.concatenate(values), np.concatenate(areas))


def learn_pixels(planes: Sequence[PlanePixels], settings: FineSettings | None = None) -> FineHead | None:
    """Weights from pixels of some planes; None where they show one class only, or nothing but one flat tone.

    Parameters
    ----------
    planes : sequence of PlanePixels
        At least one.
    settings : FineSettings, optional
    """
    chosen = settings or FineSettings()
    values = np.concatenate([p.values for p in planes])
    classes = np.unique(values)
    if len(classes) < 2:
        return None
    x = torch.cat([p.measured for p in planes])
    if float(x.std(dim=0).max()) <= _NOISE:
        return None
    lift = _lift(x, chosen)
    lifted = lift(x)
    length = lifted.square().sum(dim=1).mean().sqrt()
    lifted /= length
    column = np.searchsorted(classes, values)
    weights = _weights(column, np.concatenate([p.areas for p in planes]), chosen.by_area)
    examples = Examples(
        lifted, torch.zeros(len(x), len(classes)), torch.from_numpy(column), torch.from_numpy(weights).float()
    )
    change = fit_change(examples, np.ones(len(classes), bool), chosen.penalty * len(x), iterations=150, tolerance=1e-3)
    return FineHead(tuple(int(v) for v in classes), lift, change.weights / length, change.bias)


def pixels_of(
    measured: Mapping[int, torch.Tensor],
    labels: Mapping[int, npt.NDArray[np.generic]],
    settings: FineSettings | None = None,
) -> dict[int, PlanePixels]:
    """Pixels drawn from each of some planes, the same number from all.

    Parameters
    ----------
    measured : mapping of int to torch.Tensor
        `pixel_values` by plane.
    labels : mapping of int to numpy.ndarray
        ``(Y, X)`` of the same planes.
    settings : FineSettings, optional
    """
    chosen = settings or FineSettings()
    each = max(1, chosen.n_pixels // max(1, len(measured)))
    return {
        number: PlanePixels.drawn(values, labels[number], each, np.random.default_rng((chosen.seed, number)))
        for number, values in measured.items()
    }


def _lift(x: torch.Tensor, settings: FineSettings) -> Lift:
    """Half-planes through pixels that are learned from, each in one, two or three of the values.

    Few values at a time, as a tree's splits have them: most of a class is in few of them.
    """
    rng = np.random.default_rng(settings.seed)
    centre, spread = x.mean(dim=0), x.std(dim=0).clamp_min(_NOISE)
    d, n = x.shape[1], settings.n_directions
    directions = np.zeros((d, n), np.float32)
    for column in directions.T:
        few = rng.choice(d, rng.integers(1, 4), replace=False)
        column[few] = rng.normal(size=len(few))
    directions /= np.linalg.norm(directions, axis=0)
    through = (x[torch.from_numpy(rng.integers(0, len(x), n))] - centre) / spread
    made = torch.from_numpy(directions)
    return Lift(centre, spread, made, -(through * made.T).sum(dim=1))


def _weights(column: npt.NDArray[np.int64], areas: Floats, by_area: float) -> Floats:
    """``(n,)``, 1 on average: within a class by area, each class by a power of its own."""
    weights = np.zeros(len(column))
    for c in np.unique(column):
        own = column == c
        weights[own] = areas[own] * areas[own].sum() ** (by_area - 1)
    weights *= len(weights) / weights.sum()
    return weights
