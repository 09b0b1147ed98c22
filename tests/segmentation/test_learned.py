"""Tuned prompts in the segmenter: vectors, temperature, presence, and whose model they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_promptseg import InputError, PromptSet, Segmenter
from napari_promptseg.prompts.learned import LearnedPrompts


def learned(encoder: Any, colour: tuple[int, int, int], **keywords: Any) -> LearnedPrompts:
    vector = encoder.vectors(colour).numpy()
    return LearnedPrompts(encoder.fingerprint, encoder.name, {1: np.stack([vector, vector])}, **keywords)


def test_a_tuned_class_is_scored_by_what_was_learned(encoder: Any, quarters: np.ndarray, stack_of: Any) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    prompts = PromptSet.from_text("gizmo, blue", background=("black",))
    assert not (segmenter.segment(prompts).labels == 1).any()
    tuned = segmenter.segment(replace(prompts, learned=learned(encoder, (255, 0, 0))))
    assert (tuned.labels[4:60, 4:92] == 1).all()
    assert (tuned.labels[68:124, 4:92] == 2).all()


def test_presence_of_a_class_lowers_its_probability_only(encoder: Any, quarters: np.ndarray, stack_of: Any) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    prompts = PromptSet.from_text("red, blue", background=("black",))
    plain = replace(prompts, learned=learned(encoder, (255, 0, 0)))
    absent = {1: -encoder.vectors((255, 0, 0)).numpy()}
    doubted = replace(prompts, learned=learned(encoder, (255, 0, 0), global_views=absent, gamma=1.0, tau=0.1))
    before, after = segmenter.coarse_probabilities(plain), segmenter.coarse_probabilities(doubted)
    assert (after[1] < before[1]).all()
    assert (after[2] >= before[2]).all()


def test_a_learned_temperature_sharpens(encoder: Any, quarters: np.ndarray, stack_of: Any) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    prompts = PromptSet.from_text("red, blue", background=("black",))
    soft = segmenter.coarse_probabilities(replace(prompts, learned=learned(encoder, (255, 0, 0), scale=0.2)))
    sharp = segmenter.coarse_probabilities(replace(prompts, learned=learned(encoder, (255, 0, 0), scale=2.0)))
    assert sharp.amax(0).min() > soft.amax(0).min()


def test_prompts_of_another_model_are_refused(encoder: Any, quarters: np.ndarray, stack_of: Any) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    foreign = LearnedPrompts("another print", "another model", {1: encoder.vectors((255, 0, 0)).numpy()[None]})
    with pytest.raises(InputError, match="another model"):
        segmenter.segment(replace(PromptSet.from_text("red"), learned=foreign))
