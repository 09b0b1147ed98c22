"""A few corrected planes teach the whole volume."""

from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.volume_learner import VolumeLearner, VolumeSettings, shown_corrections
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.volumes.planes import PlaneGrid
from napari_promptseg.segmentation.volumes.prior import CorrectedPlane
from napari_promptseg.segmentation.volumes.run import segment_volume
from tests.pixel_encoder import PixelEncoder

#: A word that no picture shows: whatever is found was taught.
PROMPTS = PromptSet.from_text("thing", background=("black",))


@pytest.fixture
def case():
    """Two grey rods that look the same; only one of them is the thing."""
    labels = np.zeros((14, 24, 30), np.uint8)
    z, y, x = np.ogrid[:14, :24, :30]
    labels[(y - 8 - z * 0.3) ** 2 + (x - 8) ** 2 <= 16] = 1
    twin = (y - 15) ** 2 + (x - 23) ** 2 <= 16
    values = np.where(labels == 1, 200, 30).astype(np.float32)
    values[np.broadcast_to(twin, values.shape)] = 200
    values += np.random.default_rng(0).normal(0, 4, values.shape)
    geometry = Geometry.of_file(values.shape[::-1], np.diag([1.0, 1.0, 2.0, 1.0]))
    view = Modality("mr", values, kind="mr", limits=(0.0, 255.0))
    return ImageStack((view,), spacing=geometry.spacing, units="mm", geometry=geometry), labels


@pytest.fixture
def segmenter():
    return Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def segmented(segmenter, stack, taught, **keywords):
    run = segment_volume(segmenter, stack, taught.prompts, prior=taught.prior, **keywords)
    list(run)
    return run.labels


def test_looks_and_place_together_find_the_right_one(case, segmenter):
    stack, labels = case
    corrected = [CorrectedPlane("axial", p, labels[p]) for p in (2, 7, 12)]
    taught = VolumeLearner().fit(segmenter, stack, PROMPTS, corrected)
    out = segmented(segmenter, stack, taught)
    assert dice(out == 1, labels == 1) > 0.95
    for c in corrected:
        assert np.array_equal(out[c.plane], labels[c.plane])
    by_features = VolumeLearner(VolumeSettings(fine=None)).fit(segmenter, stack, PROMPTS, corrected)
    looks = segment_volume(segmenter, stack, by_features.prompts)
    list(looks)
    assert dice(looks.labels == 1, labels == 1) < 0.8  # the twin is found too
    assert taught.planes == (("axial", 2), ("axial", 7), ("axial", 12))


def test_planes_of_another_axis_with_thick_slices(case, segmenter):
    stack, labels = case
    corrected = [CorrectedPlane("sagittal", p, labels[:, :, p]) for p in (5, 8, 11, 20)]  # the last one shows nothing
    taught = VolumeLearner().fit(segmenter, stack, PROMPTS, corrected)
    out = segmented(segmenter, stack, taught, axes=("axial", "sagittal"))
    assert dice(out == 1, labels == 1) > 0.9
    assert np.array_equal(out[:, :, 8], labels[:, :, 8])


def test_one_plane_and_an_empty_one(case, segmenter):
    stack, labels = case
    ended = labels.copy()
    ended[9:] = 0
    corrected = [CorrectedPlane("axial", 5, ended[5]), CorrectedPlane("axial", 12, ended[12])]
    out = segmented(segmenter, stack, VolumeLearner().fit(segmenter, stack, PROMPTS, corrected))
    assert (out[5] == 1).any()
    assert not out[12].any()
    none = VolumeLearner().fit(segmenter, stack, PROMPTS, corrected[1:])
    assert none.prompts is PROMPTS
    assert none.prior is not None


def test_strokes_on_other_planes_teach_looks(case, segmenter):
    stack, labels = case
    marks = [Stroke.from_mask(labels[4] == v, v, plane=4) for v in (0, 1)]
    taught = VolumeLearner().fit(segmenter, stack, PROMPTS, [], corrections={"axial": Corrections(tuple(marks))})
    assert taught.prior is None
    assert taught.prompts.learned is not None
    out = segmented(segmenter, stack, taught, planes=[8])
    assert (out[8][labels[8] == 1] == 1).mean() > 0.9
    with pytest.raises(InputError, match="No plane is corrected"):
        VolumeLearner().fit(segmenter, stack, PROMPTS, [])


def test_features_that_are_there_are_not_encoded_again(case, segmenter):
    stack, labels = case
    features = {("axial", 3): segmenter.set_image(stack, plane=3)}

    class Refusing(PixelEncoder):
        def encode_plane(self, *_, **__):
            raise AssertionError("it was encoded before")

    VolumeLearner().fit(
        Segmenter(Refusing()), stack, PROMPTS, [CorrectedPlane("axial", 3, labels[3])], features=features
    )


def test_strokes_lie_on_the_plane_as_it_is_shown(case):
    grid = PlaneGrid.of(case[0], "coronal")
    stroke = Stroke.from_pixels([0, 1], [3, 4], 1, plane=6)
    (shown,) = shown_corrections(Corrections((stroke,)), grid)
    rows, columns = shown.pixels
    assert shown.plane == 6
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(27, 3), (26, 3), (25, 4), (24, 4)}


def test_place_reaches_less_far_where_planes_do_not_tell_of_each_other(segmenter, case):
    rng = np.random.default_rng(3)
    labels = np.kron(rng.random((14, 6, 6)) > 0.5, np.ones((1, 4, 4))).astype(np.uint8)
    values = np.where(labels == 1, 200, 30) + rng.normal(0, 4, labels.shape)
    geometry = Geometry.of_file(labels.shape[::-1], np.eye(4))
    view = Modality("mr", values.astype(np.float32), kind="mr", limits=(0.0, 255.0))
    folded = ImageStack((view,), spacing=geometry.spacing, units="mm", geometry=geometry)
    learner = VolumeLearner()
    taught = learner.fit(segmenter, folded, PROMPTS, [CorrectedPlane("axial", p, labels[p]) for p in (1, 5, 9, 12)])
    usual = learner.settings.place.growth
    assert taught.prior.settings.growth > usual
    out = segmented(segmenter, folded, taught)
    assert dice(out == 1, labels == 1) > 0.9
    stack, rods = case
    # place alone tells the rods apart
    plain = VolumeLearner(VolumeSettings(fine=None))
    compact = plain.fit(segmenter, stack, PROMPTS, [CorrectedPlane("axial", p, rods[p]) for p in (2, 7, 12)])
    assert compact.prior.settings.growth < usual


def test_tissues_between_two_brightnesses_are_told_apart_by_their_pixels(segmenter, tmp_path):
    """A class whose grey lies between two others', one pixel wide in places: no encoder's patch shows it."""
    rng = np.random.default_rng(0)
    shape = (10, 32, 32)
    tissue = rng.integers(0, 3, shape)
    values = np.choose(tissue, [40, 110, 180]) + rng.normal(0, 6, shape)
    labels = (tissue == 1).astype(np.uint8)
    stack = ImageStack((Modality("mr", values.astype(np.float32), kind="mr", limits=(0.0, 255.0)),))
    corrected = [CorrectedPlane("axial", p, labels[p]) for p in (1, 5, 8)]
    taught = VolumeLearner().fit(segmenter, stack, PROMPTS, corrected)
    out = segmented(segmenter, stack, taught)[3]
    assert dice(out == 1, labels[3] == 1) > 0.95
    saved = SavedPrompts(taught.prompts, "pixels", segmenter.encoder.fingerprint)
    read = load_prompts(save_prompts(tmp_path / "tissue", saved)).prompts
    segmenter.set_image(stack, plane=3)
    again = segmenter.segment(read).labels
    assert np.array_equal(again, segmenter.segment(taught.prompts).labels)
    assert dice(again == 1, labels[3] == 1) > 0.95
