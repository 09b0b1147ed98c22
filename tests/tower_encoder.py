"""The pixel encoder with a text tower that takes learned tokens: tuning on it takes a moment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pixel_encoder import PixelEncoder
from torch.nn import functional

from napari_promptseg.encoders.text import SLOT

WIDTH = 12


class SmallTower:
    """Mean over token embeddings, then a frozen linear layer; words have fixed random embeddings."""

    slot_width = WIDTH

    def __init__(self) -> None:
        self.weight = torch.randn(WIDTH, PixelEncoder.embedding_dim, generator=torch.Generator().manual_seed(0))

    def token_vectors(self, word: str) -> torch.Tensor:
        return torch.stack([self._word(w) for w in word.split()])

    def encode_with_slots(self, texts: Sequence[str], slots: torch.Tensor | None) -> torch.Tensor:
        rows = []
        for i, text in enumerate(texts):
            tokens = torch.stack([self._word(w) for w in text.replace(SLOT, " ").split()])
            own = slots[i] if slots is not None else torch.zeros(0, WIDTH)
            rows.append(torch.tanh(torch.cat([tokens, own])).mean(dim=0))
        return functional.normalize(torch.stack(rows) @ self.weight, dim=-1)

    @staticmethod
    def _word(word: str) -> torch.Tensor:
        return torch.randn(WIDTH, generator=torch.Generator().manual_seed(sum(word.encode())))


class TowerEncoder(PixelEncoder):
    """As `PixelEncoder`, and can be tuned."""

    def __init__(self) -> None:
        self.text_tower = SmallTower()
