"""Self-adding-noise distillation: from the unified embedding of a concept to a student that needs no text.

After CoTexNet (He et al., Engineering 2026): ``z = (1 - a) e_t + a e_v`` with a learned share of the student, trained
by Dice, cross-entropy and ten times the divergence of the student from its teacher, which is not trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.regions.drawn import Pixels
from napari_promptseg.learning.regions.unified import Evidence, Unified
from napari_promptseg.prompts.text_free import TextFreeStudent

#: Share of the student in ``z`` where training begins, and weight of the divergence.
SHARE, DIVERGENCE = 0.2, 10.0

#: Length of the noise on class tokens, which have length 1, and how many tokens with noise go with each image's own.
NOISE, NOISY = 0.3, 4


def divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Mean ``KL(softmax(teacher) || softmax(student))`` of unit vectors ``(n, d)``; the teacher gets no gradient.

    Notes
    -----
    Entries are multiplied by the root of their number: those of a unit vector are so small that a softmax of them is
    flat whatever they are.
    """
    size = teacher.shape[-1] ** 0.5
    target = F.softmax(teacher.detach() * size, dim=-1)
    return F.kl_div(F.log_softmax(student * size, dim=-1), target, reduction="batchmean")


def distil(
    unified: Unified,
    evidence: Evidence,
    pixels: Pixels,
    *,
    unlabelled: Sequence[DenseFeatures] = (),
    steps: int = 60,
    rate: float = 3e-3,
    seed: int = 0,
    going: Callable[[], bool] = lambda: True,
) -> TextFreeStudent:
    """Train the text-free student of one concept.

    Parameters
    ----------
    unified : Unified
        The teacher.
    evidence : Evidence
    pixels : Pixels
        Of the same points.
    unlabelled : sequence of DenseFeatures
        Of further images, on which the student is only kept near its teacher.
    steps : int
    rate : float
        Of AdamW, on a cosine.
    seed : int
        Of the first layer and of the noise.
    going : callable
        Asked before every step; False ends it.
    """
    device = evidence.vectors.device
    noise = torch.Generator().manual_seed(seed)
    tokens = F.normalize(torch.stack([f.pooled.float() for f in pixels.planes]), dim=-1)
    others = [F.normalize(f.pooled.float(), dim=-1).to(device) for f in unlabelled]
    teacher = unified.unit.detach()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = TextFreeStudent(teacher, F.normalize(tokens.mean(dim=0), dim=0)).to(device)
    share = torch.tensor(SHARE, device=device).logit().requires_grad_()
    optimiser = torch.optim.AdamW([*student.parameters(), share], lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    plane = torch.from_numpy(pixels.plane).to(device)
    known = torch.stack([*tokens, *others])
    for _ in range(steps):
        if not going():
            break
        with torch.enable_grad():
            own = student(tokens)
            a = torch.sigmoid(share)
            mixed = F.normalize((1 - a) * teacher + a * own, dim=-1)
            scores = (evidence.vectors * mixed[plane]).sum(dim=1)
            margins = evidence.scale * unified.gain * scores + unified.bias - evidence.background
            around = known.repeat(NOISY, 1)
            shaken = around + NOISE * F.normalize(torch.randn(around.shape, generator=noise).to(device), dim=-1)
            drawn = torch.cat([own, student(torch.cat([known[len(tokens) :], shaken]))])
            loss = evidence.loss(margins) + DIVERGENCE * divergence(teacher.expand_as(drawn), drawn)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return student.eval().requires_grad_(False)
