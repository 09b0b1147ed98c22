"""Planes along any axis: upright, square, lazy, and exactly back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, PlaneGrid, axis_of, axis_titles, resliced

LPS = [1.0, 1.0, 1.0]


def medical(values, spacing=(1.0, 1.0, 1.0)):
    """A volume whose file lies upright already."""
    z, y, x = spacing
    geometry = Geometry.of_file(values.shape[::-1], np.diag([x, y, z, 1.0]))
    return ImageStack((Modality("ct", values),), spacing=geometry.spacing, units="mm", geometry=geometry)


def marked():
    """Head, back and left end each have a bright voxel of their own value."""
    values = np.zeros((6, 5, 4), np.float32)
    values[-1, 0, 0], values[0, -1, 0], values[0, 0, -1] = 1, 2, 3
    return values


def test_the_head_is_up_in_coronal_and_sagittal_planes_and_nothing_else_turns():
    stack = medical(marked())
    coronal, sagittal = resliced(stack, "coronal"), resliced(stack, "sagittal")
    assert coronal.grid == (5, 6, 4)
    assert sagittal.grid == (4, 6, 5)
    assert coronal.region(0)[0, 0] == 1  # the head's voxel lies in the first row
    assert coronal.region(4)[5, 0] == 2
    assert coronal.region(0)[5, 3] == 3  # the patient's left is on the right
    assert sagittal.region(0)[0, 0] == 1
    assert sagittal.region(0)[5, 4] == 2  # the back is on the right
    assert resliced(stack, "axial") is stack


def test_a_stack_that_is_no_patient_is_not_turned_over():
    stack = ImageStack.from_array(marked(), channels=False)
    assert resliced(stack, "coronal").region(0)[5, 0] == 1
    assert axis_titles(stack) == ("z", "y", "x")
    assert resliced(stack, "coronal").axis_names == ("y", "z", "x")
    assert axis_titles(medical(marked())) == PLANE_AXES


@given(
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from([(1.0, 1.0, 1.0), (10.0, 1.0, 1.0), (1.0, 0.1, 0.3), (2.5, 0.7, 0.7), (0.5, 5.0, 1.0)]),
    st.sampled_from(PLANE_AXES),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_pixels_are_square_and_labels_come_back_as_they_were(shape, spacing, axis, patient):
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    stack = medical(values, spacing) if patient else ImageStack.from_array(values, channels=False, spacing=spacing)
    grid, shown = PlaneGrid.of(stack, axis), resliced(stack, axis)
    rows, columns = (spacing[a] for a in grid.across)
    assert shown.grid == (grid.n_planes, *grid.size)
    assert shown.spacing[1] == shown.spacing[2] == min(rows, columns)
    # the whole plane is there, to half a pixel
    assert abs(grid.size[0] * grid.step - grid.own_size[0] * rows) <= grid.step / 2 + 1e-9
    assert abs(grid.size[1] * grid.step - grid.own_size[1] * columns) <= grid.step / 2 + 1e-9
    for plane in range(grid.n_planes):
        own = values[grid.place(plane)]
        assert np.array_equal(grid.labels_back(grid.labels_shown(own)), own)
        assert shown.region(plane).shape == grid.size


def test_values_in_between_are_interpolated_and_parts_are_read_like_the_whole():
    values = np.zeros((2, 3, 4), np.int16)
    values[1] = 100
    stack = medical(values, (10.0, 1.0, 1.0))
    plane = resliced(stack, "coronal").region(1)
    assert plane.shape == (20, 4)
    column = plane[:, 0]
    assert column[0] == 100  # head up
    assert column[-1] == 0
    assert (np.diff(column) <= 0).all()
    assert np.abs(np.diff(column.astype(int))).max() <= 11
    whole = resliced(stack, "coronal")
    assert np.array_equal(whole.region(1, slice(5, 17), slice(1, 3)), plane[5:17, 1:3])


def test_probabilities_of_enlarged_planes_come_back_as_means():
    grid = PlaneGrid.of(medical(np.zeros((3, 4, 5)), (10.0, 1.0, 1.0)), "sagittal")
    shown = torch.linspace(0, 1, grid.size[0])[None, :, None].expand(2, *grid.size).contiguous()
    back = grid.chances_back(shown)
    assert back.shape == (2, 3, 4)
    # the first voxel is at the feet: the last rows of the plane
    assert torch.allclose(back[0, :, 0], torch.tensor([0.83, 0.5, 0.17]), atol=0.05)


class Counting:
    """A lazy volume that notes how much was read."""

    def __init__(self, values):
        self.values, self.read = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, at):
        part = self.values[at]
        self.read = max(self.read, part.size)
        return part


def test_only_the_plane_in_question_is_read():
    pixels = Counting(np.zeros((8, 9, 10), np.float32))
    stack = ImageStack((Modality("lazy", pixels, limits=(0.0, 1.0)),), spacing=(3.0, 1.0, 1.0))
    resliced(stack, "sagittal").region(3)
    assert 0 < pixels.read <= 8 * 9


def test_all_planes_have_the_greys_of_the_volume():
    values = np.linspace(0, 1000, 6 * 5 * 4).reshape(6, 5, 4).astype(np.float32)
    stack = medical(values)
    assert resliced(stack, "coronal").limits() == stack.limits()
    assert resliced(stack, "coronal").picture(2).shape == (6, 4, 3)


def test_colour_keeps_its_channels():
    values = np.random.default_rng(0).integers(0, 255, (4, 8, 9, 3)).astype(np.uint8)
    stack = ImageStack.from_array(values, spacing=(2.0, 1.0, 1.0))
    plane = resliced(stack, "coronal").picture(2)
    assert plane.shape == (8, 9, 3)
    assert np.array_equal(plane[0], values[0, 2])


def test_names_of_axes():
    assert [axis_of(n) for n in ("Axial", "y", " SAGITTAL ")] == ["axial", "coronal", "sagittal"]
    with pytest.raises(InputError, match="oblique"):
        axis_of("oblique")
    with pytest.raises(InputError, match="single plane"):
        PlaneGrid.of(ImageStack.from_array(np.zeros((5, 6))), "coronal")


def test_values_that_are_no_numbers_are_cut_without_a_word():
    """NumPy warns where it takes infinity from infinity, and the terminal would show it."""
    values = np.zeros((4, 6, 5), np.float32)
    values[1, 2:4] = np.inf
    values[1, 4] = np.nan
    plane = resliced(medical(values, (1.0, 3.0, 1.0)), "axial").region(1)
    assert plane.shape == (18, 5)
    assert np.isfinite(plane[:5]).all()
    assert not np.isfinite(plane[8:12]).any()
