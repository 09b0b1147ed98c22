"""An encoder that sees every pixel's colour and reads colour names: its masks can be worked out by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "background": (0, 0, 0),
}


class PixelEncoder:
    """One feature per pixel; a text means the first colour it names, or nothing that a picture shows."""

    name = "pixels"
    fingerprint = "pixel-encoder"
    device = torch.device("cpu")
    embedding_dim = 5
    logit_scale = 30.0
    logit_bias = 0.0
    sigmoid = False
    preferred_templates = ("{}",)

    def encode_plane(self, picture: Any, *, quality: str = "fast", progress: Any = None) -> DenseFeatures:
        if progress is not None:
            progress(0, 1, "encoding")
        semantic = self._vectors(np.asarray(picture))
        return DenseFeatures(semantic, semantic, semantic.mean((0, 1)), picture.shape[:2], self.fingerprint)

    def encode_texts(self, texts: Any) -> torch.Tensor:
        found = [next((w for w in re.findall(r"[a-z]+", t.lower()) if w in COLOURS), None) for t in texts]
        elsewhere = torch.eye(5)[4]
        rows = [elsewhere if w is None else self._vectors(np.array(COLOURS[w])) for w in found]
        return torch.stack(rows) if rows else torch.zeros(0, 5)

    def familiarity(self, names: Any) -> list[tuple[str, tuple[str, ...]]]:
        return [("known", (n,)) if n in COLOURS else ("unknown", ("red",)) for n in names]

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "fingerprint": self.fingerprint}

    @staticmethod
    def _vectors(rgb: Any) -> torch.Tensor:
        values = torch.as_tensor(rgb, dtype=torch.float32) / 255
        ends = torch.zeros(*values.shape[:-1], 2)
        ends[..., 0] = 0.3
        return F.normalize(torch.cat([values, ends], dim=-1), dim=-1)
