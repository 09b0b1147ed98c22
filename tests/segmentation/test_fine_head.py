"""What pixels taught: pooled with what features say, stored with the prompts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_promptseg import ImageStack, InputError, Modality, PromptSet, Segmenter
from napari_promptseg.segmentation.fine_head import FineHead, Lift, fine_head, with_fine_head
from napari_promptseg.segmentation.learned_heads import FINE, without_heads
from napari_promptseg.segmentation.learned_stages import stages
from napari_promptseg.segmentation.linear_head import LinearHead
from napari_promptseg.segmentation.live_heads import with_live_head, without_live
from napari_promptseg.segmentation.pixel_values import N_VALUES
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.volumes.chances import pixel_chances
from tests.pixel_encoder import PixelEncoder

PROMPTS = PromptSet.from_text("red, blue, green", background=("black",))


def head(values=(0, 1, 2), shares=(0.5, 0.5)) -> FineHead:
    """Brightness alone counts: the higher a class's value, the brighter."""
    lift = Lift(torch.zeros(N_VALUES), torch.ones(N_VALUES), torch.zeros(N_VALUES, 4), torch.zeros(4))
    weights = torch.zeros(len(values), N_VALUES + 4)
    weights[:, 0] = 20 * torch.arange(len(values))
    return FineHead(values, lift, weights, -5 * torch.arange(len(values)).float() ** 2, shares)


def stored(fine: FineHead | None = None) -> PromptSet:
    return with_fine_head(PROMPTS, fine or head(), PixelEncoder.fingerprint, "pixels")


def test_the_same_comes_back():
    found, given = fine_head(stored()), head()
    assert found is not None
    assert (found.values, found.shares) == (given.values, given.shares)
    assert torch.equal(found.weights, given.weights)
    assert torch.equal(found.bias, given.bias)
    assert fine_head(PROMPTS) is None


def test_another_takes_the_place_of_the_one_before():
    again = with_fine_head(stored(), head((0, 3)), PixelEncoder.fingerprint, "pixels")
    found = fine_head(again)
    assert found is not None
    assert found.values == (0, 3)
    assert again.learned is not None
    assert f"{FINE}/class/2" not in again.learned.tensors
    assert not without_heads(again.learned).tensors


def test_classes_keep_their_rows_under_other_values_and_lose_them_with_the_class():
    prompts = stored()
    assert prompts.learned is not None
    fewer = PromptSet(tuple(c for c in PROMPTS.classes if c.value != 1), learned=prompts.learned.without(1))
    found = fine_head(fewer)
    assert found is not None
    assert found.values == (0, 2)
    assert torch.equal(found.weights, head().weights[[0, 2]])
    alone = replace(prompts, learned=prompts.learned.without(1).without(2))
    assert fine_head(alone) is None  # background alone tells nothing apart


def test_it_goes_with_the_live_weights_that_it_was_learned_beside():
    live = LinearHead(
        (0, 1, 2, 3), torch.zeros(4, 8), torch.zeros(4), (True,) * 4, 1.0, 0.0, fingerprint=PixelEncoder.fingerprint
    )
    both = with_fine_head(with_live_head(PROMPTS, live, "pixels"), head(), PixelEncoder.fingerprint, "pixels")
    assert fine_head(both) is not None
    assert fine_head(without_live(both)) is None
    assert list(stages(both)) == ["words", "labels"]


@pytest.mark.parametrize("name", ["centre", "directions", "class/1"])
def test_damage_is_said(name):
    prompts = stored()
    assert prompts.learned is not None
    tensors = {**prompts.learned.tensors, f"{FINE}/{name}": np.zeros(3, np.float32)}
    with pytest.raises(InputError, match="teach the volume again"):
        fine_head(replace(prompts, learned=replace(prompts.learned, tensors=tensors)))


def test_classes_that_pixels_did_not_teach_keep_their_chances():
    chances = torch.rand(4, 5, 6).softmax(dim=0)
    fine = torch.randn(3, 5, 6).log_softmax(dim=0)
    found = head().pooled(chances, (0, 1, 2, 3), fine)
    assert torch.equal(found[3], chances[3])
    assert torch.allclose(found.sum(dim=0), torch.ones(5, 6), atol=1e-5)
    wanted = (chances[:3].log() + fine).mul(0.5).softmax(dim=0) * chances[:3].sum(dim=0)
    assert torch.allclose(found[:3], wanted, atol=1e-5)
    assert head(shares=(1.0, 0.0)).pooled(chances, (0, 1, 2, 3), fine) is chances


def test_the_segmenter_and_the_volume_draw_with_it():
    grey = np.zeros((20, 24), np.uint8)
    grey[:, 12:] = 128
    segmenter = Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))
    segmenter.set_image(ImageStack((Modality("mr", grey, kind="mr", limits=(0.0, 255.0)),)))
    plain = pixel_chances(segmenter, PROMPTS)
    found = segmenter.segment(stored(head(shares=(0.0, 1.0))), want_probabilities=True)
    chances = pixel_chances(segmenter, stored(head(shares=(0.0, 1.0))))
    assert not torch.equal(chances, plain)
    bright = chances[:3, 10, 20]
    assert int(bright.argmax()) == 1  # 20 * 0.5 - 5 is the highest
    assert found.probabilities[1][10, 20] == pytest.approx(float(bright[1]), abs=1e-2)


def test_planes_that_are_too_large_for_one_piece_are_drawn_without_it():
    grey = np.full((80, 90), 128, np.uint8)
    small = SegmentationSettings(refinement="none", whole_up_to=64, tile_size=64, tile_overlap=16)
    segmenter = Segmenter(PixelEncoder(), settings=small)
    segmenter.set_image(ImageStack((Modality("mr", grey, kind="mr", limits=(0.0, 255.0)),)))
    found, plain = segmenter.segment(stored()), segmenter.segment(PROMPTS)
    assert np.array_equal(found.labels, plain.labels)
