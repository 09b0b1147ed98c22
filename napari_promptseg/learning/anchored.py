"""The convex problem behind live learning: class weights that explain a few points, anchored at what was known before.

    minimise  sum_i s_i CE(softmax(prior_i + x_i W + b), y_i) + penalty / 2 |W|^2

W = 0 is the prior itself: the anchored form of CLAP (Silva-Rodriguez et al. 2024) and LP++ (Huang et al. 2024), with
one answer whatever the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: The biases are free but for this, which only makes their common part determinate.
_BIAS_PENALTY = 1e-3


@dataclass(frozen=True, eq=False)
class Examples:
    """Points with known classes.

    Parameters
    ----------
    features : numpy.ndarray
        ``(n, d)``.
    prior : numpy.ndarray
        ``(n, C)`` logits known before.
    columns : numpy.ndarray
        ``(n,)`` class of each point, 0 to C - 1.
    weights : numpy.ndarray
        ``(n,)``, positive.
    """

    features: Floats
    prior: Floats
    columns: Ints
    weights: Floats

    def where(self, keep: npt.NDArray[np.bool_]) -> Examples:
        """Those that a mask keeps; weights as they are."""
        return Examples(self.features[keep], self.prior[keep], self.columns[keep], self.weights[keep])


@dataclass(frozen=True, eq=False)
class LinearChange:
    """What is added to prior logits: ``features @ weights + bias``; zero columns for classes that may not change."""

    weights: Floats
    bias: Floats

    def logits(self, features: Floats, prior: Floats) -> Floats:
        """``(n, C)``."""
        out: Floats = prior + features @ self.weights + self.bias
        return out


def fit_change(
    examples: Examples, learned: npt.NDArray[np.bool_], penalty: float, *, biased: bool = True, iterations: int = 80
) -> LinearChange:
    """Solve for the classes that may change.

    Parameters
    ----------
    examples : Examples
    learned : numpy.ndarray
        ``(C,)``: which classes may change.
    penalty : float
        For weights that add up to the number of classes in the examples.
    biased : bool
        Without, a class changes only near its points and not everywhere.

    Notes
    -----
    The answer lies in the span of the points, so fewer points than channels are solved in their own coordinates
    (a QR decomposition) at a fraction of the cost; L-BFGS on the exact gradient.
    """
    n, width = examples.features.shape
    at = np.flatnonzero(learned)
    basis: Floats | None = None
    x = examples.features
    if n < width:
        basis, triangle = np.linalg.qr(x.T)
        x = triangle.T
    rank = x.shape[1]
    scale = examples.weights[:, None]
    goal = np.zeros((n, at.size))
    place = {int(c): k for k, c in enumerate(at)}
    for row, column in enumerate(examples.columns.tolist()):
        if column in place:
            goal[row, place[column]] = 1.0
    hit = (np.arange(n), examples.columns)

    def loss(flat: Floats) -> tuple[float, Floats]:
        change = flat.reshape(rank + 1, at.size)
        logits = examples.prior.copy()
        logits[:, at] += x @ change[:-1] + change[-1]
        logs = log_softmax(logits, axis=1)
        slope = scale * (np.exp(logs[:, at]) - goal)
        gradient = np.concatenate([x.T @ slope + penalty * change[:-1], slope.sum(0, keepdims=True)])
        gradient[-1] = gradient[-1] + _BIAS_PENALTY * change[-1] if biased else 0.0
        energy = penalty * np.square(change[:-1]).sum() + _BIAS_PENALTY * np.square(change[-1]).sum()
        return float(-(examples.weights * logs[hit]).sum() + 0.5 * energy), gradient.ravel()

    start = np.zeros((rank + 1) * at.size)
    options = {"maxiter": iterations, "maxcor": 12}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x.reshape(rank + 1, at.size)
    weights, bias = np.zeros((width, learned.size)), np.zeros(learned.size)
    weights[:, at] = found[:-1] if basis is None else basis @ found[:-1]
    bias[at] = found[-1]
    return LinearChange(weights, bias)


def balanced_weights(columns: Ints, density: Floats | None = None) -> Floats:
    """``(n,)`` weights with which every class counts the same, n / C in all; within one as `density` says."""
    raw = np.ones(columns.size) if density is None else np.asarray(density, dtype=np.float64)
    out = np.zeros(columns.size)
    classes = np.unique(columns)
    for column in classes:
        of_class = columns == column
        out[of_class] = raw[of_class] / raw[of_class].sum()
    return out * (columns.size / classes.size)


def choose_penalty(
    examples: list[Examples],
    learned: npt.NDArray[np.bool_],
    groups: Ints,
    penalties: tuple[float, ...],
    *,
    folds: int = 3,
    biased: bool = True,
) -> tuple[int, float, Floats]:
    """Which prior and which penalty explain strokes that were left out.

    Parameters
    ----------
    examples : list of Examples
        The same points under different priors.
    learned : numpy.ndarray
        ``(C,)``.
    groups : numpy.ndarray
        ``(n,)``: points of one group are left out together.
    penalties : tuple of float
    folds : int
        Groups of each class are dealt to so many parts, each left out once.

    Returns
    -------
    index, penalty : int, float
        Of the best pair; of equal ones the first.
    losses : numpy.ndarray
        ``(len(examples), len(penalties))`` mean cross-entropy of left-out points, classes counting the same.
    """
    columns = examples[0].columns
    fold = _dealt(columns, groups, folds)
    losses = np.zeros((len(examples), len(penalties)))
    for part in range(folds):
        out = fold == part
        if not out.any() or out.all():
            continue
        left, known = columns[out], np.unique(columns[~out])
        judged = np.isin(left, known)
        if not judged.any():
            continue
        share = balanced_weights(left[judged]) / judged.sum()
        for i, given in enumerate(examples):
            train, test = given.where(~out), given.where(out).where(judged)
            train = Examples(train.features, train.prior, train.columns, balanced_weights(train.columns, train.weights))
            may = learned & np.isin(np.arange(learned.size), known)
            for j, penalty in enumerate(penalties):
                change = fit_change(train, may, penalty, biased=biased, iterations=30)
                logs = log_softmax(change.logits(test.features, test.prior), axis=1)
                losses[i, j] -= (share * logs[np.arange(len(logs)), test.columns]).sum()
    best = int(np.argmin(losses.ravel()))
    return best // len(penalties), penalties[best % len(penalties)], losses / folds


def _dealt(columns: Ints, groups: Ints, folds: int) -> Ints:
    """Part of each point: the groups of each class in turn, so that every part has some of each class."""
    fold = np.zeros(columns.size, dtype=np.int64)
    for column in np.unique(columns):
        of_class = columns == column
        _, number = np.unique(groups[of_class], return_inverse=True)
        fold[of_class] = number % folds
    return fold
