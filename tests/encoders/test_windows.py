"""Grids, windows, positions and devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_promptseg.encoders.device import choose_device, is_out_of_memory
from napari_promptseg.encoders.fingerprint import fingerprint
from napari_promptseg.encoders.positions import resample_positions
from napari_promptseg.encoders.windows import grid_by_area, grid_by_short_side, resized, windows
from napari_promptseg.errors import InputError

sides = st.integers(1, 9000)


@given(sides, sides, st.integers(1, 2000))
def test_a_grid_has_the_pictures_aspect_and_about_the_area_asked_for(y: int, x: int, cells: int) -> None:
    h, w = grid_by_area((y, x), cells)
    assert h >= 1
    assert w >= 1
    exact = (cells * y / x) ** 0.5, (cells * x / y) ** 0.5
    assert abs(h - exact[0]) <= 0.5 or h == 1
    assert abs(w - exact[1]) <= 0.5 or w == 1


@given(sides, sides, st.integers(1, 60), st.integers(60, 5000))
def test_a_grid_by_its_short_side_is_bounded(y: int, x: int, short: int, most: int) -> None:
    h, w = grid_by_short_side((y, x), short, most)
    assert min(h, w) <= short
    assert h * w <= 1.3 * most + max(h, w) + short * short
    if y * x * (short / min(y, x)) ** 2 <= most:
        assert min(h, w) == short


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_windows_cover_a_grid_exactly_and_overlap(h: int, w: int, height: int, width: int) -> None:
    count = np.zeros((h, w), int)
    for part in windows((h, w), (height, width)):
        assert (part.height, part.width) == (min(height, h), min(width, w))
        count[part.row : part.row + part.height, part.column : part.column + part.width] += 1
        assert part.row + part.height <= h
        assert part.column + part.width <= w
    assert count.min() >= 1


def test_resizing_keeps_the_range_and_the_place() -> None:
    picture = torch.zeros(1, 3, 40, 60)
    picture[..., 30:, 45:] = 1
    small = resized(picture, 8, 12)
    assert small.min() >= 0
    assert small.max() <= 1
    assert small[0, 0, 7, 11] > 0.9
    assert small[0, 0, 0, 0] < 0.1
    assert resized(picture, 40, 60) is picture


def test_positions_on_the_same_grid_stay_as_they_are() -> None:
    embedding = torch.randn(17, 8)
    assert resample_positions(embedding, (4, 4), (4, 4), 1) is embedding


@pytest.mark.parametrize("grid", [(4, 6), (9, 3), (1, 1), (2, 40)])
def test_positions_keep_their_class_token_and_vary_smoothly(grid: tuple[int, int]) -> None:
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    embedding = torch.cat([torch.full((1, 2), 9.0), torch.stack([rows, columns], dim=-1).reshape(-1, 2)])
    result = resample_positions(embedding, (5, 7), grid, 1)
    assert result.shape == (1 + grid[0] * grid[1], 2)
    torch.testing.assert_close(result[0], embedding[0])
    if grid[0] > 1:
        along = result[1:, 0].reshape(grid)[:, 0]
        assert (along.diff() > 0).all()
    torch.testing.assert_close(result[1:].mean(dim=0), torch.tensor([2.0, 3.0]), rtol=0, atol=0.05)


def test_positions_without_a_class_token() -> None:
    assert resample_positions(torch.randn(16, 8), (4, 4), (3, 5), 0).shape == (15, 8)


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cpu:x", "", "cuda0"):
        with pytest.raises(InputError, match="choose one of"):
            choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_an_absent_device_is_told() -> None:
    with pytest.raises(InputError, match="CUDA"):
        choose_device("cuda")


def test_full_memory_is_recognised() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_fingerprint_counts_names_values_shapes_and_settings() -> None:
    weights = {"a": torch.arange(6.0), "b": torch.ones(2)}
    base = fingerprint(weights, {"mode": "x"})
    assert base == fingerprint({"b": torch.ones(2), "a": torch.arange(6.0)}, {"mode": "x"})
    others = [
        fingerprint(weights, {"mode": "y"}),
        fingerprint({**weights, "a": torch.arange(6.0).reshape(2, 3)}, {"mode": "x"}),
        fingerprint({**weights, "a": torch.arange(1.0, 7.0)}, {"mode": "x"}),
        fingerprint({"c": weights["a"], "b": weights["b"]}, {"mode": "x"}),
        fingerprint({**weights, "n": torch.tensor(3)}, {"mode": "x"}),
    ]
    assert len({base, *others}) == 6
    assert fingerprint({"half": torch.ones(3, dtype=torch.bfloat16)}, {}) != fingerprint({}, {})
