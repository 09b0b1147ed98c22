"""The terms that prompt tuning minimises, each a plain function of tensors."""

from __future__ import annotations

import torch
from torch.nn import functional


def orthogonal_loss(views: torch.Tensor) -> torch.Tensor:
    """How much the learned tokens of the views point the same way.

    Parameters
    ----------
    views : torch.Tensor
        ``(K, m, width)`` tokens of the K views, without the global prompt; or ``(K, groups, m, width)`` where
        every class has tokens of its own, which gives the mean over the groups.

    Returns
    -------
    torch.Tensor
        Scalar; 0 for a single view, at most ``K (K - 1) / 2``.

    Notes
    -----
    ``sum_{i<j} |p_i . p_j| / (|p_i| |p_j|)`` with ``p_i`` the mean over context tokens: the orthogonal constraint loss
    of MVP-SEG (Guo et al. 2023, arXiv 2304.06957).
    """
    means = functional.normalize(views.mean(dim=-2), dim=-1)
    cosines = torch.einsum("i...w,j...w->ij...", means, means).abs()
    k = len(views)
    pairs = torch.triu_indices(k, k, offset=1, device=views.device)
    per_pair = cosines[pairs[0], pairs[1]]
    return per_pair.sum(dim=0).mean()


def anchor_loss(vectors: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Mean ``1 - cos`` between learned and hand-written vectors, both ``(n, d)``.

    Notes
    -----
    The knowledge-guided term of KgCoOp (Yao et al. 2023); PromptSRC (Khattak et al. 2023) shows that it keeps
    classes that were not tuned.
    """
    return (1 - functional.cosine_similarity(vectors, words, dim=-1)).mean()


def pixel_loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy over pixels.

    Parameters
    ----------
    logits : torch.Tensor
        ``(n, C + 1)``, background first.
    target : torch.Tensor
        ``(n,)`` int64 columns.
    weights : torch.Tensor
        ``(n,)``, 0 or more, not all 0.
    """
    each = functional.cross_entropy(logits, target, reduction="none")
    return (each * weights).sum() / weights.sum()


def image_loss(presence: torch.Tensor, labels: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy between presence and image-level labels.

    Parameters
    ----------
    presence : torch.Tensor
        ``(images, C)`` in ``(0, 1)``.
    labels : torch.Tensor
        ``(images, C)``, 1 where the class is in the picture.
    known : torch.Tensor
        ``(images, C)`` bool: where it is known at all. Strokes say that a class is there; only a picture labelled
        as a whole says that one is not.
    """
    if not bool(known.any()):
        return presence.sum() * 0
    return functional.binary_cross_entropy(presence[known].clamp(1e-4, 1 - 1e-4), labels[known])
