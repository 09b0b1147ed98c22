"""The formulas of the dense modes, against plain computations of them."""

from __future__ import annotations

import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.encoders.dense import (
    DENSE_MODES,
    check_mode,
    dense_tokens,
    local_outliers,
    neighbour_weights,
    repaired,
)
from napari_promptseg.encoders.families import wrap_tower
from napari_promptseg.errors import InputError

GRID = (3, 4)


@pytest.fixture(scope="module")
def block():
    return wrap_tower(tiny_models.native_vit().visual).last_block


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randn(2, 13, 64, generator=torch.Generator().manual_seed(1))


def plain(block, tokens: torch.Tensor, weights) -> torch.Tensor:
    """``out(A v)`` head by head, with A from ``weights(q, k)``."""
    q, k, v = block.project(tokens)
    return block.output(weights(q * q.shape[-1] ** -0.5, k * q.shape[-1] ** -0.5, q, k) @ v)


def test_maskclip_is_the_value_path(block, tokens) -> None:
    expected = plain(block, tokens, lambda qs, ks, q, k: torch.eye(13))[:, 1:]
    torch.testing.assert_close(dense_tokens(block, tokens, "maskclip", GRID, 1), expected)


def test_clearclip_compares_queries(block, tokens) -> None:
    expected = plain(block, tokens, lambda qs, ks, q, k: (qs @ q.transpose(2, 3)).softmax(-1))[:, 1:]
    torch.testing.assert_close(dense_tokens(block, tokens, "clearclip", GRID, 1), expected)


def test_naclip_compares_keys_and_prefers_neighbours(block, tokens) -> None:
    w = torch.zeros(13, 13)
    for i in range(12):
        for j in range(12):
            distance = (i // 4 - j // 4) ** 2 + (i % 4 - j % 4) ** 2
            w[1 + i, 1 + j] = torch.exp(torch.tensor(-distance / 50.0))
    expected = plain(block, tokens, lambda qs, ks, q, k: (ks @ k.transpose(2, 3) + w).softmax(-1))[:, 1:]
    torch.testing.assert_close(neighbour_weights(GRID, 1), w)
    torch.testing.assert_close(dense_tokens(block, tokens, "naclip", GRID, 1), expected)


def test_scclip_mixes_keys_with_the_similarity_above_its_mean(block, tokens) -> None:
    similar = torch.randn(2, 12, 64, generator=torch.Generator().manual_seed(2))
    result = dense_tokens(block, tokens, "scclip", GRID, 1, similar)
    for i in range(2):
        outliers = local_outliers(tokens[i, 1:])[None]
        patches = repaired(tokens[i : i + 1, 1:], outliers, GRID)
        guide = repaired(similar[i : i + 1], outliers, GRID)[0]
        cosines = torch.nn.functional.cosine_similarity(guide[:, None], guide[None], dim=-1)
        sharp = 3 * (cosines - cosines.mean())
        affinity = torch.where(sharp < 0, -torch.inf, sharp).softmax(-1)
        mixed = plain(block, patches, lambda qs, ks, q, k, a=affinity: (a + (ks @ k.transpose(2, 3)).softmax(-1)) / 2)
        torch.testing.assert_close(result[i], mixed[0] + 0.3 * tokens[i, :1], rtol=1e-4, atol=1e-5)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_every_mode_is_finite_on_every_grid(h: int, w: int, prefix: int) -> None:
    block = wrap_tower(tiny_models.native_vit().visual).last_block
    tokens = torch.randn(1, prefix + h * w, 64)
    for mode in DENSE_MODES:
        result = dense_tokens(block, tokens, mode, (h, w), prefix)
        assert result.shape == (1, h * w, 64)
        assert torch.isfinite(result).all()


def test_an_outlier_is_found_and_replaced_by_its_neighbours() -> None:
    tokens = torch.randn(100, 16, generator=torch.Generator().manual_seed(0)) * 0.1
    tokens[44] += 20
    outliers = local_outliers(tokens)
    assert outliers[44]
    assert int(outliers.sum()) <= 5
    only = torch.zeros(1, 100, dtype=torch.bool)
    only[0, 44] = True
    fixed = repaired(tokens[None], only, (10, 10))[0]
    around = [33, 34, 35, 43, 45, 53, 54, 55]
    torch.testing.assert_close(fixed[44], tokens[around].mean(dim=0))
    kept = torch.arange(100) != 44
    torch.testing.assert_close(fixed[kept], tokens[kept])


def test_equal_tokens_have_no_outliers() -> None:
    assert not local_outliers(torch.ones(50, 8)).any()
    assert not local_outliers(torch.ones(2, 8)).any()


def test_an_outlier_without_sound_neighbours_stays() -> None:
    tokens = torch.randn(1, 4, 8)
    torch.testing.assert_close(repaired(tokens, torch.ones(1, 4, dtype=torch.bool), (2, 2)), tokens)


def test_an_unknown_mode_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match=r"'magic'.*vanilla"):
        check_mode("magic", ("vanilla",), "a CNN")
