from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.validation import Verdict, judge, split


def squares(n: int) -> Corrections:
    return Corrections(
        tuple(
            Stroke.from_mask(np.ones((2, 2), bool), v, offset=(4 * k, 10 * v), id=f"{v}-{k}")
            for k in range(n)
            for v in (0, 1)
        )
    )


def always(value: int):
    return lambda plane, rows, columns: np.full(rows.shape, value)


def truth(plane: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return (columns >= 10).astype(np.int64)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_split_parts_strokes_and_leaves_every_class_on_both_sides(n: int) -> None:
    corrections = squares(n)
    learn, held = split(corrections, seed=3)
    assert sorted(s.id for s in (*learn, *held)) == sorted(s.id for s in corrections)
    assert learn.values == held.values == (0, 1)
    assert [s.id for s in split(corrections, seed=3)[1]] == [s.id for s in held]


def test_a_class_with_one_stroke_keeps_it_and_points_are_divided() -> None:
    learn, held = split(squares(1))
    assert len(learn) == 2
    assert len(held) == 0
    points = Corrections((Stroke.from_pixels(range(20), [1] * 20, 1, kind="point"),))
    learn, held = split(points)
    pixels = [set(zip(*s.pixels, strict=True)) for s in (*learn, *held)]
    assert len(pixels) == 2
    assert not pixels[0] & pixels[1]
    assert len(pixels[0] | pixels[1]) == 20


def test_worse_is_not_kept_and_said_so() -> None:
    held = squares(3)
    worse = judge(truth, always(1), held, (64, 64))
    assert not worse.kept
    assert worse.before == 1.0
    assert worse.sentence == "held-out Dice 1.00 → 0.33 from 6 strokes, not kept"
    better = judge(always(0), truth, held, (64, 64))
    assert better.kept
    assert better.sentence.endswith("1.00 from 6 strokes, kept")
    nothing = judge(truth, always(1), Corrections(), (64, 64))
    assert nothing == Verdict(None, None, 0)
    assert "too few strokes" in nothing.sentence


def test_a_large_stroke_counts_as_much_as_a_small_one() -> None:
    large = Stroke.from_mask(np.ones((10, 30), bool), 1, offset=(0, 0))
    small = Stroke.from_mask(np.ones((1, 1), bool), 1, offset=(20, 20))
    other = Stroke.from_mask(np.ones((2, 2), bool), 0, offset=(40, 0))
    verdict = judge(
        lambda plane, rows, columns: np.where(rows < 15, 1, 0), truth, Corrections((large, small, other)), (64, 64)
    )
    assert verdict.before is not None
    # Half of class 1 is missed, and lands on class 0: 2*.5/1.5 and 2*1/2.5.
    assert verdict.before == pytest.approx((2 * 0.5 / 1.5 + 2 * 1 / 2.5) / 2)
