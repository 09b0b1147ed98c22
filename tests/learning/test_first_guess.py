"""Regions of several classes: what they say at once, and what is learned where each class has one."""

from __future__ import annotations

import numpy as np
import pytest
from tower_encoder import TowerEncoder

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.learning.regions import DrawnRegion, RegionSettings, inference_of, learn_regions
from napari_promptseg.learning.regions.first_guess import guess_regions
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(TowerEncoder())


def picture() -> np.ndarray:
    """Two orange squares and a green one on grey."""
    shown = np.full((40, 60, 3), 110, np.uint8)
    shown[5:17, 5:17] = shown[22:34, 40:52] = (250, 130, 20)
    shown[22:34, 5:17] = (20, 200, 60)
    return shown


def square(row: int, column: int) -> np.ndarray:
    mask = np.zeros((40, 60), bool)
    mask[row : row + 12, column : column + 12] = True
    return mask


def regions(segmenter: Segmenter) -> list[DrawnRegion]:
    features = segmenter.encoder.encode_plane(picture())
    return [DrawnRegion(features, square(5, 5), 1), DrawnRegion(features, square(22, 5), 2)]


def test_a_guess_shows_each_thing_elsewhere_at_once(segmenter: Segmenter) -> None:
    given = regions(segmenter)
    made = guess_regions(segmenter, PromptSet.from_text("blob, patch"), given)
    assert [inference_of(made, v) for v in (1, 2)] == ["pseudo-text", "pseudo-text"]
    chances = segmenter.probabilities_of(given[0].features, made).numpy()
    winner = chances.argmax(axis=0)
    assert (winner[square(22, 40)] == 1).mean() > 0.9
    assert (winner[square(22, 5)] == 2).mean() > 0.9


def test_a_guess_is_stopped_and_refuses_what_shows_nothing(segmenter: Segmenter) -> None:
    given, prompts = regions(segmenter), PromptSet.from_text("blob, patch")

    def stop(done: int, total: int, description: str) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        guess_regions(segmenter, prompts, given, progress=stop)
    negative = DrawnRegion(given[1].features, given[1].mask, 2, positive=False)
    with pytest.raises(InputError, match="positive"):
        guess_regions(segmenter, prompts, [given[0], negative])


def test_classes_with_one_region_each_are_judged_by_its_parts(segmenter: Segmenter) -> None:
    quick = RegionSettings(steps=2, distil_steps=2)
    result = learn_regions(segmenter, PromptSet.from_text("blob, patch"), regions(segmenter), settings=quick)
    assert result.held_out == "parts"
    assert all(np.isfinite(score) for score in result.scores.values())
    assert result.kept
