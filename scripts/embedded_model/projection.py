"""The image tower's own projection, which `encode_image` of a whole picture needs; dense features do not use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.aligned_trunk import STRIDE, DilatedTrunk, input_size, resized
from scripts.embedded_model.samples import AREA

#: Side and steps of the windows over a picture's cells.
_SIDE = 14
_STARTS = (0, 7, 14)


@torch.no_grad()
def pieces(data: Path, trunk: DilatedTrunk) -> torch.Tensor:
    """Top features of overlapping windows of the COCO photographs, averaged: ``(9 * pictures, 1280)``."""
    rows = []
    for file in sorted((data / "coco128_seg" / "images").iterdir()):
        picture = np.asarray(Image.open(file).convert("RGB"))
        size = input_size(picture.shape[:2], AREA)
        top = trunk.levels(resized(picture, size, torch.device("cpu")))[-1]
        values = top.on_grid((size[0] // STRIDE, size[1] // STRIDE), size).half().float()
        rows += [values[:, i : i + _SIDE, j : j + _SIDE].mean((1, 2)) for i in _STARTS for j in _STARTS]
    return torch.stack(rows)


def distilled(
    tops: torch.Tensor, classifier: torch.Tensor, bias: torch.Tensor, names: torch.Tensor, *, steps: int = 400
) -> nn.Sequential:
    """Pooled features to ConSE's embedding, learned from mixed pieces of pictures.

    Parameters
    ----------
    tops : torch.Tensor
        ``(n, 1280)``.
    classifier, bias : torch.Tensor
        ImageNet's ``(1000, 1280)`` and ``(1000,)``.
    names : torch.Tensor
        Embeddings of ImageNet's names ``(1000, 384)``.
    steps : int
        Of 256 pieces each.
    """
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(1280, 768), nn.GELU(), nn.Linear(768, 384, bias=False))
    optimiser = torch.optim.AdamW(mlp.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(steps):
        one = torch.randint(len(tops), (256,))
        share = torch.rand(256, 1)
        other = torch.randint(len(tops), (256,))
        x = share * tops[one] + (1 - share) * tops[other]
        wanted = functional.normalize((x @ classifier.T + bias).softmax(-1) @ names, dim=-1)
        loss = 1 - (functional.normalize(mlp(x), dim=-1) * wanted).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return mlp
