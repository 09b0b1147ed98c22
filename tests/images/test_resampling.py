"""Volumes on another's grid: what lies at a place in the patient must lie there afterwards."""

import re

import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images import resampling
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.resampling import onto_grid
from napari_promptseg.images.stack import ImageStack, Modality


def grid(shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0), turn=None):
    """A grid of `shape` (x, y, z) with steps and origin along (x, y, z), perhaps turned."""
    affine = np.diag([*spacing, 1.0])
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = origin
    return Geometry.of_file(shape, affine)


def resampled(values, source, target, **keywords):
    return resampling.resampled(values, np.linalg.solve(source.affine, target.affine), target.shape, **keywords)


def places(geometry):
    """``(3, z, y, x)`` in mm: x, y, z of every voxel."""
    index = np.stack([*np.indices(geometry.shape), np.ones(geometry.shape)])
    return np.einsum("ij,jzyx->izyx", geometry.affine, index)[:3]


def rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def stack_of(values, geometry, name="CT", frame="", **keywords):
    metadata = {"format": "dicom", "notes": ["one"], "dicom": {"frame_of_reference": frame}}
    return ImageStack((Modality(name, values, **keywords),), geometry.spacing, "mm", (), name, metadata, geometry)


steps = st.floats(0.4, 4)


@settings(max_examples=50, deadline=None)
@given(st.tuples(steps, steps, st.floats(0.4, 10)), st.tuples(*[st.floats(-3, 3)] * 3), st.floats(-0.5, 0.5))
def test_a_ramp_in_millimetres_stays_that_ramp(spacing, origin, angle):
    """Smoothing and linear interpolation keep a linear function exactly, whatever the two grids are."""
    source = grid((24, 22, 20), (2.0, 2.0, 2.0), (-20.0, -20.0, -20.0), rotation(0.2))
    target = grid((5, 6, 7), spacing, origin, rotation(angle))
    weights = np.array([1.0, -2.0, 0.5])
    ramp = np.einsum("i,izyx->zyx", weights, places(source))
    found = resampled(ramp, source, target, fill=np.nan)
    index = np.einsum(
        "ij,jzyx->izyx", np.linalg.inv(source.affine), np.concatenate([places(target), np.ones((1, *target.shape))])
    )
    # smoothing knows nothing beyond the edge
    coarser = np.linalg.norm(np.linalg.solve(source.affine, target.affine)[:3, :3], axis=1)
    reach = np.where(coarser > 1.01, np.ceil(3 * 0.425 * coarser) + 1, 0)[:, None, None, None]
    last = np.array(source.shape)[:, None, None, None] - 1
    within = ((index[:3] >= reach) & (index[:3] <= last - reach)).all(axis=0)
    np.testing.assert_allclose(found[within], np.einsum("i,izyx->zyx", weights, places(target))[within], atol=1e-6)
    beyond = ((index[:3] < -0.51) | (index[:3] > np.array(source.shape)[:, None, None, None] - 0.49)).any(axis=0)
    assert np.isnan(found[beyond]).all()


def test_the_same_grid_gives_the_same_values():
    values = np.random.default_rng(0).integers(-1000, 3000, (4, 5, 6)).astype(np.int16)
    here = grid((6, 5, 4), (0.7, 0.9, 2.5), (1.0, 2.0, 3.0))
    assert onto_grid(stack_of(values, here), here).modalities[0].pixels is values
    np.testing.assert_array_equal(resampled(values, here, here), values)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.booleans()] * 3), st.tuples(*[st.integers(-3, 3)] * 3), st.sampled_from([0, 1]))
def test_mirrored_and_shifted_grids_give_the_very_same_values(flips, shift, order):
    spacing = np.array([0.7, 0.9, 2.5])
    values = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    source = grid((6, 5, 4), spacing, (1.0, 2.0, 3.0))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array([1.0, 2.0, 3.0]) + shift * spacing
    for axis, flip in enumerate(flips):
        if flip:
            affine[axis, 3] += spacing[axis] * ((6, 5, 4)[axis] - 1)
            affine[axis, axis] *= -1
    # a file that runs the other way is turned upright: the same voxels
    found = resampled(values, source, Geometry.of_file((6, 5, 4), affine), order=order, fill=-9.0)
    expected = np.full_like(values, -9.0)
    to, out = [], []
    for n, s in zip((4, 5, 6), shift[::-1], strict=True):
        to.append(slice(max(0, -s), n - max(0, s)))
        out.append(slice(max(0, s), n - max(0, -s)))
    expected[tuple(to)] = values[tuple(out)]
    np.testing.assert_array_equal(found, expected)


def test_an_anisotropic_volume_agrees_with_itk():
    values = np.random.default_rng(2).integers(-1000, 3000, (5, 20, 22)).astype(np.int16)
    source = grid((22, 20, 5), (0.8, 0.8, 8.0), (-8.0, -8.0, -16.0))
    target = grid((17, 15, 25), (0.7, 0.75, 1.3), (-7.3, -6.6, -15.1), rotation(0.02))
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing((0.8, 0.8, 8.0))
    image.SetOrigin((-8.0, -8.0, -16.0))
    wanted = SimpleITK.Image((17, 15, 25), SimpleITK.sitkInt16)
    wanted.SetSpacing((0.7, 0.75, 1.3))
    wanted.SetOrigin((-7.3, -6.6, -15.1))
    wanted.SetDirection(rotation(0.02).ravel())
    for order, method in ((1, SimpleITK.sitkLinear), (0, SimpleITK.sitkNearestNeighbor)):
        reference = SimpleITK.Resample(image, wanted, SimpleITK.Transform(), method, -5000, SimpleITK.sitkFloat64)
        expected = np.transpose(SimpleITK.GetArrayFromImage(reference), (0, 1, 2))
        found = resampled(values, source, target, order=order, fill=-5000)
        inside = (expected > -5000) & (found > -5000)
        assert inside.sum() > 1000
        off = np.abs(found[inside] - expected[inside])
        # linear: rounded to whole numbers here; nearest: where two voxels are equally near either is right
        assert (off <= 0.5001).mean() > (0.9999 if order else 0.995)


def test_labels_stay_labels():
    source = grid((6, 6, 3), (1.0, 1.0, 4.0))
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[1, 2:4, 2:4] = 200
    target = grid((12, 12, 12), (0.5, 0.5, 1.0), (-0.25, -0.25, -1.5))
    found = resampled(labels, source, target, order=0, fill=0)
    assert found.dtype == np.uint8
    assert np.unique(found).tolist() == [0, 200]
    assert (found == 200).sum() * target.voxel_volume == pytest.approx((labels == 200).sum() * source.voxel_volume)


def test_masks_and_colours():
    source, target = grid((4, 4, 4)), grid((8, 8, 8), (0.5, 0.5, 0.5), (-0.25, -0.25, -0.25))
    mask = np.zeros((4, 4, 4), bool)
    mask[1:3] = True
    found = resampled(mask, source, target, order=0)
    assert found.dtype == bool
    assert found.sum() == mask.sum() * 8
    colours = np.random.default_rng(3).integers(0, 255, (4, 4, 4, 3)).astype(np.uint8)
    assert resampled(colours, source, target, order=0).shape == (8, 8, 8, 3)
    np.testing.assert_array_equal(resampled(colours, source, target, order=0)[::2, ::2, ::2], colours)


def test_a_single_slice_reaches_as_far_as_it_is_thick():
    source, target = grid((4, 4, 1), (1.0, 1.0, 5.0)), grid((4, 4, 9), (1.0, 1.0, 1.0), (0.0, 0.0, -4.0))
    found = resampled(np.full((1, 4, 4), 7.0), source, target, fill=0.0)
    assert found[:, 0, 0].tolist() == [0, 0, 7, 7, 7, 7, 7, 0, 0]


def test_finer_stripes_than_the_new_grid_holds_do_not_become_false_ones():
    stripes = np.zeros((4, 60, 60), np.float32)
    stripes[:, :, ::2] = 100
    source, target = grid((60, 60, 4)), grid((13, 60, 4), (4.4, 1.0, 1.0), (2.0, 0.0, 0.0))
    found = resampled(stripes, source, target)[:, :, 1:-1]
    assert np.abs(found - 50).max() < 5
    # along the other axes nothing is lost
    across = resampled(stripes.transpose(0, 2, 1), source, target)
    np.testing.assert_array_equal(across[:, ::2, 1:-1], 100)
    np.testing.assert_array_equal(across[:, 1::2, 1:-1], 0)


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_a_coarser_grid_keeps_what_is_there_in_all(factor):
    blob = np.zeros((60, 60, 60), np.float32)
    blob[24:31, 25:33, 26:36] = 40
    n = 60 // factor
    target = grid((n, n, n), (factor,) * 3, ((factor - 1) / 2,) * 3)
    found = resampled(blob, grid((60, 60, 60)), target)
    assert found.sum() * factor**3 == pytest.approx(blob.sum(), rel=0.02)
    centre = [(found.sum(axis=tuple({0, 1, 2} - {a})) * np.arange(n)).sum() / found.sum() for a in range(3)]
    np.testing.assert_allclose(np.array(centre) * factor + (factor - 1) / 2, [27, 28.5, 30.5], atol=0.1)


@pytest.mark.parametrize("step", [0.5, 3.0])
def test_what_is_no_number_does_not_spread(step):
    values = np.full((12, 12, 12), 7.0, np.float32)
    values[6, 6, 6], values[:, :, :3], values[2, 9, 9] = np.nan, np.nan, np.inf
    n = int(12 / step)
    found = resampled(values, grid((12, 12, 12)), grid((n, n, n), (step,) * 3, ((step - 1) / 2,) * 3))
    assert np.isnan(found).any()
    np.testing.assert_allclose(found[np.isfinite(found)], 7.0, rtol=1e-6)
    assert np.isfinite(found[:, :, int(4 / step) :]).mean() > 0.95


def test_pictures_of_two_axes():
    picture = np.random.default_rng(6).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    matrix = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    found = resampling.resampled(picture, matrix, (80, 100), order=0)
    np.testing.assert_array_equal(found, picture.repeat(2, axis=0).repeat(2, axis=1))


def test_parts_fit_together(monkeypatch):
    source = grid((9, 8, 7), (1.0, 1.2, 1.4))
    values = np.random.default_rng(4).normal(size=(7, 8, 9))
    for steps in ((0.8, 0.9, 0.7), (1.8, 0.9, 2.7)):
        target = grid((10, 11, 12), steps, (0.3, 0.2, 0.1), rotation(0.1))
        whole = resampled(values, source, target)
        with monkeypatch.context() as patched:
            patched.setattr(resampling, "_AT_A_TIME", 30)
            seen = []
            parts = resampled(values, source, target, progress=lambda *told, seen=seen: seen.append(told))
            np.testing.assert_allclose(parts, whole, atol=1e-12)
            assert seen[-1] == (len(seen) - 1, len(seen), "Resampling")
            assert len(seen) > 20

    def stop(*told):
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        resampled(values, source, target, progress=stop)


def test_a_large_result_is_computed_where_it_is_looked_at(monkeypatch):
    """Of the source only what a block needs is read, and of the result only what is asked for is made."""

    class OnDisk:
        shape, dtype, ndim = (30, 200, 200), np.dtype(np.int16), 3
        read = 0

        def __getitem__(self, at):
            part = np.add.outer(np.arange(30), np.add.outer(np.arange(200), np.arange(200)))[at].astype(np.int16)
            self.read += part.size
            return part

    stored = OnDisk()
    source, target = grid((200, 200, 30)), grid((300, 300, 30), (0.6, 0.6, 0.9), (1.0, 1.0, 1.0), rotation(0.05))
    expected = resampled(stored, source, target, fill=0)
    monkeypatch.setattr(resampling, "_LARGE", 1000)
    monkeypatch.setattr(resampling, "_AT_A_TIME", 20000)
    stored.read = 0
    found = resampled(stored, source, target, fill=0)
    assert (found.shape, found.dtype, stored.read) == ((30, 300, 300), np.int16, 0)
    np.testing.assert_array_equal(found[11, 40:60, 50:70].compute(), expected[11, 40:60, 50:70])
    assert 0 < stored.read < 30 * 200 * 200 / 10
    np.testing.assert_array_equal(found.compute(), expected)


def test_a_stack_takes_the_grid_and_says_so():
    source, target = grid((6, 5, 4), (2.0, 2.0, 2.0)), grid((12, 10, 8), (1.0, 1.0, 1.0), (-0.5, -0.5, -0.5))
    values = np.random.default_rng(5).integers(0, 900, (4, 5, 6)).astype(np.int16)
    mr = stack_of(values, source, "T1 (series 3)", "1.2.3", kind="mr")
    ct = stack_of(np.zeros((8, 10, 12)), target, "CT (series 1)", "1.2.3")
    found = onto_grid(mr, ct)
    assert (found.grid, found.spacing, found.geometry, found.units) == ((8, 10, 12), target.spacing, target, "mm")
    assert (found.modalities[0].name, found.modalities[0].kind) == ("T1 (series 3)", "mr")
    assert found.modalities[0].pixels.dtype == np.int16
    assert found.metadata["notes"] == ["one", "Resampled from 2 × 2 × 2 to 1 × 1 × 1 mm, linearly."]
    assert "dicom" not in found.metadata
    np.testing.assert_array_equal(onto_grid(mr, target).modalities[0].pixels, found.modalities[0].pixels)
    # both in one scene
    assert ImageStack((*ct.modalities, *found.modalities), geometry=target).grid == (8, 10, 12)


def test_differing_frames_of_reference_are_told():
    source, target = grid((4, 4, 4)), grid((4, 4, 4), origin=(0.4, 0.0, 2.0))
    one, other = (stack_of(np.zeros((4, 4, 4)), g, n, f) for g, n, f in ((source, "a", "1.1"), (target, "b", "1.2")))
    first, covers, frames = onto_grid(one, other, order=0).metadata["notes"]
    assert first == "one"
    assert "to the nearest voxel; it covers 50% of the new grid" in covers
    assert "'a' and 'b' state different frames of reference" in frames


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (ImageStack.from_array(np.zeros((4, 4, 4)), source="flat"), "'flat' does not say where in the patient it lies"),
        (grid((4, 4, 4), origin=(900.0, 0.0, 0.0)), "have no part of the patient in common"),
    ],
)
def test_what_cannot_be_laid_together_is_refused(target, reason):
    stack = stack_of(np.zeros((4, 4, 4)), grid((4, 4, 4)))
    with pytest.raises(InputError, match=re.escape(reason)):
        onto_grid(stack, target)


def test_an_array_of_fewer_axes_is_refused():
    with pytest.raises(InputError, match=r"of shape \(4, 5\) does not lie on a grid of 3 axes"):
        resampled(np.zeros((4, 5)), grid((4, 4, 4)), grid((2, 2, 2)))


def test_a_modality_that_is_absent_stays_so():
    here, there = grid((4, 4, 4)), grid((4, 4, 4), origin=(0.5, 0.0, 0.0))
    stack = ImageStack((Modality("CT", np.zeros((4, 4, 4))), Modality("PET", None)), geometry=here)
    found = onto_grid(stack, there)
    assert [m.is_absent for m in found.modalities] == [False, True]


def test_smoothing_is_told():
    stack = stack_of(np.zeros((8, 8, 8)), grid((8, 8, 8)))
    (_, note) = onto_grid(stack, grid((4, 4, 4), (2.0, 2.0, 2.0), (0.5, 0.5, 0.5))).metadata["notes"]
    assert note == "Resampled from 1 × 1 × 1 to 2 × 2 × 2 mm, linearly, smoothed where steps become longer."
