"""NIfTI as it is met: every type of value, headers that contradict themselves; nibabel's own values in their place."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.images.nifti_files import encode_nifti
from napari_promptseg.images.readers import first_of_many, read_image

RNG = np.random.default_rng(0)
VALUES = RNG.integers(0, 90, (6, 5, 4))
VALUES[5, 0, 3] = 99
AFFINE = np.array([[-0.5, 0, 0, 40], [0, 0.75, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def save(path, values=None, affine=AFFINE, *, sform=None, qform=None, slope=None, **header):
    image = nibabel.Nifti1Image(VALUES.astype(np.int16) if values is None else values, affine)
    for name, form in (("sform", sform), ("qform", qform)):
        if form is not None:
            getattr(image, f"set_{name}")(form[0], code=form[1])
    if slope:
        image.header.set_slope_inter(*slope)
    for key, value in header.items():
        image.header[key] = value
    nibabel.save(image, path)
    return path


def place_of_mark(stack):
    (index,) = np.argwhere(np.asarray(stack.modalities[0].pixels) == 99)
    return (stack.geometry.affine @ [*index, 1])[:3]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1.0, -1.0), repeat=3)))
def test_every_orientation_and_handedness_against_nibabel(tmp_path, order, signs):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (row, sign, step) in enumerate(zip(order, signs, (0.5, 0.75, 3.0), strict=True)):
        affine[row, axis] = sign * step
    affine[:3, 3] = (40, -30, 7)
    path = save(tmp_path / "Schädel 1.nii.gz", affine=affine)
    stack = read_image(path)
    reference = nibabel.load(path)
    np.testing.assert_allclose(place_of_mark(stack), (LPS @ reference.affine @ [5, 0, 3, 1])[:3], atol=1e-5)
    upright = np.asarray(stack.modalities[0].pixels)
    np.testing.assert_array_equal(stack.geometry.to_file(upright), np.asarray(reference.dataobj))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".hdr"])
def test_values_of_every_type_come_bit_for_bit(tmp_path, dtype, ending):
    values = VALUES.astype(dtype)
    if ending == ".hdr":
        nibabel.save(nibabel.Nifti1Pair(values, AFFINE, dtype=dtype), tmp_path / "a.hdr")
    else:
        nibabel.save(nibabel.Nifti1Image(values, AFFINE, dtype=dtype), tmp_path / f"a{ending}")
    stack = read_image(tmp_path / f"a{ending}")
    pixels = np.asarray(stack.modalities[0].pixels)
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(stack.geometry.to_file(pixels), values)
    if ending == ".hdr":
        np.testing.assert_array_equal(read_image(tmp_path / "a.img").modalities[0].pixels, pixels)


def test_doubles_become_singles_unless_they_do_not_fit(tmp_path):
    values = RNG.random((6, 5, 4))
    stack = read_image(save(tmp_path / "a.nii", values))
    pixels = np.asarray(stack.modalities[0].pixels)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(stack.geometry.to_file(pixels), values.astype(np.float32))
    values[0, 0, 0] = 1e300
    pixels = np.asarray(read_image(save(tmp_path / "b.nii", values)).modalities[0].pixels)
    assert (pixels.dtype, pixels.max()) == (np.float64, 1e300)


def test_the_slope_is_applied(tmp_path):
    stored = VALUES.astype(np.int16)
    image = nibabel.Nifti1Image(stored, AFFINE)
    image.header.set_slope_inter(2.5, -1024)
    image.header.set_data_dtype(np.int16)
    data = image.to_bytes()
    (tmp_path / "a.nii").write_bytes(data)
    stack = read_image(tmp_path / "a.nii")
    reference = nibabel.load(tmp_path / "a.nii").get_fdata()
    np.testing.assert_allclose(stack.geometry.to_file(np.asarray(stack.modalities[0].pixels)), reference)


def test_complex_values_are_refused(tmp_path):
    save(tmp_path / "a.nii", VALUES.astype(np.complex64))
    with pytest.raises(InputError, match=r"'a\.nii' cannot be used: it holds complex values: save their magnitude"):
        read_image(tmp_path / "a.nii")


OTHER = np.array([[-0.5, 0, 0, 60], [0, 0.75, 0, -30], [0, 0, 3.0, 7], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("sform", "qform", "used", "note"),
    [
        ((AFFINE, 1), (AFFINE, 1), AFFINE, ""),
        ((AFFINE, 2), (OTHER, 1), AFFINE, "disagree by up to 20 mm: the sform was used"),
        ((OTHER, 0), (AFFINE, 1), AFFINE, ""),
        ((AFFINE, 4), (OTHER, 0), AFFINE, ""),
        ((AFFINE * 0, 1), (OTHER, 1), OTHER, "sform is broken: the qform was used"),
        ((np.full((4, 4), np.nan), 1), (OTHER, 1), OTHER, "sform is broken: the qform was used"),
    ],
)
def test_which_of_two_frames_counts(tmp_path, sform, qform, used, note):
    path = save(tmp_path / "a.nii", sform=(AFFINE, 1), qform=qform)
    # nibabel refuses to write some of these
    image = nibabel.load(path)
    header = image.header.copy()
    header["sform_code"], header["vox_offset"] = sform[1], 352
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = sform[0][row]
    content = bytearray(path.read_bytes())
    content[: header.sizeof_hdr] = header.binaryblock
    path.write_bytes(bytes(content))
    stack = read_image(path)
    np.testing.assert_allclose(place_of_mark(stack), (LPS @ used @ [5, 0, 3, 1])[:3], atol=1e-4)
    notes = " ".join(stack.metadata.get("notes", []))
    assert note in notes
    assert bool(note) == bool(notes)


def test_without_any_frame_the_sides_are_said_to_be_a_guess(tmp_path):
    path = save(tmp_path / "a.nii", sform=(AFFINE, 0), qform=(AFFINE, 0))
    stack = read_image(path)
    assert "left and right" in stack.metadata["notes"][0]
    np.testing.assert_allclose(place_of_mark(stack), (LPS @ nibabel.load(path).affine @ [5, 0, 3, 1])[:3], atol=1e-5)
    assert stack.spacing == pytest.approx((3.0, 0.75, 0.5))


def test_analyze_says_that_it_does_not_know_left(tmp_path):
    nibabel.save(nibabel.AnalyzeImage(VALUES.astype(np.int16), np.diag([-0.5, 0.75, 3.0, 1])), tmp_path / "a.hdr")
    stack = read_image(tmp_path / "a.hdr")
    assert stack.spacing == pytest.approx((3.0, 0.75, 0.5))
    assert "which side is the patient's left" in stack.metadata["notes"][0]


def test_a_series_in_time(tmp_path):
    values = RNG.integers(0, 99, (6, 5, 4, 3), dtype=np.int16)
    image = nibabel.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 1.5
    nibabel.save(image, tmp_path / "a.nii")
    stack = read_image(tmp_path / "a.nii")
    assert stack.metadata["time"] == 1.5
    assert stack.metadata["notes"] == ["The file holds 3 volumes, 1.5 s apart; each is a modality."]
    for i, modality in enumerate(stack.modalities):
        np.testing.assert_array_equal(stack.geometry.to_file(np.asarray(modality.pixels)), values[..., i])
    # components of vectors lie on a fifth axis
    nibabel.save(nibabel.Nifti1Image(values[:, :, :, np.newaxis], AFFINE), tmp_path / "b.nii")
    assert len(read_image(tmp_path / "b.nii").modalities) == 3
    nibabel.save(nibabel.Nifti1Image(np.zeros((2, 2, 2, 2, 2), np.uint8), AFFINE), tmp_path / "c.nii")
    with pytest.raises(InputError, match="5 axes"):
        read_image(tmp_path / "c.nii")


@pytest.mark.parametrize(("n", "seconds", "taken"), [(2, 1.5, 1), (4, 0.0, 4), (5, 0.0, 1)])
def test_volumes_that_are_no_modalities_are_not_taken_for_them(tmp_path, n, seconds, taken):
    image = nibabel.Nifti1Image(np.zeros((6, 5, 4, n), np.int16), AFFINE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = seconds
    nibabel.save(image, tmp_path / "a.nii")
    stack = first_of_many(read_image(tmp_path / "a.nii"))
    assert len(stack.modalities) == taken
    assert any("the first was taken" in note for note in stack.metadata.get("notes", [])) == (taken == 1)
    plain = read_image(save(tmp_path / "b.nii"))
    assert first_of_many(plain) is plain


def test_colours(tmp_path):
    colours = np.zeros((6, 5, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["G"] = VALUES
    nibabel.save(nibabel.Nifti1Image(colours, AFFINE), tmp_path / "a.nii")
    stack = read_image(tmp_path / "a.nii")
    assert stack.modalities[0].channels
    np.testing.assert_array_equal(stack.geometry.to_file(stack.modalities[0].pixels[..., 1]), VALUES)


def test_one_slice_of_each_direction_and_thick_ones(tmp_path):
    for axis in range(3):
        shape = [6, 5, 4]
        shape[axis] = 1
        stack = read_image(save(tmp_path / "a.nii", np.ones(shape, np.uint8)))
        assert stack.grid == tuple(reversed(shape))
    thick = np.diag([0.3, 0.3, 3.0, 1.0])
    assert read_image(save(tmp_path / "b.nii", affine=thick)).spacing == pytest.approx((3.0, 0.3, 0.3))


def test_metres_and_micrometres_become_millimetres(tmp_path):
    for unit, factor in (("meter", 1000.0), ("micron", 1e-3)):
        image = nibabel.Nifti1Image(VALUES.astype(np.int16), AFFINE)
        image.header.set_xyzt_units(unit)
        nibabel.save(image, tmp_path / "a.nii")
        stack = read_image(tmp_path / "a.nii")
        np.testing.assert_allclose(stack.spacing, np.array((3.0, 0.75, 0.5)) * factor)
        np.testing.assert_allclose(place_of_mark(stack), (LPS @ AFFINE @ [5, 0, 3, 1])[:3] * factor, rtol=1e-5)


def test_values_that_are_no_numbers_stay_and_are_counted(tmp_path):
    values = VALUES.astype(np.float32)
    values[0, 0, 0], values[1, 1, 1], values[2, 2, 2] = np.nan, np.inf, -np.inf
    stack = read_image(save(tmp_path / "a.nii", values))
    np.testing.assert_array_equal(stack.geometry.to_file(np.asarray(stack.modalities[0].pixels)), values)
    assert stack.metadata["notes"] == ["3 voxels hold no finite number; they are shown black."]
    assert stack.picture(0).shape == (5, 6, 3)


def test_the_second_file_of_a_pair_is_missing(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(VALUES.astype(np.int16), AFFINE), tmp_path / "a.hdr")
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"'a\.hdr' cannot be read") as caught:
        read_image(tmp_path / "a.hdr")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("at", "other"), [(256, "sform"), (280, "qform"), (308, "qform"), (324, "qform")])
def test_a_broken_sform_or_qform_is_not_handed_on(tmp_path, at, other):
    image = nibabel.Nifti1Image(VALUES.astype(np.int16), AFFINE)
    image.set_qform(AFFINE, code=1)
    raw = bytearray(image.to_bytes())
    raw[at : at + 4] = np.float32(np.nan).tobytes()  # a number of the quaternion or of a row of the sform
    (tmp_path / "a.nii").write_bytes(raw)
    stack = read_image(tmp_path / "a.nii")
    labels = np.ones(stack.grid, np.uint8)
    (tmp_path / "b.nii").write_bytes(encode_nifti(labels, stack.geometry, stack.metadata["nifti"], compress=False))
    back = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_allclose(back.affine, AFFINE)
    np.testing.assert_allclose(getattr(back, f"get_{other}")(), AFFINE)
