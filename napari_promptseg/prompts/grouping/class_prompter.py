"""The class-aware uni-modal prompter: what each class looks like in one auxiliary modality of one picture."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.prompts.grouping.settings import GroupingSettings


class Grouped(NamedTuple):
    """One picture's tokens, grouped.

    Attributes
    ----------
    prompts : torch.Tensor
        ``(b, C, r)``, one per class.
    shares : torch.Tensor
        ``(b, n, C)``: which class each token belongs to.
    """

    prompts: torch.Tensor
    shares: torch.Tensor


class ClassPrompter(nn.Module):
    """Class tokens and a modality's tokens attend to each other; then each token joins a class.

    Parameters
    ----------
    width : int
        Channels of the tokens.
    start : torch.Tensor
        ``(C, r)``: what the class tokens begin with, the classes' words.
    settings : GroupingSettings

    Notes
    -----
    The uni-modal prompter of GoPT (He, AAAI 2024), its grouping as in GroupViT (Xu et al., CVPR 2022):
    ``A_ij = softmax_j((W_q c_j) . (W_k f_i) + g_ij)``, ``A' = onehot(argmax_j A) + A - sg(A)``,
    ``P_j = c_j + W_o (sum_i A'_ij W_v f_i) / (sum_i A'_ij)``. The Gumbel noise g is drawn in training only.
    """

    def __init__(self, width: int, start: torch.Tensor, settings: GroupingSettings) -> None:
        super().__init__()
        rank = int(start.shape[1])
        self.settings = settings
        self.tokens = nn.Parameter(start.clone())
        self.down = nn.Linear(width, rank)
        self.attend = nn.Linear(rank, 3 * rank, bias=False)
        self.mix = nn.Linear(rank, rank, bias=False)
        self.query = nn.Linear(rank, rank, bias=False)
        self.key = nn.Linear(rank, rank, bias=False)
        self.value = nn.Linear(rank, rank, bias=False)
        self.out = nn.Linear(rank, rank, bias=False)

    def forward(self, tokens: torch.Tensor, generator: torch.Generator | None = None) -> Grouped:
        """Group ``(b, n, width)`` tokens; with a generator the grouping is noisy, as in training."""
        n_classes, rank = self.tokens.shape
        f = self.down(functional.layer_norm(tokens, tokens.shape[-1:]))
        both = torch.cat([self.tokens.expand(len(f), -1, -1), f], dim=1)
        q, k, v = self.attend(functional.layer_norm(both, (rank,))).chunk(3, dim=-1)
        both = both + self.mix(functional.scaled_dot_product_attention(q, k, v))
        c, f = both[:, :n_classes], both[:, n_classes:]
        shares = self._shares(c, f, generator)
        total = shares.sum(dim=1)[..., None]
        # a class that no token joined keeps what its words say
        gathered = shares.transpose(1, 2) @ self.value(f) / total.clamp_min(1e-3)
        return Grouped(c + self.out(gathered), shares)

    def _shares(self, c: torch.Tensor, f: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        """``(b, n, C)``."""
        unit_c, unit_f = (functional.layer_norm(x, x.shape[-1:]) for x in (c, f))
        logits = self.key(unit_f) @ self.query(unit_c).transpose(1, 2) / math.sqrt(c.shape[-1])
        logits = logits / self.settings.temperature
        if generator is not None:
            noise = torch.rand(logits.shape, generator=generator).to(logits).clamp(1e-6, 1 - 1e-6)
            logits = logits - (-noise.log()).log()
        soft: torch.Tensor = logits.softmax(dim=-1)
        if not self.settings.hard:
            return soft
        one = functional.one_hot(soft.argmax(dim=-1), soft.shape[-1]).to(soft)
        return one + soft - soft.detach()
