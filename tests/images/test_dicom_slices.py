"""Slices of a series that are missing, there twice, or oddly spaced."""

import itertools
import re
import shutil

import numpy as np
import pytest
from dicom_samples import dataset, place, save, upright_affine, write_series
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_files import read_dicom
from napari_promptseg.images.dicom_grid import grid_of
from napari_promptseg.images.dicom_headers import Frame, ImageHeader
from napari_promptseg.images.dicom_series import list_series

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def moved(offset, axis=2):
    affine = upright_affine()
    affine[axis, 3] += offset
    return affine


def test_missing_slices_are_named_and_left_empty(tmp_path):
    values = np.arange(9 * 4, dtype=np.int16).reshape(9, 2, 2) - 1000
    for path in np.array(write_series(tmp_path, values))[[3, 6, 7]]:
        path.unlink()
    stack = read_dicom(tmp_path)
    pixels = stack.modalities[0].pixels
    there = [0, 1, 2, 4, 5, 8]
    np.testing.assert_array_equal(pixels[there], values[there])
    assert (pixels[[3, 6, 7]] == -1000).all()
    np.testing.assert_allclose(stack.geometry.file_affine, upright_affine(), atol=1e-9)
    assert stack.metadata["notes"] == [
        "3 slices are missing (z = 107.5 mm, z = 115 mm, z = 117.5 mm): empty planes stand there."
    ]
    about = stack.metadata["dicom"]
    assert [bool(uid) for uid in about["sop_instance_uids"]] == [k in there for k in range(9)]
    assert [about["frames"][k] for k in (3, 4)] == [0, 1]
    (info,) = list_series(tmp_path)
    assert (info.count, info.shape) == (6, (9, 2, 2))


def test_a_series_of_two_distances_is_read_in_two_parts(tmp_path):
    places = [0, 3, 6, 9, 16, 23, 30]
    values = np.arange(7 * 9, dtype=np.int16).reshape(7, 3, 3)
    write_series(tmp_path, values, order=[6, 1, 0, 5, 3, 4, 2], edit=lambda data, k: place(data, moved(places[k])))
    with pytest.raises(
        InputError,
        match=r"holds 2 volumes in one series, which differ in .* spacing.*: "
        r"3:1 = CT, 4 axial planes 3 mm apart; 3:2 = CT, 3 axial planes 7 mm apart\.$",
    ):
        read_dicom(tmp_path)
    one, other = read_dicom(tmp_path, "3:1"), read_dicom(tmp_path, "3:2")
    np.testing.assert_array_equal(one.modalities[0].pixels, values[:4])
    np.testing.assert_array_equal(other.modalities[0].pixels, values[4:])
    np.testing.assert_allclose((one.geometry.affine @ [3, 0, 0, 1])[2], 109)
    np.testing.assert_allclose((other.geometry.affine @ [1, 0, 0, 1])[2], 123)
    assert one.metadata["notes"] == [
        "The series is unevenly spaced and was split at z = 116 mm: this is one of its 2 even parts."
    ]


def test_a_distance_that_doubles_as_the_headers_say_is_no_missing_slice(tmp_path):
    """A head is often taken with thin slices at its base and slices of twice the thickness above."""
    places = [0, 2.5, 5, 7.5, 12.5, 17.5, 22.5]

    def edit(thick):
        def write(data, k):
            place(data, moved(places[k]))
            data.SliceThickness = "2.5" if k < 4 or not thick else "5"

        return write

    write_series(tmp_path / "two", np.zeros((7, 3, 3), np.int16), edit=edit(True))
    found = [(info.count, info.shape[0], info.spacing[0]) for info in list_series(tmp_path / "two")]
    assert found == [(4, 4, 2.5), (3, 3, 5.0)]
    # of slices that are all as thin, every second one is missing
    write_series(tmp_path / "one", np.zeros((7, 3, 3), np.int16), edit=edit(False))
    assert [(info.count, info.shape[0]) for info in list_series(tmp_path / "one")] == [(7, 10)]


@pytest.mark.parametrize(
    ("places", "parts"),
    [
        ([-99, 103, 104, 105], [1, 3]),
        ([0, 2, 4, 6, 206], [4, 1]),
        ([0, 1, 2, 3, 5.5, 8, 10.5, 15, 19.5, 24], [4, 3, 3]),
    ],
)
def test_a_slice_far_off_stands_alone(tmp_path, places, parts):
    values = np.zeros((len(places), 3, 3), np.int16)
    write_series(tmp_path, values, edit=lambda data, k: place(data, moved(places[k])))
    assert [info.count for info in list_series(tmp_path)] == parts


def test_a_missing_slice_does_not_split_a_part(tmp_path):
    places = [0, 3, 9, 12, 15, 22, 29]  # 6 is missing
    write_series(tmp_path, np.zeros((7, 3, 3), np.int16), edit=lambda data, k: place(data, moved(places[k])))
    assert [(info.count, info.shape[0]) for info in list_series(tmp_path)] == [(5, 6), (2, 2)]


@pytest.mark.parametrize(
    ("places", "gap"),
    [
        ([0, 1, 2.6, 6.2, 7.9, 15], "z = 107.9 mm and z = 115 mm are 7.1 mm apart, the others mostly 1.7 mm"),
        ([0, 2, 4, 5.5, 8, 11, 500], "z = 111 mm and z = 600 mm are 489 mm apart, the others mostly 2.25 mm"),
    ],
)
def test_slices_without_any_order_are_refused_with_the_worst_gap(tmp_path, places, gap):
    values = np.zeros((len(places), 3, 3), np.int16)
    write_series(tmp_path, values, edit=lambda data, k: place(data, moved(places[k])))
    with pytest.raises(InputError, match=re.escape(gap)) as caught:
        read_dicom(tmp_path)
    assert "folder of their own" in str(caught.value)
    (info,) = list_series(tmp_path)
    assert gap in info.problem


def test_slices_shifted_sideways_are_refused(tmp_path):
    shifts = [0, 0, 8, 0, 0]
    write_series(
        tmp_path,
        np.zeros((5, 3, 3), np.int16),
        edit=lambda data, k: place(data, moved(shifts[k], axis=0), k),
    )
    with pytest.raises(InputError, match="shifted against each other sideways"):
        read_dicom(tmp_path)


def test_a_copied_file_is_dropped_with_a_note(tmp_path):
    paths = write_series(tmp_path, VALUES)
    shutil.copy(paths[2], tmp_path / "0 copy of it.dcm")
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, VALUES)
    assert stack.metadata["notes"] == ["1 slice is there twice: the copies were dropped."]
    assert (
        stack.metadata["dicom"]["files"].count("IM0002.dcm")
        + stack.metadata["dicom"]["files"].count("0 copy of it.dcm")
        == 1
    )


def test_a_series_exported_twice_is_one(tmp_path):
    write_series(tmp_path / "a", VALUES)
    write_series(tmp_path / "b", VALUES)  # with new instance UIDs
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, VALUES)
    assert stack.metadata["notes"] == ["4 slices are there twice: the copies were dropped."]


def test_a_slice_taken_again_is_told(tmp_path):
    write_series(tmp_path, VALUES)
    save(place(dataset(VALUES[1] + 7, InstanceNumber=9), upright_affine(), 1), tmp_path / "A.dcm")
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, VALUES)
    assert stack.metadata["notes"] == [
        "1 slice was taken again with another result (z = 102.5 mm): the first of each is shown."
    ]


def frames_at(places, orientation=(1.0, 0, 0, 0, 1.0, 0)):
    header = ImageHeader(None, "", "", "", "", "", 1, "", "CT", "MONOCHROME2", 5, 6, 1, None, frozenset())
    return [
        Frame(header, 0, tuple(map(float, p)), orientation, (0.9, 0.7), None, 1.0, 0.0, None, None, {}) for p in places
    ]


@settings(max_examples=60)
@given(
    st.floats(0.3, 10),
    st.integers(2, 40),
    st.floats(-0.5, 0.5),
    st.sets(st.integers(1, 38), max_size=8),
    st.randoms(use_true_random=False),
    st.integers(2, 6),
)
def test_any_even_grid_is_found_again(step, n, tilt, missing, random, digits):
    """Headers rounded, slices shuffled, some missing, the gantry tilted: the grid is that of the scanner."""
    kept = [k for k in range(n) if k in (0, n - 1) or k not in missing]
    wanted = np.array([0.0, tilt * step, step])
    places = [np.round(k * wanted + (1.0, 2.0, 3.0), digits if step > 1 else 6) for k in kept]
    neighbours = any(b - a == 1 for a, b in itertools.pairwise(kept))
    if not neighbours or n > 2 * len(kept):
        return
    order = list(places)
    random.shuffle(order)
    grid = grid_of(frames_at(order))
    assert [frame is not None for frame in grid.planes] == [k in kept for k in range(n)]
    np.testing.assert_allclose([f.position for f in grid.planes if f is not None], places)
    np.testing.assert_allclose(grid.affine[:3, 2], wanted, atol=0.02)
