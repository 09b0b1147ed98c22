"""DICOM volumes: every voxel where ITK puts it, every value as pydicom and ITK read it, nobody's name anywhere."""

import itertools

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_samples import (
    MR,
    PERSONAL,
    SECONDARY,
    ULTRASOUND_CINE,
    XRAY,
    dataset,
    enhanced_mr,
    place,
    save,
    upright_affine,
    write_series,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_files import read_dicom, source_headers
from napari_promptseg.images.dicom_pixels import _rescaled
from napari_promptseg.images.geometry import RAS_LPS

SHAPE = (4, 5, 6)  # slices, rows, columns


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(-1000, 3000, SHAPE).astype(np.int16)


def itk_read(folder, series=None):
    """What the reference library makes of the folder: the image, whose index is (column, row, slice)."""
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def turned(order, signs, spacing=(0.7, 0.9, 2.5), origin=(-20.0, -30.0, 100.0)):
    """Slices whose columns, rows and steps run along the patient's axes in any order and direction."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (target, sign, step) in enumerate(zip(order, signs, spacing, strict=True)):
        affine[target, axis] = sign * step
    affine[:3, 3] = origin
    # slices are stacked along row times column, as DICOM's own order has them
    affine[:3, 2] *= np.sign(np.linalg.det(affine[:3, :3]))
    return affine


ORIENTATIONS = [
    turned(order, (*signs, 1))
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), (1, -1))
]


@pytest.mark.parametrize("affine", ORIENTATIONS, ids=lambda a: "".join("xyz"[i] for i in np.abs(a[:3, :3]).argmax(0)))
def test_a_marked_corner_lies_where_itk_says(tmp_path, affine):
    values = np.zeros(SHAPE, np.int16)
    values[3, 0, 5] = 1234
    write_series(tmp_path, values, affine, order=[2, 0, 3, 1])
    image = itk_read(tmp_path)
    marked = np.argwhere(SimpleITK.GetArrayFromImage(image) == 1234)[0]
    expected = image.TransformIndexToPhysicalPoint([int(n) for n in marked[::-1]])

    stack = read_dicom(tmp_path)
    found = np.argwhere(stack.modalities[0].pixels == 1234)
    assert len(found) == 1
    np.testing.assert_allclose((stack.geometry.affine @ [*found[0], 1])[:3], expected, atol=1e-4)
    # upright: steps along z, y, x go to the head, the back and the left
    np.testing.assert_allclose(stack.geometry.affine[:3, :3], np.fliplr(np.diag(np.flip(stack.spacing))), atol=1e-6)
    np.testing.assert_array_equal(
        stack.geometry.to_file(stack.modalities[0].pixels).T, SimpleITK.GetArrayFromImage(image)
    )


def test_an_oblique_series_lies_where_itk_says(tmp_path, volume):
    about_x, about_z = 0.3, -0.2
    turn = np.eye(4)
    turn[:3, :3] = np.array(
        [[1, 0, 0], [0, np.cos(about_x), -np.sin(about_x)], [0, np.sin(about_x), np.cos(about_x)]]
    ) @ np.array([[np.cos(about_z), -np.sin(about_z), 0], [np.sin(about_z), np.cos(about_z), 0], [0, 0, 1]])
    write_series(tmp_path, volume, turn @ upright_affine())
    image, stack = itk_read(tmp_path), read_dicom(tmp_path)
    assert not stack.geometry.is_straight
    for index in itertools.product((0, 5), (0, 4), (0, 3)):
        np.testing.assert_allclose(
            (stack.geometry.file_affine @ [*index, 1])[:3], image.TransformIndexToPhysicalPoint(index), atol=1e-4
        )


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "expected"),
    [
        (np.int16, "1", "0", np.int16),
        (np.uint16, "1", "-1024", np.int16),
        (np.uint16, "2", "-1000", np.int32),
        (np.uint8, "1", "0", np.uint8),
        (np.int16, "0.5", "3", np.float32),
        (np.uint16, None, None, np.uint16),
    ],
)
def test_values_are_those_of_pydicom_and_itk(tmp_path, dtype, slope, intercept, expected):
    top = {np.uint8: 255, np.int16: 30000, np.uint16: 33000 if intercept == "-1024" else 65000}[dtype]
    low = -1024 if dtype == np.int16 else 0
    stored = np.random.default_rng(1).integers(low, top, SHAPE).astype(dtype)
    paths = write_series(tmp_path, stored, RescaleSlope=slope, RescaleIntercept=intercept)
    pixels = read_dicom(tmp_path).modalities[0].pixels
    assert pixels.dtype == expected
    reference = np.stack(
        [pydicom.pixels.apply_rescale(d.pixel_array, d) for d in (pydicom.dcmread(path) for path in paths)]
    )
    np.testing.assert_array_equal(pixels, reference)
    np.testing.assert_array_equal(pixels, SimpleITK.GetArrayFromImage(itk_read(tmp_path)))


def test_a_slope_that_changes_from_slice_to_slice_is_each_slices_own(tmp_path):
    stored = np.random.default_rng(2).integers(0, 4000, SHAPE).astype(np.uint16)
    slopes = ["0.25", "1", "0.3333333", "2"]
    paths = write_series(
        tmp_path,
        stored,
        sop_class="1.2.840.10008.5.1.4.1.1.128",
        edit=lambda data, k: setattr(data, "RescaleSlope", slopes[k]),
        RescaleIntercept="0",
    )
    reference = np.stack([pydicom.pixels.apply_rescale(d.pixel_array, d) for d in map(pydicom.dcmread, paths)])
    pixels = read_dicom(tmp_path).modalities[0].pixels
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, reference.astype(np.float32))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(6)), names=st.permutations([f"x{n}" for n in range(6)]), flip=st.booleans())
def test_neither_shuffling_nor_names_matter(tmp_path_factory, order, names, flip):
    values = np.arange(6 * 9, dtype=np.int16).reshape(6, 3, 3)
    folder = tmp_path_factory.mktemp("shuffled")
    # instance numbers follow the shuffled order as well
    write_series(folder, values, upright_affine(), order=order, name=lambda turn: f"{names[turn]}{'.IMA' * flip}")
    stack = read_dicom(folder)
    np.testing.assert_array_equal(stack.modalities[0].pixels, values)
    np.testing.assert_allclose(stack.geometry.file_affine, upright_affine(), atol=1e-9)


def test_what_is_said_about_the_file(tmp_path, volume):
    folder = tmp_path / "CT Thorax Größe"
    paths = write_series(folder, volume, SeriesDescription="Thorax  native\n5.0", order=[3, 2, 1, 0])
    stack = read_dicom(folder)
    assert (stack.units, stack.axis_names, stack.source) == ("mm", ("z", "y", "x"), "CT Thorax Größe")
    np.testing.assert_allclose(stack.spacing, (2.5, 0.9, 0.7))
    (modality,) = stack.modalities
    assert (modality.name, modality.kind, modality.limits) == ("Thorax native 5.0 (series 3)", "ct", (-160, 240))
    about = stack.metadata["dicom"]
    assert stack.metadata["format"] == "dicom"
    assert stack.metadata["notes"] == []
    assert about["files"] == ["IM0003.dcm", "IM0002.dcm", "IM0001.dcm", "IM0000.dcm"]
    assert about["sop_instance_uids"] == [pydicom.dcmread(path).SOPInstanceUID for path in reversed(paths)]
    assert about["frames"] == [1, 1, 1, 1]
    assert [about[k] for k in ("series_uid", "study_uid", "frame_of_reference", "modality", "series_key")] == [
        "1.2.3.2",
        "1.2.3.1",
        "1.2.3.3",
        "CT",
        "3",
    ]
    headers = source_headers(folder, stack)
    assert [h.SOPInstanceUID for h in headers] == about["sop_instance_uids"]
    paths[1].unlink()
    with pytest.raises(InputError, match="1 of the 4 DICOM files"):
        source_headers(folder, stack)


def test_mr_has_its_own_kind_and_no_window(tmp_path, volume):
    write_series(tmp_path, volume, sop_class=MR)
    modality = read_dicom(tmp_path).modalities[0]
    assert (modality.kind, modality.limits, modality.name) == ("mr", None, "MR (series 3)")


def test_nobody_is_named(tmp_path, volume):
    folder = tmp_path / "Mustermann Erika"
    write_series(
        folder,
        volume,
        name=lambda turn: f"Mustermann^{turn}.dcm" if turn else "PID4711",
        SeriesDescription="Kontrolle Erika M.",
        order=[1, 3, 0, 2],
        edit=lambda data, k: k == 3 and setattr(data, "PatientName", "Mustermann^E."),
    )
    stack = read_dicom(folder)
    seen = repr((stack.metadata, stack.source, [m.name for m in stack.modalities])).casefold()
    assert not [word for word in PERSONAL if word in seen]
    assert stack.modalities[0].name == "CT (series 3)"
    assert stack.source == "CT (series 3)"
    assert stack.metadata["dicom"]["files"] == [""] * 4


def test_one_file_is_one_slice(tmp_path, volume):
    paths = write_series(tmp_path, volume)
    stack = read_dicom(paths[2])
    np.testing.assert_array_equal(stack.modalities[0].pixels, volume[2:3])
    assert stack.geometry.spacing == pytest.approx((2.5, 0.9, 0.7))
    np.testing.assert_allclose((stack.geometry.affine @ [0, 0, 0, 1])[:3], (-20, -30, 105))


def test_a_tilted_gantry_keeps_every_place(tmp_path, volume):
    affine = upright_affine()
    affine[1, 2] = np.tan(np.deg2rad(15)) * 2.5
    paths = write_series(tmp_path, volume, affine, order=[1, 3, 0, 2])
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, volume)
    np.testing.assert_allclose(stack.geometry.file_affine, affine, atol=1e-6)
    assert not stack.geometry.is_straight
    assert stack.geometry.voxel_volume == pytest.approx(0.7 * 0.9 * 2.5)
    assert stack.metadata["notes"] == [
        "The gantry was tilted by 15.0°: the volume is sheared, and its geometry says so."
    ]
    one = pydicom.dcmread(paths[1])
    np.testing.assert_allclose((stack.geometry.affine @ [3, 0, 0, 1])[:3], one.ImagePositionPatient, atol=1e-6)


def test_an_enhanced_file_has_each_planes_own_place_and_rescaling(tmp_path):
    stored = np.random.default_rng(3).integers(0, 500, SHAPE).astype(np.uint16)
    shuffled = [2, 0, 3, 1]
    data = enhanced_mr(stored, upright_affine(), [1.0, 2.0, 3.0, 4.0])
    frames = data.PerFrameFunctionalGroupsSequence
    data.PerFrameFunctionalGroupsSequence = [frames[k] for k in shuffled]
    data.PixelData = stored[shuffled].tobytes()
    save(data, tmp_path / "enhanced")
    stack = read_dicom(tmp_path / "enhanced")
    np.testing.assert_array_equal(stack.modalities[0].pixels, stored * np.arange(1, 5)[:, None, None] + 5)
    np.testing.assert_allclose(stack.geometry.file_affine, upright_affine(), atol=1e-9)
    about = stack.metadata["dicom"]
    assert about["frames"] == [shuffled.index(k) + 1 for k in range(4)]
    assert set(about["sop_instance_uids"]) == {data.SOPInstanceUID}
    assert len(source_headers(tmp_path, stack)) == 1
    assert stack.modalities[0].kind == "mr"


def test_an_enhanced_file_of_two_times_is_two_volumes(tmp_path):
    stored = np.arange(6 * 4, dtype=np.uint16).reshape(6, 2, 2)
    save(enhanced_mr(stored, upright_affine(), [1.0] * 6, times=[1, 1, 1, 2, 2, 2]), tmp_path / "two")
    with pytest.raises(
        InputError, match=r"holds 2 volumes in one series.*3:1 = MR, 3 axial planes 2.5 mm apart; 3:2 = MR"
    ):
        read_dicom(tmp_path)
    np.testing.assert_array_equal(read_dicom(tmp_path, "3:2").modalities[0].pixels, stored[3:] + 5)


def test_a_cine_is_a_stack_of_pictures(tmp_path):
    frames = np.random.default_rng(4).integers(0, 255, (7, 8, 9, 3)).astype(np.uint8)
    save(dataset(frames, ULTRASOUND_CINE, NumberOfFrames=7), tmp_path / "cine")
    stack = read_dicom(tmp_path / "cine")
    assert (stack.axis_names, stack.units, stack.geometry) == (("t", "y", "x"), "pixel", None)
    assert stack.modalities[0].channels
    assert stack.modalities[0].kind == "rgb"
    np.testing.assert_array_equal(stack.modalities[0].pixels, frames)
    np.testing.assert_array_equal(stack.picture(3), frames[3])
    # a nuclear scan of the same shape does not move: its planes are angles or slices
    save(dataset(frames, ULTRASOUND_CINE, NumberOfFrames=7, Modality="NM"), tmp_path / "angles")
    angles = read_dicom(tmp_path / "angles")
    assert angles.axis_names == ("plane", "y", "x")
    assert "do not say where" in angles.metadata["notes"][0]


def test_a_planar_xray_that_is_stored_dark_for_light_is_turned_round(tmp_path):
    stored = np.arange(20, 40, dtype=np.uint16).reshape(4, 5)
    tags = {"PhotometricInterpretation": "MONOCHROME1", "ImagerPixelSpacing": ["0.2", "0.3"]}
    stack = read_dicom(save(dataset(stored, XRAY, **tags), tmp_path / "xray"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, 59 - stored)
    assert stack.modalities[0].pixels.dtype == np.uint16
    assert (stack.spacing, stack.units, stack.axis_names) == ((0.2, 0.3), "mm", ("y", "x"))
    # Hounsfield units stay what they are: their window already shows bone white
    ct = place(dataset(stored, PhotometricInterpretation="MONOCHROME1"), upright_affine())
    np.testing.assert_array_equal(read_dicom(save(ct, tmp_path / "ct")).modalities[0].pixels[0], stored)


@pytest.mark.parametrize("padding", [-32768, 32768], ids=["signed", "as if unsigned"])
def test_padding_does_not_darken_the_picture(tmp_path, padding):
    values = np.random.default_rng(5).integers(100, 1100, (3, 40, 40)).astype(np.int16)
    values[:, :12] = -32768

    def pad(data, k):
        data.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)

    write_series(tmp_path, values, sop_class=MR, edit=pad)
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, values)
    low, high = stack.limits()
    assert 100 <= low < 130
    assert 1070 < high < 1100


def test_pages_without_a_place_come_in_their_own_order(tmp_path):
    values = np.arange(3 * 4, dtype=np.uint8).reshape(3, 2, 2)
    for k, name in enumerate(("z", "a", "m")):
        save(dataset(values[k], SECONDARY, InstanceNumber=k + 1), tmp_path / name)
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, values)
    assert stack.axis_names == ("plane", "y", "x")
    assert "do not say where" in stack.metadata["notes"][0]
    # slice locations, where there are any, count more than numbers
    for k, name in enumerate(("z", "a", "m")):
        save(dataset(values[k], SECONDARY, InstanceNumber=k + 1, SliceLocation=str(-k)), tmp_path / name)
    np.testing.assert_array_equal(read_dicom(tmp_path).modalities[0].pixels, values[::-1])


def test_colours_with_a_place_make_a_volume(tmp_path):
    values = np.random.default_rng(6).integers(0, 255, (3, 4, 5, 3)).astype(np.uint8)
    write_series(tmp_path, values, order=[2, 0, 1])
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, values)
    assert stack.grid == stack.geometry.shape == (3, 4, 5)


@given(st.lists(st.integers(-32768, 32767), min_size=4, max_size=4), st.integers(-4, 4), st.integers(-2000, 2000))
def test_whole_rescaling_is_exact(values, slope, intercept):
    class Plane:
        def __init__(self):
            self.slope, self.intercept = float(slope or 1), float(intercept)

    stored = np.array(values, np.int16).reshape(2, 1, 2)
    out = _rescaled(stored, [Plane(), Plane()])
    assert out.dtype.kind in "iu"
    assert out.ravel().tolist() == [v * (slope or 1) + intercept for v in values]


def test_a_torso_from_nifti_to_dicom_and_back(tmp_path, data_pack):
    import nibabel

    image = nibabel.load(data_pack("vol_torso_ct_mr") / "ct_torso" / "ct.nii.gz")
    values = np.asarray(image.dataobj)[::2, ::2, ::8].astype(np.int16)
    affine = RAS_LPS @ image.affine @ np.diag([2, 2, 8, 1])
    if np.linalg.det(affine[:3, :3]) < 0:  # DICOM's rows and columns make a right-handed grid
        values = values[::-1]
        affine = affine @ np.array([[-1, 0, 0, values.shape[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    write_series(tmp_path, values.T, affine, RescaleSlope="1", RescaleIntercept="0")
    stack, reference = read_dicom(tmp_path), itk_read(tmp_path)
    np.testing.assert_array_equal(stack.geometry.to_file(stack.modalities[0].pixels), values)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(reference).T, values)
    np.testing.assert_allclose(stack.geometry.file_affine, affine, atol=1e-4)
    assert stack.picture(stack.n_planes // 2).std() > 20
