"""A change to the words' score that is linear in frozen features, one row of weights per class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Classes as live learning found them; applies to any plane encoded by the same model.

    Parameters
    ----------
    values : tuple of int
        Class values, 0 (background) first.
    weights : torch.Tensor
        ``(C, d)`` float32 over the detail channels followed by the joint-space ones; 0 for classes without strokes.
    bias : torch.Tensor
        ``(C,)``.
    learned : tuple of bool
        Which classes have strokes.
    prior_weight : float
        How far the words are believed for classes that were learned.
    area_shift : float
        See `logits`.
    fingerprint : str
        Of the encoder.
    """

    values: tuple[int, ...]
    weights: torch.Tensor
    bias: torch.Tensor
    learned: tuple[bool, ...]
    prior_weight: float
    area_shift: float
    fingerprint: str

    def logits(self, features: DenseFeatures, prior: torch.Tensor | None = None) -> torch.Tensor:
        """Scores on the grid of the detail features.

        Parameters
        ----------
        features : DenseFeatures
            Of a plane encoded by the same model.
        prior : torch.Tensor, optional
            ``(C, h, w)`` logits of the words on any grid.

        Returns
        -------
        torch.Tensor
            ``(C, h', w')`` float32; rows of classes without strokes equal the prior exactly.

        Notes
        -----
        Points are as many for a small lesion as for everything else, so the bare scores draw small classes too
        large. The share of each class in this picture is estimated from the scores themselves by expectation
        maximisation (Saerens, Latinne & Decaestecker 2002) and `area_shift` times its logarithm is added. About two
        thirds is right, and not one, because points lie nearer to the centres of regions than chance would have it.
        """
        if features.fingerprint != self.fingerprint:
            raise InputError("The learned classes belong to another model: correct again, or choose that model.")
        grid = (int(features.detail.shape[0]), int(features.detail.shape[1]))
        device = features.detail.device
        flags = torch.tensor(self.learned, device=device)[:, None, None]
        base = torch.zeros(len(self.values), *grid, device=device)
        if prior is not None:
            base = F.interpolate(prior.float()[None], size=grid, mode="bilinear", align_corners=False)[0]
        if not any(self.learned):
            return base
        scores = linear_scores(features, self.weights.to(device)) + self.bias.to(device)[:, None, None]
        scores = scores + self.prior_weight * base
        if self.area_shift > 0:
            together = torch.where(flags, scores, base)
            share = class_shares(together.flatten(1))
            scores = scores + self.area_shift * torch.log(share * len(self.values) + 1e-3)[:, None, None]
        return torch.where(flags, scores, base)


def linear_scores(features: DenseFeatures, weights: torch.Tensor) -> torch.Tensor:
    """``(C, h', w')``: `weights` ``(C, d)`` applied to every cell, coarse and fine features each on their own grid."""
    detail = features.detail
    height, width, n_detail = detail.shape
    fine = detail_scale(detail) * (weights[:, :n_detail] @ detail.reshape(-1, n_detail).float().T)
    semantic = standardised(features.semantic)
    coarse = torch.einsum("hwd,cd->chw", semantic, weights[:, n_detail:])
    coarse = F.interpolate(coarse[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return fine.view(-1, height, width) + coarse


def class_shares(logits: torch.Tensor, *, iterations: int = 30, every: int = 5) -> torch.Tensor:
    """Share of each class among cells, ``(C,)``, from ``(C, n)`` logits that treat all classes as equally frequent."""
    some = logits[:, ::every] if logits.shape[1] > 50 * every else logits
    n_classes = logits.shape[0]
    share = torch.full((n_classes,), 1.0 / n_classes, device=logits.device)
    for _ in range(iterations):
        share = torch.softmax(some + torch.log(share * n_classes + 1e-4)[:, None], dim=0).mean(dim=1)
    return share


def detail_scale(detail: torch.Tensor) -> float:
    """Brings the mean squared length of detail features to that of five levels of unit variance each."""
    sample = detail.detach().reshape(-1, detail.shape[-1])[::37].float()
    return float((5.0 / sample.square().sum(dim=1).mean().clamp_min(1e-12)).sqrt())


def standardised(semantic: torch.Tensor) -> torch.Tensor:
    """Joint-space features with mean 0 and variance 1 / d per channel in this picture."""
    flat = semantic.float()
    mean = flat.mean(dim=(0, 1), keepdim=True)
    spread = (flat - mean).square().mean().sqrt().clamp_min(1e-6)
    out: torch.Tensor = (flat - mean) / (spread * semantic.shape[-1] ** 0.5)
    return out
