"""What can be chosen for an attribute is what measuring says."""

from __future__ import annotations

import numpy as np
import pytest
from regions import SIDE, ellipse, on_ground

from napari_promptseg.concepts.attribute_words import attribute_words
from napari_promptseg.concepts.concept import ATTRIBUTES
from napari_promptseg.concepts.measured import measure_concept
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack


def test_every_attribute_has_words_each_once():
    for kind in ATTRIBUTES:
        words = attribute_words(kind)
        assert len(set(words)) == len(words) > 1
        assert all(word == word.strip() != "" for word in words)
    with pytest.raises(InputError, match="no attribute 'age'"):
        attribute_words("age")


@pytest.mark.parametrize("seed", range(6))
def test_every_measured_word_can_be_chosen(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), bool)
    for _ in range(rng.integers(1, 12)):
        mask |= ellipse(tuple(rng.uniform(15, SIDE - 15, 2)), tuple(rng.uniform(3, 20, 2)), rng.uniform(0, 3))
    picture = on_ground(mask, tuple(rng.integers(0, 256, 3)))
    for attribute in measure_concept(ImageStack.from_array(picture), mask).attributes:
        assert attribute.word in attribute_words(attribute.kind)
