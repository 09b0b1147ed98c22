"""Training of the head that is added to ConSE."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from scripts.embedded_model.samples import TOP, Samples
from scripts.embedded_model.vocabulary import SYNONYMS

CONSE_WEIGHT = 20.0

#: Weight of the whole picture against a cell's ConSE.
PRIOR = 0.6
HEAD_WEIGHT = 5.0
HIDDEN = 256
DROPOUT = 0.5
EPOCHS = 8
BATCH = 512
RATE = 1e-3
DECAY = 0.05

#: Share of the steps' class names drawn from the synonyms, and weights of the losses beside cross-entropy.
SYNONYM_SHARE = 0.3
BACKGROUND_LOSS = 0.5
WRONG_NAME = 0.3


@dataclass
class Words:
    """What the text tower makes of names: ImageNet's ``(1000, d)``, and the directions ``(k, d)`` without a prior."""

    imagenet: torch.Tensor
    classifier: torch.Tensor
    classifier_bias: torch.Tensor
    prior_free: torch.Tensor

    def conse(self, top: torch.Tensor, temperature: float = 2.0, best: int = 10) -> torch.Tensor:
        """ConSE of top-level features ``(n, 1280)``: ``(n, d)``."""
        shares = ((top @ self.classifier.T + self.classifier_bias) / temperature).softmax(1)
        value, index = shares.topk(best, dim=1)
        return functional.normalize((value[..., None] * self.imagenet[index]).sum(1), dim=-1)

    def prior(self, top: torch.Tensor) -> torch.Tensor:
        """ConSE of whole pictures ``(n, 1280)``, silent about `prior_free` names: ``(n, d)``."""
        whole = self.conse(top, temperature=1.0)
        return whole - whole @ self.prior_free.T @ self.prior_free

    @property
    def average(self) -> torch.Tensor:
        """The mean of the ImageNet names: ``(d,)``."""
        return self.imagenet.mean(0)


def free_directions(vectors: torch.Tensor, average: torch.Tensor) -> torch.Tensor:
    """Orthonormal rows that span what sets names ``(k, d)`` apart from an average name."""
    return torch.linalg.qr((vectors - average).T).Q.T


class Head(nn.Module):
    """Standardised features to a vector in sentence space and a logit for background."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, features: torch.Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.mean(features, 0, dtype=torch.float32))
        squares = sum((part.float() - self.mean).square().sum(0) for part in features.split(4096))
        self.register_buffer("spread", (squares / len(features)).sqrt() + 1e-4)
        self.first = nn.Linear(features.shape[1], HIDDEN)
        self.second = nn.Linear(HIDDEN, width + 1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, standardised: torch.Tensor) -> torch.Tensor:
        """``(n, width + 1)``."""
        x = functional.dropout(standardised, DROPOUT, self.training)
        return self.second(functional.dropout(functional.gelu(self.first(x)), DROPOUT, self.training))


def train(parts: list[Samples], words: Words, vectors: dict[str, torch.Tensor], seed: int) -> Head:
    """Train one head.

    Cross-entropy over all names, a background logit between the right name and the best wrong one,
    and little change for names that it is not trained on (256 random ImageNet names a step).
    """
    torch.manual_seed(seed)
    random.seed(seed)
    features = torch.cat([p.inputs().half() for p in parts])
    labels = [n for p in parts for n in p.names]
    conse = torch.cat([words.conse(p.top().float()) for p in parts])
    prior = torch.cat([PRIOR * words.prior(p.means[:, -TOP:])[p.view] for p in parts])
    average = words.average
    names = sorted(set(labels))
    position = {n: i for i, n in enumerate(names)}
    target = torch.tensor([position[n] for n in labels])
    weight = torch.bincount(target, minlength=len(names)).float().rsqrt()
    weight = weight / weight[target].mean()
    head = Head(features, words.imagenet.shape[1])
    synonyms = [torch.stack([vectors[s] for s in SYNONYMS.get(n, [n])]) for n in names]
    optimiser = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    batches = len(features) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * batches + 1)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features))[: batches * BATCH].split(BATCH):
            y = target[rows]
            text = torch.stack(
                [s[random.randrange(len(s)) if random.random() < SYNONYM_SHARE else 0] for s in synonyms]
            )
            out = head((features[rows].float() - head.mean) / head.spread)
            fixed = CONSE_WEIGHT * (conse[rows] + prior[rows])
            joint = fixed + HEAD_WEIGHT * out[:, :-1]
            score, background = (joint @ text.T, out[:, -1] + CONSE_WEIGHT * (prior[rows] @ average))
            loss = (functional.cross_entropy(score, y, reduction="none") * weight[y]).mean()
            right = score.gather(1, y[:, None])[:, 0] - background
            wrong = score.masked_fill(functional.one_hot(y, len(names)).bool(), -1e4).amax(1) - background
            margin = functional.softplus(-right) + WRONG_NAME * functional.softplus(wrong)
            other = words.imagenet[torch.randint(len(words.imagenet), (256,))]
            drift = functional.kl_div(
                (joint @ other.T).log_softmax(1),
                (fixed @ other.T).log_softmax(1),
                log_target=True,
                reduction="batchmean",
            )
            loss = loss + drift + BACKGROUND_LOSS * (margin * weight[y]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return head.eval()
