"""The figures are what they say: against counting by hand and against scikit-image."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import contingency_table

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.metrics import (
    auc,
    class_dice,
    class_iou,
    confusion_matrix,
    dice,
    iou,
    pixel_accuracy,
    present,
)

labels = hnp.arrays("uint8", (6, 7), elements=st.integers(0, 3))
masks = hnp.arrays(bool, (6, 7))


def test_a_matrix_worked_out_by_hand():
    truth = np.array([[0, 0, 1], [1, 2, 2]])
    guess = np.array([[0, 1, 1], [1, 0, 0]])
    counts = confusion_matrix(truth, guess, 4)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert class_iou(counts).tolist() == [1 / 4, 2 / 3, 0, 0]
    assert class_dice(counts).tolist() == [2 / 5, 4 / 5, 0, 0]  # class 2, never predicted, is 0 and stays
    assert present(counts).tolist() == [True, True, True, False]
    assert pixel_accuracy(counts) == 0.5
    assert math.isnan(pixel_accuracy(np.zeros((2, 2), np.int64)))


@settings(deadline=None)
@given(labels, labels)
def test_the_matrix_against_scikit_image(truth, guess):
    counts = confusion_matrix(truth, guess, 4)
    table = contingency_table(truth, guess).toarray()
    padded = np.zeros((4, 4))
    padded[: table.shape[0], : table.shape[1]] = table
    np.testing.assert_array_equal(counts, padded)


@settings(deadline=None)
@given(labels, labels)
def test_figures_per_class_are_those_of_the_single_masks(truth, guess):
    counts = confusion_matrix(truth, guess, 4)
    for value in np.flatnonzero(present(counts)):
        assert class_dice(counts)[value] == pytest.approx(dice(guess == value, truth == value))
        assert class_iou(counts)[value] == pytest.approx(iou(guess == value, truth == value))


@given(masks, masks)
def test_dice_and_iou_tell_the_same_story(a, b):
    d, j = dice(a, b), iou(a, b)
    assert 0 <= j <= d <= 1
    assert d == pytest.approx(2 * j / (1 + j))
    assert dice(a, b) == dice(b, a)


def test_an_empty_prediction_is_a_failure():
    some, none = np.eye(5, dtype=bool), np.zeros((5, 5), bool)
    assert dice(none, some) == iou(none, some) == 0
    assert dice(none, none) == iou(none, none) == 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 3)), min_size=2, max_size=12).filter(
        lambda rows: len({positive for _, positive, _ in rows}) == 2
    )
)
def test_auc_is_the_share_of_pairs_in_order(rows):
    wins = total = 0.0
    for (s, p, w), (t, q, v) in itertools.product(rows, rows):
        if p and not q:
            total += w * v
            wins += w * v * (1.0 if s > t else 0.5 if s == t else 0.0)
    scores, positive, weights = zip(*rows, strict=True)
    assert auc(scores, positive, weights) == pytest.approx(wins / total)
    repeated = [(s, p) for s, p, w in rows for _ in range(w)]
    assert auc(*zip(*repeated, strict=True)) == pytest.approx(wins / total)


def test_auc_needs_both_kinds():
    assert math.isnan(auc([1, 2], [True, True]))
    assert math.isnan(auc([], []))
    assert auc([0.1, 0.9], [False, True]) == 1
    assert auc([1, 1], [False, True]) == 0.5


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"\(2,\).*\(3,\)"):
        confusion_matrix([0, 1], [0, 1, 0], 2)
    with pytest.raises(InputError, match="0 to 1"):
        confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(InputError, match="compared"):
        dice(np.zeros((2, 2)), np.zeros((2, 3)))
