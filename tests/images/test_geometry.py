"""The turn of a volume: no voxel may change its place in the patient."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry

SHAPE = (5, 4, 3)
AXES = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
]


def affine_of(order, signs, spacing=(0.7, 1.3, 5.0), origin=(-11.0, 23.0, 300.0)):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (target, sign, step) in enumerate(zip(order, signs, spacing, strict=True)):
        affine[target, axis] = sign * step
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize(("order", "signs"), AXES)
def test_every_orientation_comes_upright_and_back(order, signs):
    affine = affine_of(order, signs)
    geometry = Geometry.of_file(SHAPE, affine)
    values = np.arange(60).reshape(SHAPE)
    upright = geometry.to_stack(values)
    assert upright.shape == geometry.shape
    np.testing.assert_array_equal(geometry.to_file(upright), values)
    # upright: one step along z, y, x goes to the head, the back and the left
    np.testing.assert_allclose(geometry.affine[:3, :3], np.fliplr(np.diag(np.flip(geometry.spacing))), atol=1e-12)
    # and each value is where it was
    for index in itertools.product(*map(range, upright.shape)):
        source = np.argwhere(values == upright[index])[0]
        np.testing.assert_allclose(geometry.affine @ [*index, 1], affine @ [*source, 1], atol=1e-9)
    assert geometry.is_straight
    np.testing.assert_allclose(geometry.origin, (geometry.affine @ [0, 0, 0, 1])[2::-1])
    assert geometry.voxel_volume == pytest.approx(0.7 * 1.3 * 5)


@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.sampled_from(AXES))
def test_oblique_volumes_keep_every_place(about_x, about_z, axes):
    cx, sx, cz, sz = np.cos(about_x), np.sin(about_x), np.cos(about_z), np.sin(about_z)
    turn = np.eye(4)
    turn[:3, :3] = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]]) @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    affine = turn @ affine_of(*axes)
    geometry = Geometry.of_file(SHAPE, affine)
    values = np.arange(60).reshape(SHAPE)
    upright = geometry.to_stack(values)
    np.testing.assert_array_equal(geometry.to_file(upright), values)
    index = (upright.shape[0] - 1, 0, upright.shape[2] - 1)
    source = np.argwhere(values == upright[index])[0]
    np.testing.assert_allclose(geometry.affine @ [*index, 1], affine @ [*source, 1], atol=1e-9)
    middle = (np.asarray(geometry.shape) - 1) / 2
    np.testing.assert_allclose(
        np.asarray(geometry.origin) + middle * geometry.spacing, (geometry.affine @ [*middle, 1])[2::-1], atol=1e-9
    )


def test_the_plane_of_acquisition_is_named():
    assert Geometry.of_file(SHAPE, np.eye(4)).acquired == "axial"
    assert Geometry.of_file(SHAPE, affine_of((1, 2, 0), (1, -1, 1))).acquired == "sagittal"
    assert Geometry.of_file(SHAPE, affine_of((0, 2, 1), (1, -1, 1))).acquired == "coronal"


@pytest.mark.parametrize("affine", [np.full((4, 4), np.nan), np.zeros((4, 4)), np.ones((4, 4))])
def test_a_broken_affine_keeps_the_files_order(affine):
    geometry = Geometry.of_file(SHAPE, affine)
    assert (geometry.order, geometry.flips) == ((2, 1, 0), (False, False, False))
    assert min(geometry.spacing) > 0


def test_labels_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"\(3, 4, 4\).*has \(3, 4, 5\)"):
        Geometry.of_file(SHAPE, np.eye(4)).to_file(np.zeros((3, 4, 4)))


def test_grids_are_compared_in_the_patient():
    one = Geometry.of_file(SHAPE, affine_of((0, 1, 2), (1, 1, 1)))
    mirrored = Geometry.of_file(SHAPE, affine_of((0, 1, 2), (-1, 1, 1), origin=(-11.0 + 4 * 0.7, 23.0, 300.0)))
    assert one.lies_like(mirrored)
    moved = Geometry.of_file(SHAPE, affine_of((0, 1, 2), (1, 1, 1), origin=(-10.0, 23.0, 300.0)))
    assert not one.lies_like(moved)


@pytest.mark.parametrize("length", [1e300, -1e200, 1e-200, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (1, 3)])
def test_lengths_that_nothing_has_are_no_place(length, place):
    matrix = np.diag([0.7, 1.3, 5.0, 1.0])
    matrix[place] = length
    geometry = Geometry.of_file((4, 5, 6), matrix)
    assert np.isfinite(geometry.affine).all()
    assert geometry.spacing[:2] == (5.0, 1.3)
    assert 0.1 < geometry.spacing[2] <= 1
