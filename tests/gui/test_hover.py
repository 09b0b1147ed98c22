"""The words under the pointer."""

from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.gui.hover import hover_text
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

PROMPTS = PromptSet.from_text("cat, sofa")
LABELS = np.array([[1, 2, 0, 1]], np.uint8)
PREDICTED = LabelMap(
    LABELS,
    np.array([[0.91, 0.6, 0.2, 1.0]], np.float16),
    np.array([[2, 0, 1, 2]], np.uint8),
    np.array([[0.05, 0.4, 0.7, 0.001]], np.float16),
)


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (0, "cat 0.91 – then sofa 0.05"),
        (1, "sofa 0.60 – then background 0.40"),
        (2, "background 0.20 – then cat 0.70"),
        (3, "cat 1.00"),
    ],
)
def test_class_confidence_and_runner_up_are_named_with_their_probabilities(column, text):
    assert hover_text(int(LABELS[0, column]), (0, column), PREDICTED, PROMPTS) == text


def test_a_painted_pixel_says_what_it_was():
    assert hover_text(2, (0, 0), PREDICTED, PROMPTS) == "sofa, as you painted it (was cat)"
    assert hover_text(9, (0, 2), PREDICTED, PROMPTS) == "label 9, as you painted it (was background)"


def test_where_nothing_was_predicted_the_name_stands_alone():
    assert hover_text(1, (0, 0), None, PROMPTS) == "cat"
    assert hover_text(1, (5, 0), PREDICTED, PROMPTS) == "cat"


def test_a_class_that_is_gone_is_left_out():
    assert hover_text(1, (0, 0), PREDICTED, PROMPTS.without(2)) == "cat 0.91"


@pytest.mark.gui
def test_the_words_go_when_the_pointer_leaves_the_canvas(dock, viewer):
    viewer.mouse_over_canvas = True
    dock.session.hover_changed.emit("cat 0.91")
    assert dock.footer.hover.text() == "cat 0.91"
    viewer.mouse_over_canvas = False
    assert dock.footer.hover.text() == ""
