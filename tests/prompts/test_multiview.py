"""Multi-view prompts: shapes, gradients and how what was learned changes the scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.multiview import (
    apply_learned,
    learned_background,
    learned_scores,
    mean_correlation,
    presence,
    view_maps,
)
from napari_promptseg.prompts.prompt_set import PromptSet


def picture(fingerprint: str = "f") -> DenseFeatures:
    semantic = torch.nn.functional.normalize(torch.randn(5, 6, 8, generator=torch.Generator().manual_seed(1)), dim=-1)
    return DenseFeatures(semantic, torch.zeros(5, 6, 2), semantic[0, 0], (50, 60), fingerprint)


def tuned() -> PromptSet:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    learned = LearnedPrompts("f", "tiny", {0: rows[1:], 1: rows[1:]}, {1: rows[0]}, scale=1.5, gamma=50.0, tau=0.1)
    return replace(PromptSet.from_text("cat, dog"), learned=learned)


def test_presence_is_the_formula_and_grows_with_the_best_pixels() -> None:
    maps = torch.zeros(2, 3, 3)
    maps[1, 1, 1] = 1.0
    weak, strong = presence(maps, 50.0, 0.1).tolist()
    assert weak == pytest.approx(0.5)
    assert strong == pytest.approx(1 / (1 + np.exp(-10)), rel=1e-4)


def test_only_tuned_classes_change() -> None:
    prompts = tuned()
    words = [torch.randn(2, 8), torch.randn(1, 8)]
    cat, dog = apply_learned(prompts, words)
    assert cat.shape == (1, 8)
    assert torch.equal(dog, words[1])
    assert learned_background(prompts, torch.zeros(4, 8)).shape == (5, 8)
    plain = replace(prompts, learned=None)
    assert apply_learned(plain, words) is words


def test_the_mean_vector_scores_as_the_sum_of_the_views() -> None:
    prompts, features = tuned(), picture()
    assert prompts.learned is not None
    maps = view_maps(prompts, 1, features)
    fused = features.semantic.numpy() @ prompts.learned.vector(1)
    assert maps.shape == (4, 5, 6)
    np.testing.assert_allclose(maps[1:].mean(axis=0), fused, atol=1e-6)


def test_scale_and_presence_of_one_picture() -> None:
    found = learned_scores(tuned(), picture())
    assert found is not None
    assert found.scale == 1.5
    assert found.offsets[0] < 0
    assert found.offsets[1] == 0
    assert learned_scores(PromptSet.from_text("cat"), picture()) is None


def test_presence_does_not_depend_on_the_length_of_features() -> None:
    once = picture()
    long = DenseFeatures(12 * once.semantic, once.detail, once.pooled, once.image_shape, once.fingerprint)
    a, b = learned_scores(tuned(), once), learned_scores(tuned(), long)
    assert a is not None
    assert b is not None
    assert torch.allclose(a.offsets, b.offsets, atol=1e-5)


def test_features_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="tuned with the model 'tiny'"):
        learned_scores(tuned(), picture("other"))


def test_a_class_without_views_says_so() -> None:
    with pytest.raises(InputError, match="'dog' has no learned views"):
        view_maps(tuned(), 2, picture())


def test_mean_correlation() -> None:
    a = np.random.default_rng(0).normal(size=(1, 9, 9)).astype(np.float32)
    assert mean_correlation(np.concatenate([a, 2 * a + 1])) == pytest.approx(1)
    assert mean_correlation(np.concatenate([a, -a])) == pytest.approx(-1)
