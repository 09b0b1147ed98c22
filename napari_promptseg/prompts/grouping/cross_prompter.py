"""The alignment-induced cross-modal prompter: grouped classes of another modality brought to a token's own place."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


class CrossPrompter(nn.Module):
    """Tokens of the first modality ask the prompts of another one what they might be.

    Parameters
    ----------
    width : int
        Channels of the tokens.
    rank : int
        Length of the prompts.
    attention : bool
        Without, each token takes what stands in its place: `ClassPrompter` alone.
    aligned : bool
        Attention is told what stands in a token's place.

    Notes
    -----
    ``H_i = softmax((W_q f_i)(W_k P)^T / sqrt(r) + a S_i) W_v P``, then a linear layer and a gate, after GoPT (He, AAAI
    2024). The modalities are aligned: S_i says which class the other modality's token in the same place was grouped
    into, and ``a`` how far that is trusted. The gate begins at zero, so that an untrained prompter changes nothing; it
    is in units of the tokens' own spread, which differs from stage to stage.
    """

    def __init__(self, width: int, rank: int, *, attention: bool = True, aligned: bool = True) -> None:
        super().__init__()
        self.attention = attention
        if attention:
            self.query = nn.Linear(width, rank, bias=False)
            self.key = nn.Linear(rank, rank, bias=False)
            if aligned:
                self.trust = nn.Parameter(torch.full((1,), 2.0))
        self.value = nn.Linear(rank, rank, bias=False)
        self.out = nn.Linear(rank, width, bias=False)
        self.gate = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: torch.Tensor, prompts: torch.Tensor, place: torch.Tensor | None) -> torch.Tensor:
        """What is added to the tokens.

        Parameters
        ----------
        tokens : torch.Tensor
            ``(b, n, width)`` of the first modality.
        prompts : torch.Tensor
            ``(b, m, rank)``.
        place : torch.Tensor, optional
            ``(b, n, m)``: how far each prompt is what stands in the token's place in the other modality; needed
            without attention.
        """
        values = self.value(functional.layer_norm(prompts, prompts.shape[-1:]))
        if self.attention:
            q = self.query(functional.layer_norm(tokens, tokens.shape[-1:]))
            k = self.key(functional.layer_norm(prompts, prompts.shape[-1:]))
            logits = q @ k.transpose(1, 2) / math.sqrt(k.shape[-1])
            if place is not None:
                logits = logits + self.trust * place
            found = logits.softmax(dim=-1) @ values
        else:
            if place is None:
                raise ValueError("a prompter without attention needs to know what stands where")
            found = place @ values
        spread = tokens.detach().std(dim=(1, 2), keepdim=True)
        added: torch.Tensor = spread * self.gate * self.out(found)
        return added
