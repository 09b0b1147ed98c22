"""Towers run stage by stage give what they give at once, and a gradient only to what was added."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tiny_models
import torch

from napari_promptseg import load_encoder
from napari_promptseg.encoders.openclip import LoadedModel, OpenClipEncoder
from napari_promptseg.encoders.stages import checked_stages, run_stage, staged_tower
from napari_promptseg.encoders.torchvision_bridge import open_clip_module
from napari_promptseg.errors import InputError, ModelError

Picture = npt.NDArray[np.uint8]


def picture(height: int = 70, width: int = 90, seed: int = 0) -> Picture:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@cache
def transformer(name: str) -> OpenClipEncoder:
    tokenizer = open_clip_module().SimpleTokenizer(context_length=24)
    model = tiny_models.FAMILIES[name]()
    mode = "scclip" if name == "native" else None
    return OpenClipEncoder(LoadedModel(name, model, tokenizer), torch.device("cpu"), mode)


@cache
def embedded() -> Any:
    return load_encoder("embedded", device="cpu")


@pytest.mark.parametrize("name", tiny_models.TRANSFORMERS)
def test_a_transformer_without_a_hook_is_the_tower_itself(name: str) -> None:
    encoder = transformer(name)
    whole = encoder.encode_plane(picture())
    tower = staged_tower(encoder)
    for until in (0, 2):
        with torch.no_grad():
            found = tower.finish(tower.begin(picture(), until))
        torch.testing.assert_close(found.semantic, whole.semantic, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.detail, whole.detail, rtol=1e-5, atol=1e-5)


def test_the_embedded_tower_without_a_hook_is_the_tower_itself() -> None:
    shown = picture(60, 80)
    whole = embedded().encode_plane(shown)
    tower = staged_tower(embedded())
    with torch.no_grad():
        found = tower.finish(tower.begin(shown, 3), lambda stage, tokens, grid: torch.zeros_like(tokens))
    torch.testing.assert_close(found.semantic, whole.semantic, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.detail.half(), whole.detail)


@pytest.mark.parametrize("name", ["native", "siglip", "eva02", "embedded"])
def test_the_hook_sees_every_further_stage_and_gets_the_gradient(name: str) -> None:
    encoder = embedded() if name == "embedded" else transformer(name)
    tower = staged_tower(encoder)
    first = tower.default_stages[0]
    begun = tower.begin(picture(48, 48), first, (first,))
    seen: dict[int, tuple[int, ...]] = {}
    push = {s: torch.zeros(width, requires_grad=True) for s, width in enumerate(tower.widths)}

    def hook(stage: int, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        seen[stage] = (*tokens.shape, *grid)
        return push[stage].expand_as(tokens)

    gradients = []
    for checkpointed in (False, True):
        found = tower.finish(begun, hook, checkpointed=checkpointed)
        loss = found.semantic.square().sum() + (found.semantic[0, 0] * torch.arange(found.semantic.shape[-1])).sum()
        gradients.append(torch.autograd.grad(loss, [push[first], push[first + 1]]))
    assert all(float(g.abs().max()) > 0 for g in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert min(seen) == first
    assert all(n == h * w and c == tower.widths[s] for s, (_, n, c, h, w) in seen.items())
    assert tuple(begun.tokens[first].shape) == seen[first][:3]


def test_what_is_added_changes_the_features() -> None:
    tower = staged_tower(transformer("native"))
    begun = tower.begin(picture(), 1)
    plain = tower.finish(begun).semantic
    noise = torch.randn(1, plain.shape[0] * plain.shape[1], tower.widths[1], generator=torch.Generator().manual_seed(0))
    moved = tower.finish(begun, lambda stage, tokens, grid: noise if stage == 1 else None).semantic
    assert float((moved - plain).abs().max()) > 1e-3


def test_stages_that_are_not_there_are_refused() -> None:
    tower = staged_tower(transformer("native"))
    assert checked_stages(tower, None) == tower.default_stages
    assert checked_stages(tower, [2, 0, 0]) == (0, 2)
    for wrong in ([], [3], [-1]):
        with pytest.raises(InputError, match="from 0 to 2"):
            checked_stages(tower, wrong)


def test_a_tower_without_stages_says_so() -> None:
    with pytest.raises(ModelError, match="stage by stage"):
        staged_tower(transformer("resnet"))


def test_what_is_checkpointed_is_computed_again_on_the_way_back() -> None:
    seen: list[torch.Tensor] = []

    def stage(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.square()

    for checkpointed, times in ((False, 1), (True, 2)):
        seen.clear()
        x = torch.tensor([3.0], requires_grad=True)
        run_stage(stage, x, checkpointed).sum().backward()
        assert len(seen) == times
        assert x.grad is not None
        assert float(x.grad) == 6.0
