"""Live learning's weights among learned prompts: layers, files, edges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_promptseg import InputError, PromptSet, Segmenter
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.segmentation.learned_heads import LIVE
from napari_promptseg.segmentation.linear_head import LinearHead
from napari_promptseg.segmentation.live_heads import live_heads, narrowed, with_live_head, without_live
from napari_promptseg.segmentation.settings import SegmentationSettings

PROMPTS = PromptSet.from_text("red, blue", background=("black",))


def head(
    encoder: Any, *, seed: int = 0, learned: tuple[bool, ...] = (True, True, False), **keywords: Any
) -> LinearHead:
    """Random weights for background, red and blue; 4 detail channels, 4 joint ones."""
    rng = torch.Generator().manual_seed(seed)
    flags = torch.tensor(learned)[:, None]
    weights, bias = torch.randn(3, 8, generator=rng) * flags, torch.randn(3, generator=rng) * flags[:, 0]
    facts = {"prior_weight": 1.0, "area_shift": 0.0, "fingerprint": encoder.fingerprint, **keywords}
    return LinearHead((0, 1, 2), weights, bias, learned, **facts)


def same(first: LinearHead, second: LinearHead) -> bool:
    facts = ("values", "learned", "prior_weight", "area_shift", "fingerprint")
    return (
        all(getattr(first, f) == getattr(second, f) for f in facts)
        and torch.equal(first.weights, second.weights)
        and torch.equal(first.bias, second.bias)
    )


def test_layers_come_back_as_they_were_put_from_a_file_too(encoder: Any, tmp_path: Any) -> None:
    lower = head(encoder, area_shift=0.25)
    upper = head(encoder, seed=1, learned=(True, False, True), prior_weight=0.5)
    made = with_live_head(with_live_head(PROMPTS, lower, encoder.name), upper, encoder.name)
    path = save_prompts(tmp_path / "layers", SavedPrompts(made, encoder.name, encoder.fingerprint))
    for prompts in (made, load_prompts(path).prompts):
        found = live_heads(prompts)
        assert len(found) == 2
        assert same(found[0], lower)
        assert same(found[1], upper)
    assert live_heads(without_live(made)) == ()
    assert without_live(PROMPTS) is PROMPTS


def test_a_layer_adds_to_what_the_one_below_it_says(encoder: Any, quarters: np.ndarray, stack_of: Any) -> None:
    segmenter = Segmenter(encoder)
    features = segmenter.set_image(stack_of(quarters))
    first, second = head(encoder), head(encoder, seed=1)
    one = with_live_head(PROMPTS, first, encoder.name)
    words = segmenter.coarse_probabilities(PROMPTS).clamp_min(1e-4).log()
    by_hand = torch.softmax(first.logits(features, words), dim=0)
    assert torch.allclose(segmenter.coarse_probabilities(one), by_hand, atol=1e-6)
    both = with_live_head(one, second, encoder.name)
    by_hand = torch.softmax(second.logits(features, by_hand.clamp_min(1e-4).log()), dim=0)
    assert torch.allclose(segmenter.coarse_probabilities(both), by_hand, atol=1e-6)
    assert torch.equal(segmenter.coarse_probabilities(without_live(both)), segmenter.coarse_probabilities(PROMPTS))


def test_an_unknown_name_under_weights_of_other_classes_is_capped_once(
    encoder: Any, quarters: np.ndarray, stack_of: Any
) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    prompts = PromptSet.from_text("red, gizmo", background=("black",))
    nothing = replace(head(encoder), weights=torch.zeros(3, 8), bias=torch.zeros(3))
    made = with_live_head(prompts, nothing, encoder.name)
    assert torch.allclose(segmenter.coarse_probabilities(made), segmenter.coarse_probabilities(prompts), atol=2e-4)
    assert segmenter.known(made) == ["known", "unknown"]


def test_weights_of_the_first_kind_are_still_read(encoder: Any) -> None:
    rows = {f"{LIVE}/class/{v}": np.arange(9, dtype=np.float32) + v for v in (0, 2)}
    facts = {LIVE: {"version": 1, "prior_weight": 0.5, "area_shift": 0.1}}
    learned = LearnedPrompts(encoder.fingerprint, encoder.name, tensors=rows, facts=facts)
    (found,) = live_heads(replace(PROMPTS, learned=learned))
    assert found.learned == (True, False, True)
    assert (found.prior_weight, found.area_shift) == (0.5, 0.1)
    assert torch.equal(found.weights[2], torch.arange(8) + 2.0)
    assert float(found.bias[2]) == 10


@pytest.mark.parametrize(
    "harm",
    [
        lambda facts, tensors: facts.update(version=3),
        lambda facts, tensors: facts.pop("layers"),
        lambda facts, tensors: facts["layers"].append(facts["layers"][0]),
        lambda facts, tensors: tensors.update({f"{LIVE}/class/1": tensors[f"{LIVE}/class/1"][:, 1:]}),
    ],
)
def test_damaged_weights_are_refused(encoder: Any, harm: Any) -> None:
    made = with_live_head(PROMPTS, head(encoder), encoder.name)
    facts = {**made.learned.facts[LIVE], "layers": list(made.learned.facts[LIVE]["layers"])}
    tensors = dict(made.learned.tensors)
    harm(facts, tensors)
    damaged = replace(made, learned=replace(made.learned, facts={LIVE: facts}, tensors=tensors))
    with pytest.raises(InputError, match="do not fit this release"):
        live_heads(damaged)


def test_weights_of_another_model_are_refused(encoder: Any) -> None:
    made = with_live_head(PROMPTS, head(encoder), encoder.name)
    with pytest.raises(InputError, match="another model"):
        with_live_head(made, replace(head(encoder), fingerprint="another"), "another")


def test_edges_are_narrowed_where_strokes_asked_for_it_only(encoder: Any) -> None:
    settings = SegmentationSettings()
    plain, own = (with_live_head(PROMPTS, head(encoder), encoder.name, edges=e) for e in (False, True))
    for prompts in (PROMPTS, plain):
        assert narrowed(settings, prompts, whole=True) is settings
    assert narrowed(settings, own, whole=True).guided_side > settings.guided_side
    assert narrowed(settings, own, whole=False).refinement == "none"
    chosen = replace(settings, refinement="pamr")
    assert narrowed(chosen, own, whole=True) is chosen
