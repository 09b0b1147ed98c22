"""Why a pixel has its label: scores, runner-up, and who spoke."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.explanation import Explanation, explain, voice_maps
from napari_promptseg.segmentation.learned_stages import stage_chances
from napari_promptseg.segmentation.linear_head import LinearHead
from napari_promptseg.segmentation.live_heads import with_live_head
from napari_promptseg.segmentation.segmenter import Segmenter


def explained(encoder, picture, prompts, at) -> Explanation:
    segmenter = Segmenter(encoder)
    segmenter.set_image(ImageStack.from_array(picture))
    label_map = segmenter.segment(prompts, want_probabilities=True)
    return explain(encoder, prompts, segmenter.features, label_map, at, known=segmenter.known(prompts))


def test_every_class_has_its_score_and_the_text_that_fits_best_speaks(encoder, quarters):
    prompts = PromptSet.from_text("red | ruby, green, blue", background=("black",), pooling="max")
    found = explained(encoder, quarters, prompts, (20, 20))
    assert found.label == 1
    assert found.reasons[0].value == 1
    assert sum(r.probability for r in found.reasons) == pytest.approx(1, abs=0.01)
    mine = found.of(1)
    assert mine.voices[0].label == "red"
    assert "red" in mine.voices[0].sentence
    assert mine.voices[0].similarity > mine.voices[1].similarity
    assert mine.known == "known"
    assert found.sentence.startswith(f"red {mine.probability:.2f}, before ")


def test_background_names_the_word_that_spoke(encoder, quarters, asked):
    found = explained(encoder, quarters, asked, (100, 150))
    assert found.label == 0
    assert found.of(0).voices[0].label == "black"


def test_scores_agree_with_the_mask(encoder, quarters, asked):
    segmenter = Segmenter(encoder)
    segmenter.set_image(ImageStack.from_array(quarters))
    label_map = segmenter.segment(asked, want_probabilities=True)
    for at in ((20, 20), (20, 150), (63, 95), (100, 20), (100, 150)):
        found = explain(encoder, asked, segmenter.features, label_map, at, known=segmenter.known(asked))
        assert found.of(found.label).probability == pytest.approx(float(label_map.confidence[at]), abs=0.01)
        assert found.runner_up == label_map.runner_up[at]


def test_a_class_under_its_threshold_says_so(encoder, quarters):
    prompts = PromptSet.from_text("red", background=("green",)).with_replaced(1, threshold=0.95)
    found = explained(type(encoder)(scale=2.0), quarters, prompts, (20, 20))
    assert found.label == 0
    assert "under its threshold 0.95" in found.sentence


def test_a_class_of_unknown_name_says_so(encoder, quarters):
    found = explained(encoder, quarters, PromptSet.from_text("ruby | red", background=("black",)), (20, 20))
    assert (found.label, found.of(1).known) == (0, "unknown")
    assert "does not know 'ruby'" in found.sentence


def test_a_tuned_class_is_spoken_for_by_its_views(encoder, quarters, asked):
    red, green = encoder.vectors([(255, 0, 0), (0, 255, 0)]).numpy()
    learned = LearnedPrompts(
        encoder.fingerprint, encoder.name, {1: np.stack([green, red])}, {1: red}, gamma=1.0, tau=0.1
    )
    prompts = replace(asked, learned=learned)
    found = explained(encoder, quarters, prompts, (20, 20))
    voices = found.of(1).voices
    assert [(v.kind, v.label) for v in voices] == [("view", "view 2"), ("view", "view 1")]
    assert voices[0].similarity == pytest.approx(1, abs=1e-4)
    presence = found.of(1).presence
    assert presence is not None
    assert 0.5 < presence < 1
    assert found.of(2).presence is None


def test_maps_of_views_and_of_texts(encoder, quarters, asked, stack_of):
    features = encoder.encode_plane(quarters)
    by_text = voice_maps(encoder, PromptSet.from_text("red | green"), features, 1)
    assert list(by_text) == ["red", "green"]
    assert by_text["red"].shape == features.semantic.shape[:2]
    assert by_text["red"][0, 0] > by_text["green"][0, 0]
    assert by_text["red"][0, -1] < by_text["green"][0, -1]
    red = encoder.vectors([(255, 0, 0)]).numpy()
    learned = LearnedPrompts(encoder.fingerprint, encoder.name, {1: red}, {1: red[0]}, tau=0.1)
    assert list(voice_maps(encoder, replace(asked, learned=learned), features, 1)) == ["whole picture", "view 1"]
    with pytest.raises(InputError, match="No class has the value 9"):
        voice_maps(encoder, asked, features, 9)


def test_what_each_thing_that_was_learned_did_to_the_pixel(encoder, quarters, asked, stack_of):
    segmenter = Segmenter(encoder)
    features = segmenter.set_image(stack_of(quarters))
    assert list(stage_chances(segmenter, asked, segmenter.scene)) == ["words"]
    green = encoder.vectors([(0, 255, 0)]).numpy()
    tuned = replace(asked, learned=LearnedPrompts(encoder.fingerprint, encoder.name, {1: green}))
    weights = torch.zeros(4, 8)
    bias = torch.tensor([-9.0, 9.0, -9.0, -9.0])  # all is red
    head = LinearHead((0, 1, 2, 3), weights, bias, (True,) * 4, 1.0, 0.0, encoder.fingerprint)
    for edges, name in ((True, "strokes"), (False, "labels")):
        taught = with_live_head(tuned, head, encoder.name, edges=edges)
        chances = stage_chances(segmenter, taught, segmenter.scene)
        assert list(chances) == ["words", "prompts", name]
        label_map = segmenter.segment(taught, want_probabilities=True)
        known = segmenter.known(taught)
        found = explain(encoder, taught, features, label_map, (20, 20), known=known, chances=chances)
        assert found.last == name
        assert list(found.of(1).earlier) == ["words", "prompts"]
        assert found.of(1).earlier["words"] > 0.9
        assert found.of(1).earlier["prompts"] < 0.5
        assert found.of(1).probability > 0.9
        assert found.of(0).earlier["words"] == pytest.approx(float(chances["words"][0, 2, 2]), abs=0.01)
    plain = explained(encoder, quarters, asked, (20, 20))
    assert (plain.last, plain.of(1).earlier) == ("words", {})


def test_what_cannot_be_explained_is_refused(encoder, quarters, asked, stack_of):
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(quarters))
    label_map = segmenter.segment(asked)
    with pytest.raises(InputError, match="without the scores of 'red'"):
        explain(encoder, asked, segmenter.features, label_map, (0, 0), known=["known"] * 3)
    with pytest.raises(InputError, match="outside the plane of 128 x 192"):
        explain(encoder, asked, segmenter.features, label_map, (128, 0), known=["known"] * 3)


def test_independent_classes_leave_the_rest_of_the_best(encoder, quarters):
    prompts = PromptSet.from_text("red, green", background=())
    found = explained(type(encoder)(sigmoid=True, shift=-10.0), quarters, prompts, (20, 20))
    best = max(r.probability for r in found.reasons if r.value)
    assert found.of(0).probability == pytest.approx(1 - best, abs=0.01)
