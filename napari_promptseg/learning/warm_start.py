"""The convex solution that prompt tuning begins from: linear classes in feature space, anchored at the words."""

from __future__ import annotations

import numpy as np
import torch

from napari_promptseg.learning.anchored import Examples, LinearChange, fit_change


def fit_linear(
    prior: torch.Tensor,
    features: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    *,
    penalty: float = 0.1,
    iterations: int = 40,
) -> LinearChange:
    """Fit the change to prior logits that explains some pixels, of any class.

    Parameters
    ----------
    prior : torch.Tensor
        ``(n, C)`` logits of the words.
    features : torch.Tensor
        ``(n, d)``.
    target, weights : torch.Tensor
        ``(n,)`` columns and weights.
    penalty : float
        Of the squared change beside the mean loss, per class: high stays at the words.

    Notes
    -----
    The problem of live learning (`anchored`), but for the biases, which are held back as the weights are: the words
    of the classes become vectors again, which have no bias.
    """
    force = 2 * penalty / prior.shape[1]
    return fit_change(
        Examples(features, prior, target, weights / weights.sum()),
        np.ones(prior.shape[1], dtype=bool),
        force,
        bias_penalty=force,
        iterations=iterations,
    )
