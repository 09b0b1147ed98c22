from __future__ import annotations

import numpy as np
import pytest
import torch
from tower_encoder import TowerEncoder

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.learning.regions import (
    DrawnRegion,
    RegionSettings,
    inference_of,
    learn_regions,
    region_values,
    with_inference,
)
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

QUICK = RegionSettings(steps=6, distil_steps=6)


def picture() -> np.ndarray:
    """Orange discs on grey; the model knows neither word."""
    shown = np.full((40, 60, 3), 110, np.uint8)
    y, x = np.indices((40, 60))
    for row, column in ((12, 14), (26, 44)):
        shown[(y - row) ** 2 + (x - column) ** 2 < 64] = (250, 130, 20)
    return shown


def disc(row: int, column: int) -> np.ndarray:
    y, x = np.indices((40, 60))
    inside: np.ndarray = (y - row) ** 2 + (x - column) ** 2 < 64
    return inside


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(TowerEncoder())


def test_one_region_finds_the_other_disc(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    prompts = PromptSet.from_text("blob")
    result = learn_regions(segmenter, prompts, [DrawnRegion(features, disc(12, 14), 1)], settings=QUICK)
    found = segmenter.probabilities_of(features, result.prompts)[1] > 0.5
    assert result.kept
    assert found.numpy()[disc(26, 44)].mean() > 0.9
    assert found.numpy()[~disc(26, 44) & ~disc(12, 14)].mean() < 0.1


def test_same_seed_same_outcome(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    regions = [DrawnRegion(features, disc(12, 14), 1)]
    first, second = (learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK) for _ in range(2))
    for name, prompts in first.candidates.items():
        assert prompts == second.candidates[name]


def test_inference_is_switched_there_and_back(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    prompts = PromptSet.from_text("blob")
    found = learn_regions(segmenter, prompts, [DrawnRegion(features, disc(12, 14), 1)], settings=QUICK).candidates
    learned = found["pseudo-text"]
    assert region_values(learned) == (1,)
    words = with_inference(learned, 1, "words")
    assert inference_of(words, 1) == "words"
    assert with_inference(words, 1, "pseudo-text") == learned
    before = segmenter.probabilities_of(features, prompts)
    assert torch.equal(segmenter.probabilities_of(features, words), before)
    with pytest.raises(InputError, match="not learned from a region"):
        with_inference(prompts, 1, "words")


def test_cancelling_keeps_what_there_is(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())

    def stop(done: int, total: int, description: str) -> None:
        assert done <= total
        if done > 2:
            raise CancelledError

    regions = [DrawnRegion(features, disc(12, 14), 1)]
    result = learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK, progress=stop)
    assert result.cancelled
    assert region_values(result.candidates["pseudo-text"]) == (1,)


@pytest.mark.parametrize(
    ("mask", "value", "message"),
    [
        (np.eye(40, 60) * np.arange(60) == 7, 1, "1 pixel"),
        (np.ones((40, 60), bool), 1, "whole image"),
        (np.zeros((40, 60), bool), 1, "0 pixels"),
        (np.ones((4, 6), bool), 1, r"plane of \(4, 6\)"),
        (np.arange(2400).reshape(40, 60) < 9, 0, "count from 1"),
    ],
)
def test_bad_regions_are_refused_in_a_sentence(
    segmenter: Segmenter, mask: np.ndarray, value: int, message: str
) -> None:
    features = segmenter.encoder.encode_plane(picture())
    with pytest.raises(InputError, match=message):
        DrawnRegion(features, mask, value)


def test_a_class_needs_a_region_that_shows_it(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    negative = DrawnRegion(features, disc(12, 14), 1, positive=False)
    with pytest.raises(InputError, match="positive one"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [negative])
    with pytest.raises(InputError, match="no class has"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [DrawnRegion(features, disc(12, 14), 4)])
    with pytest.raises(InputError, match="no region"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [])
