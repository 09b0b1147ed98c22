"""The DICOM files that come with pydicom: real scanners, every compression, every kind of colour."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_samples import write_series
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_color_lut, apply_rescale, pixel_array

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_files import read_dicom
from napari_promptseg.images.dicom_series import list_series
from napari_promptseg.images.itk_decoder import DECODER


@pytest.fixture
def shipped():
    """Path of a file inside pydicom's own package; nothing is ever fetched."""

    def find(name):
        path = get_testdata_file(name, download=False)
        if path is None:
            pytest.skip(f"this pydicom does not ship {name}")
        return path

    return find


@pytest.mark.filterwarnings("ignore")
def test_what_decoders_log_does_not_get_out(shipped, caplog):
    """pydicom logs what a decoder raises with its traceback, and elsewhere what headers say."""
    path = shipped("JPEG2000-embedded-sequence-delimiter.dcm")

    def refused(_):
        with pytest.raises(InputError, match="cannot be read"):
            read_dicom(path)

    with caplog.at_level(logging.DEBUG, logger="pydicom"), ThreadPoolExecutor(4) as pool:
        list(pool.map(refused, range(8)))
        assert logging.getLogger("pydicom").level == logging.DEBUG, "it is as it was"
    assert [record.name for record in caplog.records if record.name.startswith("pydicom")] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEG2000.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "image_dfl.dcm",
        "examples_overlay.dcm",
    ],
)
def test_grey_values_are_pydicoms_own(shipped, name):
    data = pydicom.dcmread(shipped(name))
    expected = apply_rescale(pixel_array(data), data)
    stack = read_dicom(shipped(name))
    file_order = stack.modalities[0].pixels
    if stack.geometry is not None:
        file_order = stack.geometry.to_file(file_order)[..., 0].T
    np.testing.assert_array_equal(file_order, expected)
    assert file_order.dtype.isnative
    assert stack.picture().shape == (*stack.plane_shape, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "693_J2KI.dcm"])
def test_places_and_values_are_itks(shipped, name):
    image = SimpleITK.ReadImage(shipped(name))
    stack = read_dicom(shipped(name))
    values = stack.geometry.to_file(stack.modalities[0].pixels)
    np.testing.assert_array_equal(values.T, SimpleITK.GetArrayFromImage(image))
    for corner in ((0, 0, 0), (image.GetWidth() - 1, 0, 0), (0, image.GetHeight() - 1, 0)):
        np.testing.assert_allclose(
            (stack.geometry.file_affine @ [*corner, 1])[:3], image.TransformIndexToPhysicalPoint(corner), atol=1e-4
        )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "examples_rgb_color.dcm",
        "examples_jpeg2k.dcm",
        "examples_ybr_color.dcm",
        "ExplVR_BigEnd.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit_2frame.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_colours_are_pydicoms_own(shipped, name):
    stack = read_dicom(shipped(name))
    (modality,) = stack.modalities
    assert modality.channels
    assert modality.kind == "rgb"
    assert stack.geometry is None
    np.testing.assert_array_equal(modality.pixels, pixel_array(pydicom.dcmread(shipped(name))))
    assert stack.picture().shape == (*stack.plane_shape, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["GDCMJ2K_TextGBR.dcm", "SC_rgb_jpeg_gdcm.dcm"])
def test_colours_that_pydicom_leaves_to_others_are_itks(shipped, name):
    (modality,) = read_dicom(shipped(name)).modalities
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(shipped(name)))
    np.testing.assert_array_equal(modality.pixels, expected.reshape(modality.pixels.shape))


def test_a_cine_keeps_its_time(shipped):
    stack = read_dicom(shipped("examples_ybr_color.dcm"))
    assert (stack.grid, stack.axis_names) == ((30, 240, 320), ("t", "y", "x"))


def test_a_palette_becomes_colours(shipped):
    path = shipped("examples_palette.dcm")
    data = pydicom.dcmread(path)
    expected = apply_color_lut(data.pixel_array, data)
    pixels = read_dicom(path).modalities[0].pixels
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, expected >> (8 if expected.max() > 255 else 0))


def test_jpeg_of_12_bits_is_read_through_itk(shipped):
    pixels = read_dicom(shipped("JPGExtended.dcm")).modalities[0].pixels
    # what pydicom's own tests say that IJG's library makes of it
    assert (pixels.shape, pixels[420, 140], pixels[230, 120]) == ((1024, 256), 244, 95)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("MR_truncated.dcm", r"pixels of 'MR_truncated.dcm' cannot be read: fewer than the header says"),
        (
            "JPEG2000-embedded-sequence-delimiter.dcm",
            r"cannot be read: the file may be damaged, or its kind of JPEG 2000",
        ),
        ("rtdose.dcm", r"holds nothing that can be shown as an image \(RT Dose\)"),
        ("rtplan.dcm", r"RT Plan"),
        ("test-SR.dcm", r"Comprehensive SR"),
        ("liver_1frame.dcm", r"Segmentation"),
        ("waveform_ecg.dcm", r"12-lead ECG Waveform"),
        ("meta_missing_tsyntax.dcm", r"holds no image: it may be damaged"),
        ("DICOMDIR-empty.dcm", r"names no file|holds no image|nothing that can be"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_sentence(shipped, name, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read_dicom(shipped(name))
    assert str(caught.value).count(". ") == 0


@pytest.mark.filterwarnings("ignore")
def test_a_dicomdir_lists_what_it_names(shipped):
    from_directory = list_series(shipped("DICOMDIR"))
    folder = shipped("DICOMDIR").removesuffix("DICOMDIR")
    assert [i.key for i in from_directory] == [
        i.key for i in list_series(folder) if i.uid in {j.uid for j in from_directory}
    ]
    gated = next(info for info in from_directory if info.number == 5)
    assert (gated.description, gated.modality, gated.shape) == ("SmartScore - Gated 0.5 sec", "CT", (5, 16, 16))
    stack = read_dicom(shipped("DICOMDIR"), 5)
    image = SimpleITK.ImageSeriesReader()
    image.SetFileNames(image.GetGDCMSeriesFileNames(f"{folder}/98892001/CT5N"))
    np.testing.assert_array_equal(stack.modalities[0].pixels, SimpleITK.GetArrayFromImage(image.Execute()))
    # three scans of a pilot, each in a direction of its own
    assert {i.plane for i in from_directory if i.description == "T/S/C RF FAST PILOT"} == {
        "axial",
        "coronal",
        "sagittal",
    }


def lossless_jpeg(path, values):
    """As scanners send it; only ITK can write it."""
    image = SimpleITK.GetImageFromArray(values[None])
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(path))
    writer.Execute(image)


@pytest.mark.parametrize(
    "syntax",
    [
        pydicom.uid.RLELossless,
        pydicom.uid.JPEGLSLossless,
        pydicom.uid.JPEGLosslessSV1,
        pydicom.uid.DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda uid: uid.keyword,
)
def test_a_compressed_series_has_the_very_same_values(tmp_path, syntax):
    values = np.random.default_rng(0).integers(-1000, 3000, (3, 33, 35)).astype(np.int16)
    paths = write_series(tmp_path, values, RescaleSlope="1", RescaleIntercept="-24")
    for k, path in enumerate(paths):
        data = pydicom.dcmread(path)
        if syntax == pydicom.uid.JPEGLosslessSV1:
            lossless_jpeg(tmp_path / "jpeg.dcm", values[k])
            jpeg = pydicom.dcmread(tmp_path / "jpeg.dcm")
            assert jpeg.file_meta.TransferSyntaxUID == syntax
            data.file_meta.TransferSyntaxUID = syntax
            data.PixelData = jpeg.PixelData
            data["PixelData"].is_undefined_length = True
            (tmp_path / "jpeg.dcm").unlink()
        elif syntax.is_encapsulated:
            data.compress(syntax, generate_instance_uid=False)
        else:
            data.file_meta.TransferSyntaxUID = syntax
        data.save_as(path)
    np.testing.assert_array_equal(read_dicom(tmp_path).modalities[0].pixels, values - 24)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm"],
)
def test_damaged_planes_are_refused_and_the_program_lives_on(shipped, tmp_path, name):
    whole = Path(shipped(name)).read_bytes()
    pixels = whole.index(b"\xe0\x7f\x10\x00")
    random = np.random.default_rng(0)
    for n in range(8):
        broken = bytearray(whole)
        for at in random.integers(pixels + 30, len(whole), 6):
            broken[at] = random.integers(256)
        path = tmp_path / f"{n}.dcm"
        path.write_bytes(bytes(broken))
        try:
            read_dicom(path)
        except InputError as error:
            assert repr(path.name) in str(error)  # noqa: PT017 - some damage cannot be seen
    path = tmp_path / "cut.dcm"
    path.write_bytes(whole[: pixels + 100])
    with pytest.raises(InputError):
        read_dicom(path)


def test_a_decoder_that_ends_takes_only_itself(tmp_path):
    """As ITK's does over some damaged lossless JPEG."""
    values = np.random.default_rng(0).integers(0, 3000, (20, 30)).astype(np.int16)
    lossless_jpeg(tmp_path / "whole.dcm", values)
    np.testing.assert_array_equal(read_dicom(tmp_path / "whole.dcm").region().reshape(20, 30), values)
    child = DECODER._child
    assert child is not None
    child.kill()
    child.wait()
    with pytest.raises(InputError, match=r"'whole\.dcm' cannot be read: the file may be damaged"):
        read_dicom(tmp_path / "whole.dcm")
    np.testing.assert_array_equal(read_dicom(tmp_path / "whole.dcm").region().reshape(20, 30), values)
    DECODER.close()
