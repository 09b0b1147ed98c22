"""A small encoder that sees colours and reads their names, so that every answer can be worked out by hand."""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.prompt_set import PromptSet

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}


class ColourEncoder:
    """Features are the mean colour of cells of `cell` pixels; a text means the colour it names.

    Moving the picture by whole cells moves its features: nothing looks beyond its cell.
    """

    name = "colours"
    device = torch.device("cpu")
    embedding_dim = 4
    logit_bias = 0.0

    def __init__(self, *, cell: int = 8, scale: float = 20.0, sigmoid: bool = False, shift: float = 0.0) -> None:
        self.cell, self.logit_scale, self.sigmoid, self.logit_bias = cell, scale, sigmoid, shift
        self.fingerprint = f"colours-{cell}-{scale}-{sigmoid}-{shift}"
        self.encoded: list[tuple[int, ...]] = []

    @staticmethod
    def vectors(colours: Any) -> torch.Tensor:
        rgb = torch.as_tensor(np.asarray(colours), dtype=torch.float32) / 255
        return F.normalize(torch.cat([rgb, torch.full_like(rgb[..., :1], 0.3)], dim=-1), dim=-1)

    def encode_plane(self, picture: Any, *, quality: str = "fast", progress: Any = None) -> DenseFeatures:
        if progress is not None:
            progress(0, 1, "encoding")
        self.encoded.append(picture.shape)
        shape = picture.shape[:2]
        cells = (-(-shape[0] // self.cell), -(-shape[1] // self.cell))
        pixels = torch.as_tensor(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        semantic = self.vectors(F.adaptive_avg_pool2d(pixels, cells)[0].permute(1, 2, 0).numpy())
        return DenseFeatures(semantic, semantic.clone(), semantic.mean((0, 1)), shape, self.fingerprint)

    def encode_texts(self, texts: Any) -> torch.Tensor:
        return torch.stack([self._meaning(t) for t in texts]) if len(texts) else torch.zeros(0, 4)

    def _meaning(self, text: str) -> torch.Tensor:
        for word in re.findall(r"[a-z]+", text.lower()):
            if word in COLOURS:
                return self.vectors(COLOURS[word])
        # any other word means something that no colour shows
        seed = torch.Generator().manual_seed(zlib.crc32(b"other"))
        return F.normalize(-torch.rand(4, generator=seed), dim=-1)

    def familiarity(self, names: Any) -> list[tuple[str, tuple[str, ...]]]:
        return [("known", (n,)) if n in COLOURS else ("unknown", ("red",)) for n in names]

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "fingerprint": self.fingerprint}


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def quarters() -> np.ndarray:
    """128 x 192 pixels: red and green above, blue and black below."""
    picture = np.zeros((128, 192, 3), np.uint8)
    picture[:64, :96], picture[:64, 96:], picture[64:, :96] = COLOURS["red"], COLOURS["green"], COLOURS["blue"]
    return picture


@pytest.fixture
def asked() -> PromptSet:
    return PromptSet.from_text("red, green, blue", background=("black",))


@pytest.fixture
def stack_of() -> Any:
    def make(picture: Any, **keywords: Any) -> ImageStack:
        return ImageStack.from_array(picture, **keywords)

    return make
