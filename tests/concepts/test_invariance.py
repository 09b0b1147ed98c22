"""What a move, a zoom and a quarter turn may change, and what they may not."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.concepts.measured import measure_concept
from napari_promptseg.evaluation.redrawing import random_region
from napari_promptseg.images.stack import ImageStack

TURNED = {
    "upper left": "lower left",
    "upper centre": "centre left",
    "upper right": "upper left",
    "centre left": "lower centre",
    "centre": "centre",
    "centre right": "upper centre",
    "lower left": "lower right",
    "lower centre": "centre right",
    "lower right": "upper right",
}


def picture_of(mask, seed):
    rng = np.random.default_rng(seed)
    thing, ground = rng.integers(0, 255, (2, 3))
    noise = rng.normal(0, 6, (*mask.shape, 3))
    return np.clip(np.where(mask[..., None], thing, ground) + noise, 0, 255).astype(np.uint8)


def attributes(mask, picture):
    concept = measure_concept(ImageStack.from_array(picture), mask)
    return {a.kind: a for a in concept.attributes}


regions = st.builds(
    lambda seed, diameter: random_region(np.random.default_rng(seed), diameter, (72, 72)),
    st.integers(0, 2**32 - 1),
    st.floats(8, 30),
)


@settings(max_examples=25, deadline=None)
@given(regions, st.integers(0, 1000), st.integers(0, 60), st.integers(0, 60))
def test_a_move_changes_nothing_but_the_place(mask, seed, down, across):
    picture = picture_of(mask, seed)

    # a ground as wide as the ring, so that the same ring is seen everywhere
    def placed(array, y, x):
        wide = np.zeros((180, 180, *array.shape[2:]), array.dtype)
        wide[y : y + 72, x : x + 72] = array
        return wide

    here = attributes(placed(mask, 20, 20), placed(picture, 20, 20))
    there = attributes(placed(mask, 20 + down, 20 + across), placed(picture, 20 + down, 20 + across))
    here.pop("location"), there.pop("location")
    assert here == there


@settings(max_examples=25, deadline=None)
@given(regions, st.integers(2, 4))
def test_a_zoom_keeps_number_size_shape_and_place(mask, factor):
    large = np.kron(mask, np.ones((factor, factor), bool))
    one, other = (attributes(m, np.repeat(m[..., None] * np.uint8(200), 3, axis=2)) for m in (mask, large))
    for kind in ("number", "size", "shape", "location"):
        if kind in one and one[kind].confidence > 0.9:
            assert one[kind].word == other[kind].word, kind


@settings(max_examples=25, deadline=None)
@given(regions, st.integers(0, 1000))
def test_a_quarter_turn_permutes_the_places(mask, seed):
    picture = picture_of(mask, seed)
    here = attributes(mask, picture)
    there = attributes(np.rot90(mask), np.ascontiguousarray(np.rot90(picture)))
    assert there["location"].word == TURNED[here["location"].word]
    for kind in here.keys() & there.keys() - {"location"}:
        if here[kind].confidence > 0.9:
            assert here[kind].word == there[kind].word, kind
