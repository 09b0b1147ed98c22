"""The convex solution that prompt tuning begins from: linear classes in feature space, anchored at the words."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_promptseg.learning.losses import pixel_loss


@dataclass(frozen=True, eq=False)
class LinearSolution:
    """Logits ``x @ weights.T + bias`` on top of a prior.

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


def fit_linear(
    prior: torch.Tensor,
    features: torch.Tensor,
    target: torch.Tensor,
    weights: torch.Tensor,
    *,
    penalty: float = 0.1,
    iterations: int = 40,
) -> LinearSolution:
    """Fit the change to prior logits that explains some pixels; convex, so there is one answer.

    Parameters
    ----------
    prior : torch.Tensor
        ``(n, C)`` logits of the words.
    features : torch.Tensor
        ``(n, d)``.
    target, weights : torch.Tensor
        ``(n,)`` columns and weights.
    penalty : float
        Of the squared change: high stays at the words.

    Notes
    -----
    ``CE + l |w - t|^2``, the anchored form of CLAP (Silva-Rodriguez et al. 2024), solved by L-BFGS.
    """
    n_classes = prior.shape[1]
    change = torch.zeros(n_classes, features.shape[1], device=features.device, requires_grad=True)
    bias = torch.zeros(n_classes, device=features.device, requires_grad=True)
    solver = torch.optim.LBFGS([change, bias], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        with torch.enable_grad():
            loss = pixel_loss(prior + features @ change.T + bias, target, weights)
            loss = loss + penalty * (change.square().sum() + bias.square().sum()) / n_classes
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return LinearSolution(change.detach(), bias.detach())
