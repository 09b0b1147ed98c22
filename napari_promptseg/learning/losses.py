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


def share_margin(logits: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Log-odds that a pixel is of a group of classes.

    Parameters
    ----------
    logits : torch.Tensor
        ``(n, C)``.
    group : torch.Tensor
        ``(C,)`` bool, neither all nor none.

    Returns
    -------
    torch.Tensor
        ``(n,)``.
    """
    return logits[:, group].logsumexp(dim=1) - logits[:, ~group].logsumexp(dim=1)


def share_loss(logits: torch.Tensor, group: torch.Tensor, share: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """How far a group of classes took more of each pixel than it had before.

    Parameters
    ----------
    logits, group : torch.Tensor
        See `share_margin`.
    share : torch.Tensor
        ``(n,)`` in ``(0, 1)``: what the group had of each pixel before learning.
    weights : torch.Tensor
        ``(n,)`` from 0 to 1; the mean is over all pixels, so that low weights make the whole term small.

    Notes
    -----
    Cross-entropy on strokes of some classes raises their scores over those of all others, even where the others are
    right: seen classes win over unseen ones, as known of generalised zero-shot learning (Chao et al. 2016, "calibrated
    stacking"). Where nobody painted, the tuned classes together may not take more than the words gave them: the
    Kullback-Leibler divergence of the two shares. To give some back costs nothing, and among themselves they are free.
    """
    margin = share_margin(logits, group)
    far = functional.binary_cross_entropy_with_logits(margin, share, reduction="none")
    least = functional.binary_cross_entropy(share, share, reduction="none")
    taken = torch.where(margin.sigmoid() > share, far - least, torch.zeros_like(far))
    return (taken * weights).mean()
