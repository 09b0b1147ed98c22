"""From logits to probabilities, and which background words take part."""

from __future__ import annotations

import pytest
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import DEFAULT_BACKGROUND, PromptSet
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.calibration import probabilities
from napari_promptseg.segmentation.scoring import ScoreMaps, score


def maps(classes: int = 3, seed: int = 0, *, background: bool = True) -> ScoreMaps:
    generator = torch.Generator().manual_seed(seed)
    against = torch.randn(4, 5, generator=generator) if background else None
    return ScoreMaps(3 * torch.randn(classes, 4, 5, generator=generator), against)


def against_background(values: torch.Tensor) -> torch.Tensor:
    return values[1:] / (values[1:] + values[:1])


@pytest.mark.parametrize("sigmoid", [False, True])
def test_more_classes_do_not_change_a_class_against_background(sigmoid):
    three = maps(3)
    one = ScoreMaps(three.classes[:1], three.background)
    alone = probabilities(one, sigmoid=sigmoid)
    crowd = probabilities(three, sigmoid=sigmoid)
    if sigmoid:
        torch.testing.assert_close(crowd[1], alone[1])
    else:
        torch.testing.assert_close(against_background(crowd)[0], against_background(alone)[0])
        torch.testing.assert_close(crowd.sum(0), torch.ones(4, 5))


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_probabilities_lie_between_0_and_1(sigmoid, background, classes):
    values = probabilities(maps(classes, background=background), sigmoid=sigmoid, familiarity=["unknown"] * classes)
    assert values.shape == (classes + 1, 4, 5)
    assert 0 <= float(values.min()) <= float(values.max()) <= 1


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("background", [False, True])
def test_an_unknown_class_stays_under_its_ceiling_and_keeps_the_order_of_its_cells(sigmoid, background):
    scores = maps(2, background=background)
    plain = probabilities(scores, sigmoid=sigmoid)
    capped = probabilities(scores, sigmoid=sigmoid, familiarity=["unknown", "known"], unknown_ceiling=0.4)
    independent = sigmoid or not background
    share, before = (capped[1], plain[1]) if independent else (against_background(m)[0] for m in (capped, plain))
    assert float(share.max()) <= 0.4 + 1e-5
    assert torch.equal(share.flatten().argsort(), before.flatten().argsort())


def test_a_class_alone_without_background_words_is_not_everywhere():
    values = probabilities(maps(1, background=False))
    drawn = values[1] > values[0]
    assert drawn.any()
    assert not drawn.all()


def test_scores_are_scaled_cosines_and_pool_synonyms():
    cells = torch.nn.functional.normalize(torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(1)), dim=-1)
    features = DenseFeatures(cells, cells, cells.mean((0, 1)), (30, 40), "f")
    rows = torch.nn.functional.normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(2)), dim=-1)

    class Scale:
        logit_scale, logit_bias = 10.0, -2.0

    words = [rows[:2], rows[2:]]
    best = score(features, words, torch.zeros(0, 6), Scale(), "max")
    assert best.background is None
    torch.testing.assert_close(best.classes[0], (cells @ rows[:2].T).amax(-1) * 10 - 2)
    mean = score(features, words, rows, Scale(), "mean")
    direction = torch.nn.functional.normalize(rows[:2].mean(0), dim=0)
    torch.testing.assert_close(mean.classes[0], (cells @ direction) * 10 - 2)
    torch.testing.assert_close(mean.background, (cells @ rows.T).amax(-1) * 10 - 2)

    class WithOwn(Scale):
        def background_vectors(self):
            return rows[1:2]

    own = score(features, words, torch.zeros(0, 6), WithOwn(), "max")
    torch.testing.assert_close(own.background, (cells @ rows[1]) * 10 - 2)
    with pytest.raises(InputError, match="different models"):
        score(features, [torch.zeros(1, 5)], torch.zeros(0, 5), Scale(), "max")


def test_half_precision_features_score_like_full_ones():
    cells = torch.nn.functional.normalize(torch.randn(300, 300, 8), dim=-1)
    whole = DenseFeatures(cells, cells[:1], cells[0, 0], (300, 300), "f")
    half = DenseFeatures(cells.half(), cells[:1], cells[0, 0], (300, 300), "f")

    class Scale:
        logit_scale, logit_bias = 10.0, 0.0

    words = [torch.eye(8)[:1]]
    one = score(whole, words, torch.zeros(0, 8), Scale(), "mean").classes
    torch.testing.assert_close(score(half, words, torch.zeros(0, 8), Scale(), "mean").classes, one, atol=0.01, rtol=0)


def test_background_words_that_are_asked_for_are_left_out():
    prompts = PromptSet.from_text("Sky, cat | a tree", background=("sky", "trees", "road"))
    assert with_fitting_background(prompts, object()).background == ("road",)
    assert with_fitting_background(PromptSet.from_text("glass"), object()).background == DEFAULT_BACKGROUND


def test_a_model_with_its_own_background_drops_the_default_words_only():
    class Own:
        background_words_help = False

    prompts = PromptSet.from_text("cat", background=(*DEFAULT_BACKGROUND, "sofa"))
    assert with_fitting_background(prompts, Own()).background == ("sofa",)
