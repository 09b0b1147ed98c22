"""The unified embedding of a concept: its sentences and pseudo-text, read together and fitted to its regions.

Only the slot's tokens and two numbers that make the score a chance are trained; the words stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.prompts.multiview import SlotTower
from napari_promptseg.prompts.pseudo_text import with_slots

#: Asked before every step; False ends the loop.
Going = Callable[[], bool]

#: Range of the factor on the model's own scale.
_GAIN = (0.05, 20.0)

#: Of the squared logarithm of the gain, and of the squared offset, beside the mean loss.
_HELD = 0.01


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the pixels that are learned from.

    Parameters
    ----------
    vectors : torch.Tensor
        ``(n, d)`` joint vectors.
    background : torch.Tensor
        ``(n,)`` logits of everything else.
    labels : torch.Tensor
        ``(n,)`` float, 1 for the class.
    weights : torch.Tensor
        ``(n,)``, 1 in all.
    scale : float
        The model's logit scale.
    """

    vectors: torch.Tensor
    background: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    scale: float

    def margins(self, unit: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        """``(n,)`` logits of the class against everything else, for a unit vector ``(d,)``."""
        return self.scale * gain * (self.vectors @ unit) + offset - self.background

    def loss(self, margins: torch.Tensor) -> torch.Tensor:
        """Cross-entropy and Dice, both weighted."""
        return cross_entropy(margins, self.labels, self.weights) + soft_dice(margins, self.labels, self.weights)


def cross_entropy(margins: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy over pixels whose weights add up to 1."""
    each = F.binary_cross_entropy_with_logits(margins, labels, reduction="none")
    return (each * weights).sum()


def soft_dice(margins: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One minus the Dice coefficient of chances and labels."""
    chance = torch.sigmoid(margins)
    both = (chance * labels * weights).sum()
    return 1 - 2 * both / ((chance * weights).sum() + (labels * weights).sum()).clamp_min(1e-9)


@dataclass(frozen=True, eq=False)
class Unified:
    """A concept as the text tower reads it.

    Parameters
    ----------
    tokens : torch.Tensor
        ``(m, width)`` of the slot.
    unit : torch.Tensor
        ``(d,)``: mean over the sentences, of unit length.
    gain, offset : float
        Make its score a chance.
    drift : float
        ``1 - cos`` to where it began.
    """

    tokens: torch.Tensor
    unit: torch.Tensor
    gain: float
    offset: float
    drift: float = 0.0


def read_together(tower: SlotTower, sentences: Sequence[str], tokens: torch.Tensor) -> torch.Tensor:
    """The unit vector ``(d,)`` of sentences with a slot that holds `tokens` ``(m, width)``; differentiable."""
    texts = [with_slots(s, len(tokens)) for s in sentences]
    vectors = tower.encode_with_slots(texts, tokens[None].expand(len(texts), -1, -1))
    return F.normalize(vectors.float().mean(dim=0), dim=0)


def fit_unified(
    tower: SlotTower,
    sentences: Sequence[str],
    start: torch.Tensor,
    evidence: Evidence,
    settings: RegionSettings,
    going: Going,
) -> Unified:
    """Tune the slot's tokens on the pixels of regions and their surroundings.

    Parameters
    ----------
    tower : SlotTower
    sentences : sequence of str
        Of the concept, as they stand.
    start : torch.Tensor
        ``(m, width)`` tokens, from a `TextTransform`.
    evidence : Evidence
    settings : RegionSettings
    going : callable

    Notes
    -----
    Cross-entropy and Dice, with ``anchor * (1 - cos)`` to the start.
    """
    device = evidence.vectors.device
    began = start.detach().to(device).float()
    with torch.no_grad():
        first = read_together(tower, sentences, began)
    gain, offset = calibrated(evidence, first)
    change = torch.zeros_like(began, requires_grad=True)
    size = began.std().clamp_min(1e-6)
    free = torch.tensor([np.log(gain), offset], device=device, dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.AdamW(
        [{"params": [change], "lr": settings.rate * 10}, {"params": [free], "lr": settings.rate}], weight_decay=0.0
    )
    for _ in range(settings.steps):
        if not going():
            break
        with torch.enable_grad():
            unit = read_together(tower, sentences, began + size * change)
            loss = evidence.loss(evidence.margins(unit, free[0].exp(), free[1]))
            loss = loss + settings.anchor * (1 - unit @ first)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    tokens = (began + size * change).detach()
    with torch.no_grad():
        unit = read_together(tower, sentences, tokens)
    gain, offset = calibrated(evidence, unit)
    return Unified(tokens, unit, gain, offset, float(1 - unit @ first))


def calibrated(evidence: Evidence, unit: torch.Tensor, iterations: int = 30) -> tuple[float, float]:
    """Gain and offset under which the score of a unit vector explains the pixels best; a convex problem but for a log.

    Newton steps on two numbers, held near 1 and 0.
    """
    score = (evidence.scale * (evidence.vectors @ unit)).double()
    base, y, w = evidence.background.double(), evidence.labels.double(), evidence.weights.double()
    # about its own mean, so that gain and offset do not get in each other's way
    mean = (score * w).sum()
    rows = torch.stack([score - mean, torch.ones_like(score)], dim=1)
    fixed = -base
    held = torch.tensor([_HELD, _HELD / 100], dtype=torch.float64, device=score.device)
    aim = torch.tensor([1.0, 0.0], dtype=torch.float64, device=score.device)
    spread = (rows[:, 0].square() * w).sum().clamp_min(1e-12)
    held = held * torch.stack([spread, torch.ones_like(spread)])
    at = torch.stack([aim[0], mean])
    aim = at.clone()
    for _ in range(iterations):
        chance = torch.sigmoid(fixed + rows @ at)
        slope = rows.T @ (w * (chance - y)) + held * (at - aim)
        bend = (rows * (w * (chance * (1 - chance)).clamp_min(1e-4))[:, None]).T @ rows + torch.diag(held)
        step = torch.linalg.solve(bend, slope)
        at = at - step * (2.0 / step.abs().max().clamp_min(2.0))
    gain = float(at[0].clamp(*_GAIN))
    # with the gain cut to its range the offset keeps the mean where it was
    return gain, float(at[1] - gain * mean)
