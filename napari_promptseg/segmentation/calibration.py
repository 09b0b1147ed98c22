"""From logits to probabilities that a threshold can be set on, the same for every class."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from napari_promptseg.encoders.encoder import Familiarity
from napari_promptseg.segmentation.scoring import ScoreMaps


def probabilities(
    scores: ScoreMaps,
    *,
    sigmoid: bool = False,
    familiarity: Sequence[Familiarity] | None = None,
    unknown_ceiling: float = 0.49,
) -> torch.Tensor:
    """Calibrated probabilities on the grid of the features.

    Parameters
    ----------
    scores : ScoreMaps
        ``C`` classes on a grid ``(h, w)``.
    sigmoid : bool
        Classes are independent (SigLIP) instead of sharing one softmax.
    familiarity : sequence of Familiarity, optional
        Per class; an unknown one is kept under `unknown_ceiling`.
    unknown_ceiling : float
        In ``[0, 1]``.

    Returns
    -------
    torch.Tensor
        ``(C + 1, h, w)`` float32 in ``[0, 1]``: background first, then the classes in order.

    Notes
    -----
    What a threshold acts on is the probability of a class **against background**, ``p_c / (p_c + p_0)``.
    Under a softmax that equals ``sigmoid(logit_c - logit_0)``: it does not fall when more classes are
    asked for, so 0.5 means the same with one class and with eighty.

    * Softmax with background words: softmax over classes and the best background word.
    * Sigmoid with background words: each class against the best background word. The words take the place
      of the model's own bias, which is set for whole pictures and puts single cells far under 0.5.
    * Without background words ``p_0 = 1 - max p_c``. A single class under a softmax is then compared with
      its own mean over the picture, since a softmax over one class is 1 everywhere.
    * An unknown name has ``p_c / (p_c + p_0)`` multiplied by the ceiling, which keeps the order of its
      cells (for a score layer or an AUC) and never reaches the default threshold.
    """
    logits, against = scores.classes, scores.background
    neutral = against
    if against is None:
        alone = logits.shape[0] == 1 and not sigmoid
        neutral = logits.mean(dim=(-2, -1)).expand_as(logits[0]) if alone else None
    if neutral is not None:
        margin = _capped(logits - neutral, familiarity, unknown_ceiling)
        if sigmoid:
            return _with_rest(torch.sigmoid(margin))
        return torch.softmax(torch.cat([torch.zeros_like(margin[:1]), margin]), dim=0)
    if sigmoid:
        return _with_rest(torch.sigmoid(_capped(logits, familiarity, unknown_ceiling)))
    shares = torch.softmax(logits, dim=0)
    if familiarity is not None and "unknown" in familiarity:
        factor = [unknown_ceiling if f == "unknown" else 1.0 for f in familiarity]
        shares = shares * shares.new_tensor(factor)[:, None, None]
    return _with_rest(shares)


def _with_rest(classes: torch.Tensor) -> torch.Tensor:
    """Put ``1 - max`` in front as background."""
    return torch.cat([1 - classes.amax(dim=0, keepdim=True), classes])


def _capped(margin: torch.Tensor, familiarity: Sequence[Familiarity] | None, ceiling: float) -> torch.Tensor:
    """Logits against background with ``sigmoid(margin)`` of unknown classes multiplied by the ceiling."""
    if familiarity is None or "unknown" not in familiarity:
        return margin
    out = margin.clone()
    for i, known in enumerate(familiarity):
        if known == "unknown":
            out[i] = torch.logit(torch.sigmoid(margin[i]) * ceiling, eps=1e-6)
    return out
