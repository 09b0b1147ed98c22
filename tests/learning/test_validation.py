"""One held-out verdict: strokes part cleanly, none decides alone, and only what is better is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.tuning_data import TuningSample, pixel_weights
from napari_promptseg.learning.validation import Outcome, Verdict, held_out_dice, hold_out
from napari_promptseg.prompts.prompt_set import PromptSet

SHAPE = (64, 64)
FEATURES = DenseFeatures(torch.zeros(2, 2, 3), torch.zeros(2, 2, 3), torch.zeros(3), SHAPE, "f")


def strokes(*sizes: tuple[int, int]) -> TuningSample:
    """Strokes of some ``(value, number of pixels)``."""
    values = np.concatenate([np.full(n, v) for v, n in sizes])
    owner = np.concatenate([np.full(n, i) for i, (_, n) in enumerate(sizes)])
    place = np.arange(len(values))
    return TuningSample(FEATURES, place // 64, place % 64, values, owner)


def labels(share: float) -> npt.NDArray[Any]:
    """Class 1 in the upper part of the plane, background below."""
    made = np.zeros(SHAPE, np.int64)
    made[: round(share * 64)] = 1
    return made


@pytest.mark.parametrize("n", [2, 5, 9])
def test_every_class_is_on_both_sides_and_no_stroke_is(n: int) -> None:
    sample = strokes(*[(v, 4) for _ in range(n) for v in (0, 1)])
    train, held, count = hold_out([sample], 0.25, 3)
    assert count == 2 * n
    assert not set(train[0].strokes) & set(held[0].strokes)
    assert len(train[0].rows) + len(held[0].rows) == len(sample.rows)
    assert set(train[0].values) == set(held[0].values) == {0, 1}
    assert np.array_equal(hold_out([sample], 0.25, 3)[1][0].strokes, held[0].strokes)


def test_a_class_with_one_stroke_keeps_it_for_learning() -> None:
    train, held, _ = hold_out([strokes((1, 4), (1, 4), (2, 4))], 0.25, 0)
    assert set(train[0].values) == {1, 2}
    assert set(held[0].values) == {1}
    with pytest.raises(InputError, match="at least two strokes"):
        hold_out([strokes((1, 4), (2, 4))], 0.25, 0)


def test_single_points_are_strokes_of_their_own() -> None:
    points = Stroke.from_pixels(range(20), [1] * 20, 1, kind="point")
    line = Stroke.from_pixels(range(20), [40] * 20, 0)
    sample = TuningSample.from_corrections(FEATURES, Corrections((points, line)))
    assert len(np.unique(sample.strokes[sample.values == 1])) == 20
    assert len(np.unique(sample.strokes[sample.values == 0])) == 1


def test_only_what_is_better_is_kept() -> None:
    assert Verdict(0.71, 0.83, 14).kept
    assert Verdict(0.71, 0.83, 14).sentence == "held-out Dice 0.71 → 0.83 from 14 strokes, kept"
    assert not Verdict(0.71, 0.69, 14).kept
    assert Verdict(0.71, 0.69, 1).sentence == "held-out Dice 0.71 → 0.69 from 1 stroke, not kept"
    assert "0.921 → 0.924" in Verdict(0.9211, 0.9239, 3).sentence
    assert "0.92 → 0.92" in Verdict(0.921, 0.921, 3).sentence
    assert not Verdict(0.5, 0.5, 3).kept


def test_an_outcome_gives_what_held_out_strokes_preferred() -> None:
    class Way(Outcome):
        method = "some way"

        def facts(self) -> dict[str, Any]:
            return {"penalty": 0.5}

    before, after = PromptSet.from_text("cat"), PromptSet.from_text("dog")
    better = Way(given=before, candidate=after, verdict=Verdict(0.2, 0.4, 3), cancelled=True)
    assert better.kept
    assert better.prompts is after
    assert better.report() == {
        "method": "some way",
        "sentence": "held-out Dice 0.20 → 0.40 from 3 strokes, kept",
        "held_out_dice_before": 0.2,
        "held_out_dice_after": 0.4,
        "strokes": 3,
        "kept": True,
        "cancelled": True,
        "penalty": 0.5,
    }
    worse = Way(given=before, candidate=after, verdict=Verdict(0.4, 0.4, 3))
    assert worse.prompts is before
    assert worse.sentence.endswith(", not kept")


def test_a_large_stroke_counts_as_much_as_a_small_one() -> None:
    sample = strokes((1, 300), (1, 1), (0, 4))
    predicted = np.where(np.arange(305) < 300, 1, 0)
    # Half of class 1 is missed, and lands on class 0: 2*.5/1.5 and 2*1/2.5.
    assert held_out_dice([sample], predicted) == pytest.approx((2 * 0.5 / 1.5 + 2 * 1 / 2.5) / 2)
    assert held_out_dice([sample], sample.values) == 1


def test_where_labels_cover_the_picture_pixels_count_by_area() -> None:
    sample = TuningSample.from_labels(FEATURES, labels(0.25), per_stroke=10)
    assert sample.areas is not None
    assert sample.areas[sample.values == 1].sum() == pytest.approx(0.25 * 64 * 64)
    assert sample.areas.sum() == pytest.approx(64 * 64)
    everything = np.ones(len(sample.values), np.int64)
    assert held_out_dice([sample], everything) == pytest.approx(2 * 0.25 / 1.25 / 2)
    few = np.where(np.arange(64)[:, None] < 20, labels(0.25), 255)
    assert TuningSample.from_labels(FEATURES, few).areas is None


def test_weights_go_from_strokes_to_areas() -> None:
    sample = TuningSample.from_labels(FEATURES, labels(0.25), per_stroke=10)
    share = [pixel_weights([sample], by)[sample.values == 1].sum() for by in (0.0, 0.5, 1.0)]
    assert share == pytest.approx([0.5, 0.5**1 / (0.5 + 0.75**0.5), 0.25])
    mixed = [sample, strokes((1, 3), (0, 3))]
    assert pixel_weights(mixed, 1.0)[np.concatenate([s.values for s in mixed]) == 1].sum() == pytest.approx(0.5)
    assert pixel_weights([], 1.0).size == 0
