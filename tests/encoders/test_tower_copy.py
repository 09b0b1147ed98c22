"""A copy of a text tower on another device says the same, shares nothing and leaves the image tower behind."""

from __future__ import annotations

import pytest
import torch

from napari_promptseg.encoders.loading import load_encoder
from napari_promptseg.encoders.text import SLOT


@pytest.mark.parametrize("spec", ["embedded", "RN50/random"])
def test_a_copy_says_the_same_and_shares_nothing(spec):
    tower = load_encoder(spec, device="cpu").text_tower
    copy = tower.copied_to(torch.device("cpu"))
    slots = torch.randn(2, tower.slot_width, generator=torch.Generator().manual_seed(0)) * 0.02
    texts = [f"{SLOT}{SLOT} cat", f"a photo of a {SLOT}{SLOT} dog"]
    assert torch.equal(copy.encode_with_slots(texts, slots), tower.encode_with_slots(texts, slots))
    inner, original = getattr(copy, "_tower", copy), getattr(tower, "_tower", tower)
    if spec != "embedded":
        inner, original = copy, tower
    mine = {t.data_ptr() for t in inner._model.parameters()}
    assert mine
    assert mine.isdisjoint(t.data_ptr() for t in original._model.parameters())
    assert not list(inner._model.visual.parameters())
    assert list(original._model.visual.parameters())
    assert not any(t.requires_grad for t in inner._model.parameters())
