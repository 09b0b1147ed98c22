"""Anchored class weights with everything chosen: how strongly held back, how far the words are believed.

Both ways of live learning, from strokes on planes and from labels on images, are this fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.anchored import (
    Examples,
    Gram,
    LinearChange,
    Solution,
    balanced_weights,
    fit_change,
    solve,
)
from napari_promptseg.learning.learned_classes import cell_values, on_cells

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Pixels that speak for the words: features ``(n, d)`` and logits ``(n, C)``.
Witnesses = tuple[torch.Tensor, torch.Tensor]

#: Of gradients, where penalties are only ranked.
_ROUGH = 3e-3

#: By so many nats a further share of the prior has to explain left-out points better.
_CLEARLY = 0.01


class Choice(NamedTuple):
    """Which prior and penalty explain left-out points best, and what `fit_change` may start from.

    Parameters
    ----------
    share : int
        Place among the shares of the prior.
    penalty : float
    losses : numpy.ndarray
        ``(shares, penalties)`` mean cross-entropy of left-out points, classes counting the same.
    start : Solution or None
        Mean of the folds' solutions; None where no fold could be judged.
    """

    share: int
    penalty: float
    losses: Floats
    start: Solution | None


@dataclass(frozen=True, eq=False)
class AnchoredFit:
    """What is added to the prior's logits, and what was chosen for it.

    Parameters
    ----------
    change : LinearChange
    share : float
        What the prior is multiplied by.
    penalty : float
    """

    change: LinearChange
    share: float
    penalty: float


def fit_anchored(
    examples: Examples,
    learned: npt.NDArray[np.bool_],
    groups: Ints,
    penalties: tuple[float, ...],
    *,
    shares: tuple[float, ...] = (1.0,),
    folds: int = 3,
    witnesses: Sequence[Witnesses] = (),
    witness_weight: float = 0.15,
) -> AnchoredFit:
    """Choose share and penalty by leaving out groups, then fit all examples.

    Parameters
    ----------
    examples : Examples
    learned : numpy.ndarray
        ``(C,)``: which classes have examples.
    groups : numpy.ndarray
        ``(n,)``: points of one group are left out together.
    penalties, shares : tuple of float
        Candidates; the first of each where nothing can be left out.
    folds : int
        Under 2 nothing is left out.
    witnesses : sequence of Witnesses
        Pixels from all over the planes, from `witnesses_of`.
    witness_weight : float
        Of all of them together, against all examples; 0 for none.

    Notes
    -----
    Where some class has no examples, or few, those that have must not take or leave pixels that are unlike every
    example: the witnesses join in, as examples of the very chances that the words give them. They weigh less, so that
    an example prevails among pixels like it.
    """
    gram, which, penalty, start = Gram(examples.features), 0, penalties[0], None
    biased = bool(learned.sum() > 1)
    if biased and folds > 1 and len(penalties) * len(shares) > 1:
        which, penalty, _, start = choose_penalty(
            gram, examples, learned, groups, penalties, shares=shares, folds=folds
        )
    anchored = replace(examples, prior=shares[which] * examples.prior)
    if not witnesses or not witness_weight:
        change = fit_change(anchored, learned, penalty, gram=gram, biased=biased, start=start)
    else:
        change = fit_change(_beside(anchored, witnesses, witness_weight), learned, penalty, biased=biased)
    return AnchoredFit(change, shares[which], penalty)


def witnesses_of(features: DenseFeatures, prior: torch.Tensor, wanted: int) -> Witnesses:
    """About `wanted` pixels on a grid over a plane, with their logits from maps ``(C, h, w)``."""
    height, width = features.image_shape
    step = max(1.0, (height * width / wanted) ** 0.5)
    y, x = (np.arange(step / 2, side, step).astype(np.int64) for side in (height, width))
    if not y.size or not x.size:  # a strip narrower than half a step
        y, x = (np.array([side // 2]) if not at.size else at for at, side in ((y, height), (x, width)))
    rows, columns = (grid.ravel() for grid in np.meshgrid(y, x, indexing="ij"))
    return (
        cell_values(features, rows, columns),
        on_cells(prior.permute(1, 2, 0), features.image_shape, rows, columns),
    )


def _beside(examples: Examples, witnesses: Sequence[Witnesses], weight: float) -> Examples:
    """Examples, and witnesses whose targets are what is known before."""
    logits = torch.cat([known for _, known in witnesses]).to(examples.prior)
    chances = logits.softmax(dim=1)
    each = weight * examples.weights.sum() / len(logits)
    painted = torch.nn.functional.one_hot(examples.columns, chances.shape[1]).to(chances)
    return Examples(
        torch.cat([examples.features, *(values.to(examples.features) for values, _ in witnesses)]),
        torch.cat([examples.prior, logits]),
        torch.cat([examples.columns, chances.argmax(dim=1)]),
        torch.cat([examples.weights, each.expand(len(logits))]),
        torch.cat([painted, chances]),
    )


def choose_penalty(
    gram: Gram,
    examples: Examples,
    learned: npt.NDArray[np.bool_],
    groups: Ints,
    penalties: tuple[float, ...],
    *,
    shares: tuple[float, ...] = (1.0,),
    folds: int = 3,
    biased: bool = True,
    iterations: int = 30,
) -> Choice:
    """Which share of the prior and which penalty explain points that were left out.

    Parameters
    ----------
    gram : Gram
        Of the examples' features.
    examples : Examples
    learned : numpy.ndarray
        ``(C,)``.
    groups : numpy.ndarray
        ``(n,)``: points of one group are left out together.
    penalties : tuple of float
    shares : tuple of float
        What the prior is multiplied by, the most cautious first.
    folds : int
        Groups of each class are dealt to so many parts, each left out once.
    biased, iterations
        See `fit_change`. Few iterations rank penalties as well as many.

    Returns
    -------
    Choice
        Of equal pairs the first, and of shares about equal the first too.

    Notes
    -----
    All folds, penalties and shares are solved together: a point that is left out has no weight, and the solution
    gives its logits all the same.
    """
    x = examples.features
    columns, raw = examples.columns.cpu().numpy(), examples.weights.double().cpu().numpy()
    parts = _dealt(columns, groups, folds)
    weights, judges, may = [], [], []
    for part in range(folds):
        out = parts == part
        known = np.unique(columns[~out])
        judged = out & np.isin(columns, known)
        if not judged.any():
            continue
        weight, judge = np.zeros(columns.size), np.zeros(columns.size)
        weight[~out] = balanced_weights(columns[~out], raw[~out])
        judge[judged] = balanced_weights(columns[judged]) / judged.sum()
        weights.append(weight)
        judges.append(judge)
        may.append(learned & np.isin(np.arange(learned.size), known))
    n_folds, grid = len(weights), (len(shares), len(penalties))
    if not n_folds:
        return Choice(0, penalties[0], np.zeros(grid), None)
    each = len(shares) * len(penalties)
    prior = torch.stack([share * examples.prior.T for share in shares]).to(x)
    prior = prior.repeat_interleave(len(penalties), dim=0).repeat(n_folds, 1, 1)
    forces = x.new_tensor(penalties).repeat(len(shares) * n_folds)
    found = solve(
        gram,
        prior,
        examples.columns,
        torch.as_tensor(np.stack(weights)).to(x).repeat_interleave(each, dim=0),
        forces,
        torch.as_tensor(np.stack(may), device=x.device).repeat_interleave(each, dim=0),
        biased=biased,
        iterations=iterations,
        tolerance=_ROUGH,
    )
    logs = torch.log_softmax(prior + found.shift + found.bias[:, :, None], dim=1)
    said = -logs[:, examples.columns, torch.arange(len(columns), device=x.device)]
    share_of = torch.as_tensor(np.stack(judges)).to(said).repeat_interleave(each, dim=0)
    per_problem = (said * share_of).sum(1).double().view(n_folds, each).sum(0)
    losses = per_problem.cpu().numpy().reshape(grid) / n_folds
    # a share of the prior beyond the first has to be clearly better: a hint must not hurt
    handicap = np.where(np.arange(len(shares)) > 0, _CLEARLY, 0.0)[:, None]
    best = int(np.argmin((losses + handicap).ravel()))
    start = Solution(*(part.view(n_folds, each, *part.shape[1:])[:, best].mean(0)[None] for part in found))
    return Choice(best // len(penalties), penalties[best % len(penalties)], losses, start)


def _dealt(columns: Ints, groups: Ints, folds: int) -> Ints:
    """Part of each point: the groups of each class in turn, so that every part has some of each class."""
    fold = np.zeros(columns.size, dtype=np.int64)
    for column in np.unique(columns):
        of_class = columns == column
        _, number = np.unique(groups[of_class], return_inverse=True)
        fold[of_class] = number % folds
    return fold
