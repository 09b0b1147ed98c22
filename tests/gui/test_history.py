"""States before and after: none twice, and memory bounded."""

from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.gui import history, result
from napari_promptseg.gui.history import History, State
from napari_promptseg.gui.result import Result
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

PROMPTS = PromptSet.from_text("cat")


def labels(value: int) -> np.ndarray:
    return np.full((10, 10), value, np.uint8)


def predicted(value: int) -> LabelMap:
    sure, second = np.ones((10, 10), np.float16), np.zeros((10, 10), np.float16)
    return LabelMap(labels(value), sure, labels(0), second, {}, {})


def test_a_state_is_kept_once_and_what_stands_is_told_apart():
    states = History()
    stroke = Stroke.from_pixels([1], [1], 1)
    first = State((), labels(0), PROMPTS, Corrections())
    states.keep(first)
    states.keep(State((), labels(0), PROMPTS, Corrections()))
    now = State((), labels(0), PROMPTS, Corrections((stroke,)))
    assert not now.says_the_same(first), "another stroke makes another state"
    assert not State((), labels(0), PromptSet.from_text("dog"), Corrections()).says_the_same(first)
    assert not State((1,), labels(0), PROMPTS, Corrections()).says_the_same(first)
    assert states.step(now) is first
    assert not states.can_go_back
    assert states.step(first, forward=True) is now


def test_the_oldest_states_go_first_and_shared_predictions_count_once(monkeypatch):
    one = predicted(1)  # 100 + 200 + 100 + 200 bytes
    monkeypatch.setattr(history, "LIMIT", 1100)
    states = History()
    for i in range(8):
        states.keep(State((i,), labels(i), PROMPTS, None, one))
    kept = []
    while states.can_go_back:
        kept.append(states.step(State((), labels(9), PROMPTS)).index[0])
    assert kept == [7, 6, 5, 4, 3]


@pytest.mark.gui
def test_predictions_of_large_planes_are_not_kept_with_states(viewer, monkeypatch):
    monkeypatch.setattr(result, "KEPT_PREDICTION", 500)
    image = viewer.add_image(np.zeros((10, 10)))
    mine = Result(getattr(viewer, "__wrapped__", viewer), image, result.View())
    mine.put((), predicted(1), PROMPTS, live=False)
    mine.put((), predicted(2), PROMPTS, live=False)
    assert mine.prediction(()) is not None
    mine.step(PROMPTS)
    assert np.array_equal(mine.standing.data, labels(1))
    assert mine.prediction(()) is None, "no figures of another mask are shown"
