"""The benchmark's truth agrees with what the eye says, and the benchmark counts right and wrong."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from PIL import Image
from regions import SIDE, ellipse, grid, on_ground, star

from benchmarks import attributes
from benchmarks._attribute_truth import shape_word, shoelace_area, words_of


@pytest.mark.parametrize(
    ("mask", "word"),
    [
        (ellipse(radii=(15, 15)), "round"),
        (ellipse(radii=(12, 20), turn=0.5), "oval"),
        (ellipse(radii=(6, 30), turn=1.1), "elongated"),
        (ellipse(radii=(30, 30)) & ~ellipse(radii=(15, 15)), "ring-shaped"),
        (star(), "irregular"),
        (ellipse((60, 42), (16, 16)) | ellipse((60, 78), (16, 16)) | ellipse((60, 60), (8, 14)), "lobed"),
        ((np.abs(grid()[0] - 60) < 15) & (np.abs(grid()[1] - 60) < 30), "rectangular"),
    ],
)
def test_shapes_by_the_other_formulae(mask, word):
    assert shape_word(mask) == word


def test_area_along_edges_is_the_number_of_pixels():
    mask = star() & ~ellipse(radii=(4, 4))
    assert shoelace_area(mask) == mask.sum()


def test_words_of_a_whole_mask():
    mask = np.any([ellipse((y, x), (9, 9)) for y in (20, 60, 100) for x in (20, 60, 100)], axis=0)
    mask[40, 40] = True
    found = words_of(mask)
    assert found == {
        "number": "several",
        "size": "small",
        "shape": "round",
        "location": "spread over the whole image",
    }
    assert words_of(ellipse((20, 100), (9, 9)))["location"] == "upper right"


def test_the_benchmark_counts(tmp_path):
    pack = tmp_path / "squares"
    (pack / "images").mkdir(parents=True)
    (pack / "masks").mkdir()
    mask = ellipse((30, 30), (15, 15)).astype(np.uint8)
    Image.fromarray(on_ground(mask > 0)).save(pack / "images" / "a.png")
    Image.fromarray(mask).save(pack / "masks" / "a.png")
    Image.fromarray(on_ground(mask > 0)).save(pack / "images" / "empty.png")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(pack / "masks" / "empty.png")
    (pack / "classes.json").write_text('{"0": "background", "1": "disc"}', encoding="utf-8")
    args = argparse.Namespace(pack=pack, images=0, instances=5, seed=0, model="none", kind=None, wrong=True)
    result = json.loads(json.dumps(attributes.run(args)))
    assert result["regions"] == 1
    assert all(figures["right"] == 1 for figures in result["attributes"].values())
    assert result["wrong"] == []
    assert result["attributes"]["shape"]["second_drawing"]["n"] == 1


def test_summaries_tell_all_words_from_those_in_the_sentence():
    found = attributes.summary([(True, True, 0.9), (False, False, 0.3)], [(0.9, True), (0.3, False)])
    assert found["right"] == 0.5
    assert found["right_in_sentence"] == 1
    assert found["second_drawing"] == {"n": 2, "confidence": pytest.approx(0.6), "same_word": 0.5}
