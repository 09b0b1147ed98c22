"""All planes of a volume: order, several axes, stopping, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.volumes.chances import ChanceSum
from napari_promptseg.segmentation.volumes.run import segment_volume
from napari_promptseg.segmentation.volumes.time_left import TimeLeft, in_words
from tests.pixel_encoder import PixelEncoder

PROMPTS = PromptSet.from_text("red, green", background=("black",))


@pytest.fixture
def ball():
    """A red ball and a green rod in the dark, ``(12, 14, 16, 3)``, and its labels."""
    z, y, x = np.ogrid[:12, :14, :16]
    labels = np.zeros((12, 14, 16), np.uint8)
    labels[(z - 6) ** 2 + (y - 6) ** 2 + (x - 6) ** 2 <= 16] = 1
    labels[:, 11:13, 12:15] = 2
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0)], np.uint8)[labels]
    return ImageStack.from_array(colours), labels


@pytest.fixture
def segmenter():
    return Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))


@pytest.mark.parametrize("axes", [("axial",), ("coronal",), ("sagittal",), ("axial", "coronal", "sagittal")])
def test_every_axis_finds_the_same_volume(ball, segmenter, axes):
    stack, labels = ball
    run = segment_volume(segmenter, stack, PROMPTS, axes=axes)
    for axis, plane, found in run:
        assert axis == axes[0]
        assert found.shape == np.take(labels, plane, ("axial", "coronal", "sagittal").index(axis)).shape
    assert np.array_equal(run.labels, labels)
    assert run.provenance["axes"] == list(axes)
    assert run.provenance["classes"][0]["name"] == "red"


def test_the_plane_in_sight_comes_first_and_then_its_neighbours(ball, segmenter):
    stack, _ = ball
    order = [plane for _, plane, _ in segment_volume(segmenter, stack, PROMPTS, planes=range(2, 9), first=4)]
    assert order == [4, 3, 5, 2, 6, 7, 8]
    run = segment_volume(segmenter, stack, PROMPTS, planes=[1, 5], first=11)
    assert [plane for _, plane, _ in run] == [5, 1]
    assert not run.labels[[0, 2, 3, 4, 6]].any()


def test_a_range_of_planes_is_averaged_like_the_whole(ball, segmenter):
    stack, labels = ball
    run = segment_volume(segmenter, stack, PROMPTS, axes=("coronal", "axial", "sagittal"), planes=range(5, 9))
    assert len(list(run)) == 8
    assert np.array_equal(run.labels[:, 5:9], labels[:, 5:9])
    assert not run.labels[:, 9:].any()


def test_stopping_keeps_what_is_finished_and_the_picture_in_hand(ball, segmenter):
    stack, labels = ball
    segmenter.set_image(stack, plane=3)
    before = segmenter.features

    def listen(done, total, description):
        if done == 4:
            raise CancelledError

    run = segment_volume(segmenter, stack, PROMPTS, first=6, progress=listen)
    with pytest.raises(CancelledError):
        list(run)
    assert len(run.finished) == 4
    assert run.finished[0] == 6
    for plane in run.finished:
        assert np.array_equal(run.labels[plane], labels[plane])
    rest = sorted(set(range(12)) - set(run.finished))
    assert not run.labels[rest].any()
    assert segmenter.features is before


def test_stopping_among_the_other_axes_keeps_what_the_first_saw(ball, segmenter):
    stack, labels = ball

    def listen(done, total, description):
        if done == 20:
            raise CancelledError

    run = segment_volume(segmenter, stack, PROMPTS, axes=("axial", "coronal", "sagittal"), progress=listen)
    with pytest.raises(CancelledError):
        list(run)
    assert np.array_equal(run.labels, labels)


def test_progress_tells_the_time_left(ball, segmenter):
    said = []
    list(segment_volume(segmenter, ball[0], PROMPTS, progress=lambda *step: said.append(step)))
    assert said[0][:2] == (0, 12)
    assert said[-1] == (12, 12, "all planes are done")
    assert "left" in said[3][2]


class Known:
    """All of one plane is known to be green, and one voxel settled as red."""

    def adjusted(self, axis, plane, chances):
        if plane == 2:
            chances = torch.zeros_like(chances)
            chances[2] = 1
        return chances

    def imposed(self, axis, plane, labels):
        labels = labels.copy()
        labels[0, 0] = 1
        return labels


def test_what_is_known_by_place_counts(ball, segmenter):
    stack, labels = ball
    run = segment_volume(segmenter, stack, PROMPTS, prior=Known())
    list(run)
    assert (run.labels[2].ravel()[1:] == 2).all()
    assert (run.labels[:, 0, 0] == 1).all()
    assert np.array_equal(run.labels[5].ravel()[1:], labels[5].ravel()[1:])


def test_a_picture_is_a_volume_of_one_plane(ball, segmenter):
    stack, labels = ball
    picture = ImageStack.from_array(stack.modalities[0].pixels[6])
    run = segment_volume(segmenter, picture, PROMPTS)
    assert len(list(run)) == 1
    assert np.array_equal(run.labels, labels[6])


def test_what_cannot_be_done_is_said(ball, segmenter):
    stack, _ = ball
    with pytest.raises(InputError, match="No class"):
        segment_volume(segmenter, stack, PromptSet(()))
    with pytest.raises(InputError, match="Plane 12 does not exist"):
        segment_volume(segmenter, stack, PROMPTS, planes=range(3, 13))
    with pytest.raises(InputError, match="No plane"):
        segment_volume(segmenter, stack, PROMPTS, planes=[])


def test_large_sums_lie_on_disk_and_say_the_same():
    rng = np.random.default_rng(0)
    sums = [ChanceSum(3, (4, 5, 6), 2, in_memory=n) for n in (0, 10**9)]
    assert [s.on_disk for s in sums] == [True, False]
    parts = [torch.from_numpy(rng.random((3, *shape), np.float32)) for shape in ((5, 6), (4, 6), (4, 5))]
    for s in sums:
        for axis, part in enumerate(parts):
            s.add(axis, 2, part)
    for axis in range(3):
        one, other = (s.plane(axis, 2) for s in sums)
        assert torch.equal(one, other)
    assert torch.allclose(
        sums[0].plane(0, 0)[:, 0],
        torch.cat([torch.zeros(3, 2), parts[2][:, 0, :1] / 2, torch.zeros(3, 3)], 1),
        atol=1e-3,
    )
    for s in sums:
        s.close()


def test_time_left_follows_the_latest_steps():
    now = [0.0]
    left = TimeLeft(10, latest=2, clock=lambda: now[0])
    assert left.text == ""
    for step in (100.0, 1.0, 1.0):
        now[0] += step
        left.step()
    assert left.seconds == pytest.approx(7.0)
    assert in_words(3) == "a few seconds left"
    assert in_words(31) == "about 35 s left"
    assert in_words(100) == "about 2 min left"
    assert in_words(2 * 3600) == "about 2 h 0 min left"
