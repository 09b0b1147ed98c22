"""Labels from probabilities: invariants that hold for any maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.segmentation.decision import Rule, decide, rank
from napari_promptseg.segmentation.guided import GuidedFilter
from napari_promptseg.segmentation.pixel_maps import PixelMaps


def random_maps(seed: int, classes: int, size: tuple[int, int] = (9, 7)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(3 * torch.randn(classes + 1, *size, generator=generator), dim=0)


def rule(thresholds: list[float]) -> Rule:
    return Rule(tuple(thresholds), (True,) * len(thresholds))


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_best_and_second_are_those_of_a_sort(seed, classes):
    maps = random_maps(seed, classes)
    found = rank(maps, rule([0.5] * classes))
    order = maps.argsort(dim=0, descending=True)
    background = maps[0] > maps[1:].amax(0)
    assert torch.equal(found.index == 0, background)
    assert torch.equal(found.index.long(), order[0])
    assert torch.equal(found.second.long(), order[1])
    best = maps.sort(dim=0, descending=True).values
    torch.testing.assert_close(found.confidence, best[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.second_confidence, best[1], rtol=1e-4, atol=1e-6)


@given(st.integers(0, 10_000), st.integers(0, 3), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_raising_a_threshold_never_adds_a_pixel_to_any_class(seed, raised, low, high):
    low, high = sorted((low, high))
    thresholds = [0.5, 0.4, 0.6, 0.5]
    maps = random_maps(seed, 4)
    thresholds[raised] = low
    before = rank(maps, rule(thresholds)).index
    thresholds[raised] = high
    after = rank(maps, rule(thresholds)).index
    for value in range(1, 5):
        assert not ((after == value) & (before != value)).any()


def test_a_threshold_means_the_same_with_one_class_and_with_many():
    logits = torch.tensor([0.0, 0.2])[:, None].expand(2, 3)
    alone = rank(torch.softmax(logits, 0), rule([0.5])).index
    rivals = torch.cat([logits, torch.full((30, 3), 0.1)])
    crowd = rank(torch.softmax(rivals, 0), rule([0.5] * 31)).index
    assert alone.tolist() == crowd.tolist() == [1, 1, 1]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_permuted_classes_give_permuted_labels(seed):
    maps = random_maps(seed, 5)
    order = [3, 1, 5, 2, 4]
    thresholds = [0.3, 0.4, 0.5, 0.6, 0.7]
    plain = rank(maps, rule(thresholds)).index
    moved = rank(maps[[0, *order]], rule([thresholds[i - 1] for i in order])).index
    back = torch.tensor([0, *order])[moved.long()]
    assert torch.equal(back, plain.long())


def test_extreme_thresholds_draw_all_or_nothing():
    maps = random_maps(0, 2)
    assert (rank(maps, rule([0.0, 0.0])).index > 0).all()
    assert (rank(maps, rule([1.0, 1.0])).index == 0).all()


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_second_always_differs_from_the_label(seed, classes):
    found = rank(random_maps(seed, classes), rule([0.7] * classes))
    assert (found.index != found.second).all()


def test_of_equal_classes_the_first_wins():
    found = rank(torch.tensor([0.2, 0.4, 0.4])[:, None], rule([0.5, 0.5]))
    assert (found.index.item(), found.second.item()) == (1, 2)


def test_an_undrawable_class_hides_nothing_and_can_come_second():
    maps = torch.tensor([[0.1], [0.3], [0.6]])
    found = rank(maps, Rule((0.5, 0.5), (True, False)))
    assert (found.index.item(), found.second.item()) == (1, 2)
    assert found.second_confidence.item() > found.confidence.item()
    assert rank(maps, Rule((0.5, 0.5), (False, False))).index.item() == 0


def test_an_unknown_name_needs_a_threshold_below_its_ceiling():
    made = Rule.make([0.5, 0.5, 0.3], unknown=[False, True, True], ceiling=0.49)
    assert made.drawable == (True, False, True)


@pytest.mark.parametrize("shape", [(120, 90), (64, 200), (99, 31)])
def test_deciding_outlines_alone_gives_the_labels_of_every_pixel(shape):
    maps = random_maps(5, 4, (8, 8))
    shared = PixelMaps(maps, shape, (max(1, shape[0] // 3), max(1, shape[1] // 3)))
    found = decide(shared, rule([0.5] * 4))
    everywhere = rank(torch.stack([shared.full(i) for i in range(5)]), rule([0.5] * 4))
    # a region thinner than a working cell may be missed: nothing else
    assert (found.index.long() != everywhere.index.long()).float().mean() < 0.01
    assert (found.index != found.second).all()
    assert (found.confidence - everywhere.confidence).abs().mean() < 0.03
    assert (found.second_confidence - everywhere.second_confidence).abs().mean() < 0.03


def test_guided_maps_are_decided_with_full_resolution_edges():
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[:, 101:] = 255
    maps = torch.zeros(2, 10, 10)
    maps[1, :, 5:] = 1
    maps[0] = 1 - maps[1]
    guided = GuidedFilter(picture, working_side=50, side=50, radius=8, strength=1e-4)
    found = decide(guided(maps), rule([0.5])).index
    assert (found[20:-20, 101:] == 1).all()
    assert (found[20:-20, :101] == 0).all()


def test_more_classes_than_a_byte_holds():
    maps = torch.full((301, 40, 40), 0.001)
    maps[300] = 0.9
    found = decide(PixelMaps(maps, (80, 80), (40, 40)), rule([0.5] * 300))
    assert found.index.unique().tolist() == [300]
