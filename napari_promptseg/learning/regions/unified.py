"""The unified embedding of a concept: its sentences and pseudo-text, read together and fitted to its regions.

Only the slot's tokens and an offset in the joint space are trained; the words stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.prompts.multiview import SlotTower
from napari_promptseg.prompts.pseudo_text import with_slots

#: Asked before every step; False ends the loop.
Going = Callable[[], bool]

#: Range of the factor on the model's own scale.
GAINS = (0.05, 20.0)

#: Logits between regions and their surroundings, on average, where the model does not know the name.
GAP = 4.0


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
    known : bool
        Whether the model knows the class's name.
    compensated : torch.Tensor, optional
        ``(d,)``: added to the class's vector, it takes the model's own background out of the logit. What the model
        calls background is made for the names it knows, and takes in things that it has no name for.
    """

    vectors: torch.Tensor
    background: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    scale: float
    known: bool = False
    compensated: torch.Tensor | None = None

    def margins(self, unit: torch.Tensor) -> torch.Tensor:
        """``(n,)`` logits of the class against everything else, for a unit vector ``(d,)``; see `calibrated`."""
        gain, offset = calibrated(self, unit)
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
    residual : torch.Tensor
        ``(d,)`` offset in the joint space.
    unit : torch.Tensor
        ``(d,)``: what is read of the sentences and the slot, and the offset; of unit length.
    gain, bias : float
        Make its score a logit.
    drift : float
        ``1 - cos`` to where it began.
    """

    tokens: torch.Tensor
    residual: torch.Tensor
    unit: torch.Tensor
    gain: float
    bias: float
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
    words: torch.Tensor,
    settings: RegionSettings,
    going: Going,
) -> Unified:
    """Tune the slot's tokens and the offset on the pixels of regions and their surroundings.

    Parameters
    ----------
    tower : SlotTower
    sentences : sequence of str
        Of the concept, as they stand.
    start : torch.Tensor
        ``(m, width)`` tokens, from a `TextTransform`.
    evidence : Evidence
    words : torch.Tensor
        ``(d,)`` unit vector of the words alone.
    settings : RegionSettings
    going : callable

    Notes
    -----
    What the tower reads and an offset in the joint space make the vector. It begins at the words alone where the model
    knows them. Where it does not, what it reads is joined by the direction from surroundings to regions. Cross-entropy
    and Dice, anchored by ``1 - cos`` to the beginning.
    """
    began = start.detach().to(evidence.vectors).float()
    with torch.no_grad():
        read = read_together(tower, sentences, began)
        first = words if evidence.known else F.normalize(settings.reading * read + contrast(evidence), dim=0)
        offset = first - read
    tokens, free = torch.zeros_like(began, requires_grad=True), torch.zeros_like(offset, requires_grad=True)
    size = began.std().clamp_min(1e-6)
    optimiser = torch.optim.AdamW(
        [{"params": [tokens], "lr": settings.rate}, {"params": [free], "lr": settings.offset_rate}], weight_decay=0.0
    )
    held = settings.known_anchor if evidence.known else settings.anchor
    for _ in range(settings.steps):
        if not going():
            break
        with torch.enable_grad():
            unit = F.normalize(read_together(tower, sentences, began + size * tokens) + offset + free, dim=0)
            loss = evidence.loss(evidence.margins(unit)) + held * (1 - unit @ first)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        slot, moved = (began + size * tokens).detach(), (offset + free).detach()
        unit = F.normalize(read_together(tower, sentences, slot) + moved, dim=0)
        gain, bias = (float(n) for n in calibrated(evidence, unit))
    return Unified(slot, moved, unit, gain, bias, float(1 - unit @ first))


def contrast(evidence: Evidence) -> torch.Tensor:
    """The unit direction ``(d,)`` from the mean of what surrounds the regions to their own."""
    thing, rest = region_means(evidence)
    return F.normalize(F.normalize(thing, dim=0) - F.normalize(rest, dim=0), dim=0)


def region_means(evidence: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    """``(d,)`` mean joint vectors of the class's pixels and of all others; each plane counts the same."""
    inside, others = evidence.weights * evidence.labels, evidence.weights * (1 - evidence.labels)
    return (inside @ evidence.vectors) / inside.sum(), (others @ evidence.vectors) / others.sum().clamp_min(1e-12)


def calibrated(evidence: Evidence, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and offset that make the score of a unit vector a logit; differentiable in the vector.

    Notes
    -----
    A name that the model knows keeps the threshold that the model was trained with. Otherwise the logit is 0 halfway
    between the means of the regions and of what surrounds them, and `GAP` from the one to the other: what explains one
    picture best is too sharp for the next.
    """
    if evidence.known:
        return torch.ones_like(unit[0]), torch.zeros_like(unit[0])
    score = evidence.scale * (evidence.vectors @ unit)
    inside, others = evidence.weights * evidence.labels, evidence.weights * (1 - evidence.labels)
    thing, rest = inside @ score / inside.sum(), others @ score / others.sum().clamp_min(1e-12)
    gain = (GAP / (thing - rest).clamp_min(1e-6)).clamp(*GAINS)
    against = (
        inside @ evidence.background / inside.sum() + others @ evidence.background / others.sum().clamp_min(1e-12)
    ) / 2
    return gain, against - gain * (thing + rest) / 2
