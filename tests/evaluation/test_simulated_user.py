from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.simulated_user import SimulatedUser, depth


def truth() -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    mask[10:40, 20:50] = 1
    mask[45:55, 60:75] = 2
    mask[:, -3:] = 255
    return mask


def test_round_one_gives_every_class_its_points_towards_centres() -> None:
    mask = truth()
    strokes = SimulatedUser(mask, 1).points()
    assert [s.value for s in strokes] == [0, 1, 2]
    for s in strokes:
        assert s.size == 20
        assert (mask[s.pixels] == s.value).all()
    inside = depth(mask == 1)
    assert inside[strokes[1].pixels].mean() > 1.2 * inside[mask == 1].mean()


def test_later_rounds_go_where_the_prediction_is_wrong_and_never_twice() -> None:
    mask = truth()
    user = SimulatedUser(mask, 1)
    seen = {tuple(p) for s in user.points() for p in zip(*s.pixels, strict=True)}
    prediction = np.where(mask == 1, 1, 0)
    prediction[10:20, 20:50] = 0
    for s in user.points(prediction):
        pixels = set(zip(*s.pixels, strict=True))
        assert not pixels & seen
        if s.value == 1:
            assert (s.pixels[0] < 20).all()
        if s.value == 0:
            assert (mask[s.pixels] == 0).all(), "without errors of a class its own region is confirmed"


def test_same_seed_same_points_and_small_classes_give_what_they_have() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[5, 5:8] = 1
    one, two = SimulatedUser(mask, 4).points(), SimulatedUser(mask, 4).points()
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, two, strict=True))
    assert [s.size for s in one] == [20, 3]


def test_click_hits_the_centre_of_the_deepest_error() -> None:
    mask = truth()
    user = SimulatedUser(mask)
    click = user.click(np.zeros_like(mask))
    assert click is not None
    (row,), (column,) = click.pixels
    assert click.value == 1
    assert abs(row - 24.5) <= 1
    assert abs(column - 34.5) <= 1
    assert SimulatedUser(mask).click(np.where(mask == 255, 0, mask)) is None


def test_scribble_is_a_connected_line_inside_the_largest_error() -> None:
    mask = truth()
    stroke = SimulatedUser(mask, 2).scribble(np.zeros_like(mask))
    assert stroke is not None
    assert stroke.value == 1
    assert (mask[stroke.pixels] == 1).all()
    order = np.stack(stroke.pixels, 1)
    gaps = np.abs(order[:, None] - order[None]).max(-1)
    np.fill_diagonal(gaps, 99)
    assert len(order) == 1 or (gaps.min(1) <= 1).all()
    assert SimulatedUser(mask).scribble(np.where(mask == 255, 0, mask)) is None


def test_volume_is_refused() -> None:
    with pytest.raises(InputError, match="one plane"):
        SimulatedUser(np.zeros((2, 3, 4), np.uint8))
