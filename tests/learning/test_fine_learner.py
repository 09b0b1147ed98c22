"""Classes learned from what single pixels measure."""

from __future__ import annotations

import numpy as np
import torch

from napari_promptseg.learning.fine_learner import FineSettings, PlanePixels, learn_pixels, pixels_of
from napari_promptseg.segmentation.pixel_values import N_COLOUR_VALUES, has_colour, pixel_values


def plane(seed):
    """Three greys, pixel by pixel; the middle one is the class."""
    rng = np.random.default_rng(seed)
    tissue = rng.integers(0, 3, (40, 44))
    grey = np.choose(tissue, [40, 110, 180]) + rng.normal(0, 8, tissue.shape)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1), np.where(tissue == 1, 5, 0)


def test_a_class_between_two_brightnesses():
    planes = {n: plane(n) for n in (0, 1)}
    pixels = pixels_of({n: pixel_values(p) for n, (p, _) in planes.items()}, {n: t for n, (_, t) in planes.items()})
    head = learn_pixels(list(pixels.values()))
    assert head is not None
    assert head.values == (0, 5)
    picture, truth = plane(7)
    chances = head.chances(picture)
    assert torch.allclose(chances.exp().sum(dim=0), torch.ones(40, 44), atol=1e-3)
    assert ((chances[1] > chances[0]).numpy() == (truth == 5)).mean() > 0.95


def test_colours_of_the_same_brightness():
    """A coloured plane is measured colour by colour: the mean of these is the same everywhere."""
    truth = np.random.default_rng(0).integers(0, 2, (40, 44))
    picture = np.where(truth[..., None] == 1, (200, 40, 40), (40, 200, 40)).astype(np.uint8)
    assert has_colour(picture)
    blind = pixels_of({0: pixel_values(picture)}, {0: truth})
    assert learn_pixels(list(blind.values())) is None, "one flat tone"
    head = learn_pixels(list(pixels_of({0: pixel_values(picture, colour=True)}, {0: truth}).values()))
    assert head is not None
    assert len(head.lift.centre) == N_COLOUR_VALUES
    chances = head.chances(picture)
    assert ((chances[1] > chances[0]).numpy() == (truth == 1)).mean() > 0.95


def test_the_same_twice_and_nothing_from_one_class():
    picture, truth = plane(0)
    measured = {0: pixel_values(picture)}
    first, second = (learn_pixels(list(pixels_of(measured, {0: truth}).values())) for _ in range(2))
    assert first is not None
    assert second is not None
    assert torch.equal(first.weights, second.weights)
    other = learn_pixels(list(pixels_of(measured, {0: truth}, FineSettings(seed=1)).values()), FineSettings(seed=1))
    assert other is not None
    assert not torch.equal(first.lift.directions, other.lift.directions)
    assert learn_pixels(list(pixels_of(measured, {0: np.zeros_like(truth)}).values())) is None


def test_small_classes_are_taken_whole_and_all_stand_for_their_area():
    labels = np.zeros((30, 30), int)
    labels[0, :7] = 2
    labels[10:20] = 1
    drawn = PlanePixels.drawn(torch.rand(3, 30, 30), labels, 207, np.random.default_rng(0))
    values, counts = np.unique(drawn.values, return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {0: 100, 1: 100, 2: 7}
    for value in (0, 1, 2):
        assert np.isclose(drawn.areas[drawn.values == value].sum(), np.count_nonzero(labels == value))
