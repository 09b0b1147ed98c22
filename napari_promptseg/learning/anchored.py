"""The convex problem behind live learning: class weights that explain a few points, anchored at what was known before.

    minimise  sum_i s_i CE(softmax(prior_i + x_i W + b), y_i) + penalty / 2 |W|^2 + bias_penalty / 2 |b|^2

W = 0 is the prior itself: the anchored form of CLAP (Silva-Rodriguez et al. 2024) and LP++ (Huang et al. 2024), with
one answer whatever the start. W lies in the span of the points, so it is sought as ``X^T A``: what many such problems
on the same points cost, as when a penalty is chosen, is one product of the points' Gram matrix with all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: The biases are free but for this, which only makes their common part determinate.
BIAS_PENALTY = 1e-3

#: Most that one step moves a logit.
_FARTHEST = 8.0
_TINY = 1e-30

#: So often a step may be shortened.
_SHORTER = 8


@dataclass(frozen=True, eq=False)
class Examples:
    """Points with known classes.

    Parameters
    ----------
    features : torch.Tensor
        ``(n, d)`` float; its precision and device are those of the solution.
    prior : torch.Tensor
        ``(n, C)`` logits known before.
    columns : torch.Tensor
        ``(n,)`` int64: class of each point, 0 to C - 1.
    weights : torch.Tensor
        ``(n,)``, positive.
    targets : torch.Tensor, optional
        ``(n, C)`` chances of the classes, where a point is not wholly of its column.
    """

    features: torch.Tensor
    prior: torch.Tensor
    columns: torch.Tensor
    weights: torch.Tensor
    targets: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class LinearChange:
    """What is added to prior logits: ``features @ weights.T + bias``; zero rows for classes that may not change.

    Parameters
    ----------
    weights : torch.Tensor
        ``(C, d)``.
    bias : torch.Tensor
        ``(C,)``.
    """

    weights: torch.Tensor
    bias: torch.Tensor

    def logits(self, prior: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """``(n, C)`` from prior logits ``(n, C)`` and features ``(n, d)``."""
        return prior + features @ self.weights.T + self.bias


class Solution(NamedTuple):
    """Solutions of m problems on the same n points.

    Parameters
    ----------
    coefficients : torch.Tensor
        ``(m, C, n)``: the weights are ``coefficients @ features``.
    shift : torch.Tensor
        ``(m, C, n)``: change of the points' logits, without the bias.
    bias : torch.Tensor
        ``(m, C)``.
    """

    coefficients: torch.Tensor
    shift: torch.Tensor
    bias: torch.Tensor


class Gram:
    """``X X^T`` of ``(n, d)`` features: as a matrix where that is the smaller, else as two products."""

    def __init__(self, features: torch.Tensor) -> None:
        n, width = features.shape
        self._features = features
        self._matrix = features @ features.T if n <= 2 * width else None

    def times(self, maps: torch.Tensor) -> torch.Tensor:
        """``(m, C, n)`` to the same."""
        flat = maps.reshape(-1, maps.shape[-1])
        out = flat @ self._matrix if self._matrix is not None else (flat @ self._features) @ self._features.T
        return out.view(maps.shape)


def fit_change(
    examples: Examples,
    learned: npt.NDArray[np.bool_],
    penalty: float,
    *,
    gram: Gram | None = None,
    biased: bool = True,
    bias_penalty: float = BIAS_PENALTY,
    iterations: int = 100,
    tolerance: float = 1e-4,
    start: Solution | None = None,
) -> LinearChange:
    """Solve for the classes that may change.

    Parameters
    ----------
    examples : Examples
    learned : numpy.ndarray
        ``(C,)``: which classes may change.
    penalty : float
        Against weights of the points as they are given.
    gram : Gram, optional
        Of the examples' features, where it has been made.
    biased : bool
        Without, a class changes only near its points and not everywhere.
    bias_penalty : float
    iterations : int
    tolerance : float
        See `solve`.
    start : Solution, optional
        Of one problem on these points; the answer is the same, and sooner.
    """
    x = examples.features
    found = solve(
        gram or Gram(x),
        examples.prior.T[None].to(x),
        examples.columns,
        examples.weights[None].to(x),
        x.new_tensor([penalty]),
        torch.as_tensor(learned, device=x.device)[None],
        biased=biased,
        bias_penalty=bias_penalty,
        iterations=iterations,
        tolerance=tolerance,
        start=start,
        targets=examples.targets,
    )
    return LinearChange(found.coefficients[0] @ x, found.bias[0])


def solve(
    gram: Gram,
    prior: torch.Tensor,
    columns: torch.Tensor,
    weights: torch.Tensor,
    penalties: torch.Tensor,
    learned: torch.Tensor,
    *,
    biased: bool = True,
    bias_penalty: float = BIAS_PENALTY,
    iterations: int = 100,
    tolerance: float = 1e-4,
    start: Solution | None = None,
    targets: torch.Tensor | None = None,
) -> Solution:
    """Solve m problems on the same n points at once.

    Parameters
    ----------
    gram : Gram
    prior : torch.Tensor
        ``(m, C, n)`` logits.
    columns : torch.Tensor
        ``(n,)``.
    weights : torch.Tensor
        ``(m, n)``: 0 leaves a point out of a problem.
    penalties : torch.Tensor
        ``(m,)``.
    learned : torch.Tensor
        ``(m, C)`` bool.
    biased, bias_penalty, iterations
        See `fit_change`.
    tolerance : float
        Stop where every gradient has shrunk to this share of its length where nothing is known.
    start : Solution, optional
    targets : torch.Tensor, optional
        See `Examples`.

    Notes
    -----
    Conjugate gradients after Polak and Ribiere, each step as long as the curvature along it says, and shorter where
    that went past the lowest point. Gradients and inner products are those of W, so that the solution does not depend
    on how it is written down. Problems that are solved stand still.
    """
    known = torch.nn.functional.one_hot(columns, prior.shape[1]) if targets is None else targets
    target = known.T.to(prior)
    may = learned[:, :, None].to(prior)
    free = learned.to(prior) * float(biased)
    weight, force = weights[:, None], penalties.view(-1, 1, 1)

    def slopes(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        chance = torch.softmax(logits, dim=1)
        return chance, weight * (chance - target) * may

    a, shift = torch.zeros_like(prior), torch.zeros_like(prior)
    bias = torch.zeros_like(prior[:, :, 0])
    # against what is not known at all, so that a wrong prior is no excuse
    _, slope = slopes(torch.zeros_like(prior))
    enough = tolerance**2 * (_inner(slope, gram.times(slope)) + (slope.sum(-1) * free).square().sum(1))
    if start is not None:
        a, shift, bias = start.coefficients, start.shift, start.bias
    way = way_shift = old_shift = torch.zeros_like(prior)
    way_bias = old_bias = torch.zeros_like(bias)
    before = torch.full_like(penalties, torch.inf)
    for _ in range(iterations):
        logits = prior + shift + bias[:, :, None]
        chance, slope = slopes(logits)
        g, g_shift = slope + force * a, gram.times(slope) + force * shift
        g_bias = (slope.sum(-1) + bias_penalty * bias) * free
        length = _inner(g, g_shift) + g_bias.square().sum(1)
        going = length > enough
        if not bool(going.any()):
            break
        kept = ((length - _inner(g, old_shift) - (g_bias * old_bias).sum(1)) / before).clamp_min(0).view(-1, 1, 1)
        way, way_shift, way_bias = kept * way - g, kept * way_shift - g_shift, kept[:, :, 0] * way_bias - g_bias
        old_shift, old_bias, before = g_shift, g_bias, length.clamp_min(_TINY)
        change = way_shift + way_bias[:, :, None]
        mean = chance * change
        stiff = penalties * _inner(way, way_shift) + bias_penalty * way_bias.square().sum(1)
        bend = stiff + (weights * ((mean * change).sum(1) - mean.sum(1).square())).sum(1)
        fall = _inner(way, g_shift) + (way_bias * g_bias).sum(1)
        step = torch.where(going & (fall < 0), -fall / bend.clamp_min(_TINY), 0)
        for _ in range(_SHORTER):
            moved = torch.softmax(logits + step.view(-1, 1, 1) * change, dim=1) - chance
            rise = fall + step * stiff + _inner(weight * moved, change)
            past = rise > -0.5 * fall
            if not bool(past.any()):
                break
            # where the classes are sure, the curvature says too little of what lies ahead
            step = torch.where(past, step * (fall / (fall - rise)).clamp(0.05, 0.5), step)
        pace = step.view(-1, 1, 1)
        a, shift, bias = a + pace * way, shift + pace * way_shift, bias + step[:, None] * way_bias
    return Solution(a, shift, bias)


def balanced_weights(columns: Ints, raw: Floats | None = None) -> Floats:
    """``(n,)`` weights that add up to the number of points, each class to the same part of it.

    Parameters
    ----------
    columns : numpy.ndarray
        ``(n,)``.
    raw : numpy.ndarray, optional
        ``(n,)`` weights within a class; equal ones without.
    """
    raw = np.ones(columns.size) if raw is None else raw
    classes = np.unique(columns)
    out = np.zeros(columns.size)
    for column in classes:
        of_class = columns == column
        out[of_class] = raw[of_class] / raw[of_class].sum()
    return out * (columns.size / classes.size)


def _inner(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """``(m,)``: products of two ``(m, C, n)``, problem by problem."""
    products: torch.Tensor = torch.linalg.vecdot(first.flatten(1), second.flatten(1))
    return products
