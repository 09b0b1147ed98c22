"""A confidence is the chance that the same region drawn again gets the same word."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_promptseg.concepts.extent import size
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.location import location
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.shape import shape
from napari_promptseg.evaluation.redrawing import random_region, redrawn

SIDE = 120


def test_confidence_falls_towards_a_border_and_is_half_on_it():
    words = Gradation(("low", "high"), (0.5,), Scatter(0.1, 1.0))
    found = [words.judge(value, 100.0) for value in (0.1, 0.45, 0.5, 0.9)]
    assert [w for w, _ in found] == ["low", "low", "high", "high"]
    assert found[2][1] == pytest.approx(0.5)
    assert found[0][1] > found[1][1] > 0.5
    assert words.judge(0.6, 5.0)[1] < words.judge(0.6, 50.0)[1], "a small region is less sure"


def test_borders_are_measured_on_the_scale():
    words = Gradation(("small", "large"), (1.0,), Scatter(1.0), math.log2)
    assert words.judge(2.0, 100.0)[1] == pytest.approx(words.judge(0.5, 100.0)[1])


@pytest.fixture(scope="module")
def said_twice():
    """Per attribute ``(n, 2)``: confidence of the first drawing, whether the second got the same word."""
    rng = np.random.default_rng(7)
    measures = {"size": size, "shape": shape, "location": lambda r: location(r, (0, 0, SIDE, SIDE))}
    found = {name: [] for name in measures}
    for _ in range(350):
        true = random_region(rng, float(np.exp(rng.uniform(np.log(6), np.log(60)))), (SIDE, SIDE))
        regions = [Region.from_mask(redrawn(true, rng)) for _ in range(2)]
        for name, measure in measures.items():
            one, two = (measure(r) for r in regions)
            if one is not None and two is not None:
                found[name].append((one.confidence, one.word == two.word))
    return {name: np.array(pairs, float) for name, pairs in found.items()}


@pytest.mark.parametrize("name", ["size", "shape", "location"])
def test_confidences_are_frequencies(said_twice, name):
    pairs = said_twice[name]
    order = np.argsort(pairs[:, 0], kind="stable")
    bins = [pairs[part].mean(axis=0) for part in np.array_split(order, 5)]
    error = float(np.mean([abs(said - held) for said, held in bins]))
    assert error < 0.08
    assert bins[0][1] < bins[-1][1], "the least sure words are the ones that change"
