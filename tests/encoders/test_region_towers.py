"""Regions through text towers of every kind: CLIP's, a BERT, SigLIP's; small ones with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import text_models

from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.regions import DrawnRegion, RegionSettings, learn_regions
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.pseudo_text import shipped_transform
from napari_promptseg.segmentation.segmenter import Segmenter

QUICK = RegionSettings(steps=6, distil_steps=6)


@pytest.mark.parametrize("kind", ["clip", "bert", "siglip"])
def test_each_kind_of_tower_learns(kind: str, tmp_path: Path) -> None:
    segmenter = Segmenter(text_models.encoder_of(kind, tmp_path))
    shown = np.zeros((64, 96, 3), np.uint8)
    shown[:, 48:] = np.random.default_rng(0).integers(0, 256, (64, 48, 3))
    mask = np.zeros((64, 96), bool)
    mask[:, 48:] = True
    features = segmenter.set_image(ImageStack.from_array(shown))
    result = learn_regions(segmenter, PromptSet.from_text("cell"), [DrawnRegion(features, mask, 1)], settings=QUICK)
    chance = segmenter.probabilities_of(features, result.candidates["pseudo-text"])
    half = chance.shape[-1] // 2
    assert chance[1, :, half + 1 :].mean() > 0.5 > chance[1, :, : half - 1].mean()
    assert result.drift["cell"] >= 0


def test_shipped_transform_is_the_embedded_models() -> None:
    encoder = load_encoder("embedded", device="cpu")
    made = shipped_transform(encoder.fingerprint)
    assert made is not None
    assert made.norm.weight.numel() == encoder.text_tower.slot_width
    assert made.first.in_features == 2 * encoder.embedding_dim
    assert shipped_transform("another model") is None
