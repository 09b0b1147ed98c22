"""Folders of DICOM files with other things in them, and headers that break the standard."""

import sys
import warnings

import numpy as np
import pytest
from dicom_samples import CT, PERSONAL, dataset, place, save, upright_affine, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, generate_uid

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.dicom_files import read_dicom, source_headers
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.dicom_patient import without_patient
from napari_promptseg.images.dicom_series import list_series

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def sagittal():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -2.5], [0.7, 0, 0], [0, -0.9, 0]])
    return affine


def test_what_is_no_image_is_left_out_and_told(tmp_path):
    write_series(tmp_path, VALUES)
    for n, sop_class in enumerate(("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.2")):
        save(dataset(np.zeros((2, 2), np.uint8), sop_class), tmp_path / f"other{n}")
    for n in range(2):
        report = dataset(np.zeros((2, 2), np.uint8), "1.2.840.10008.5.1.4.1.1.88.11", Rows=None, Columns=None)
        save(report, tmp_path / f"report{n}")
    (tmp_path / "broken").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\xff\xff")
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, VALUES)
    assert stack.metadata["notes"] == [
        "Left out, as they cannot be shown as images: 2 Basic Text SR, 1 RT Dose, 1 Segmentation.",
        "1 file could not be read and may be damaged.",
    ]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.mkdir(), "holds no DICOM file"),
        (lambda p: None, "There is no file or folder"),
        (lambda p: p.write_text("text"), "is no DICOM file"),
        (lambda p: p.write_bytes(b""), "is no DICOM file"),
        (
            lambda p: save(dataset(np.zeros((2, 2), np.uint8), "1.2.840.10008.5.1.4.1.1.66.4"), p),
            r"holds nothing that can be shown as an image \(Segmentation\)",
        ),
    ],
)
def test_nothing_to_read_is_told_in_a_sentence(tmp_path, make, reason):
    path = tmp_path / "ein Ordner für Ü"
    make(path)
    for read in (read_dicom, list_series):
        with pytest.raises(InputError, match=reason):
            read(path)


def test_files_without_pixels_or_with_too_few_are_refused_by_name(tmp_path):
    data = place(dataset(VALUES[0]), upright_affine())
    del data.PixelData
    save(data, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"'a\.dcm' has a header but no pixels") as caught:
        read_dicom(tmp_path)
    assert not [word for word in PERSONAL if word in str(caught.value).casefold()]


def test_headers_that_break_the_standard_do_not_matter(tmp_path):
    path = write_series(tmp_path, VALUES[:1], SeriesDescription="plain", EchoTime="20.000000")[0]
    path.write_bytes(path.read_bytes().replace(b"20.000000", b"twenty!!!"))
    assert read_dicom(path).modalities[0].name == "plain (series 3)"


def test_without_preamble_it_is_still_dicom(tmp_path):
    data = place(dataset(VALUES[0]), upright_affine())
    path = tmp_path / "old"
    data.file_meta = type(data.file_meta)()
    data.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert is_dicom(path)
    np.testing.assert_array_equal(read_dicom(path).modalities[0].pixels, VALUES[:1])


def test_dicom_is_known_by_its_bytes(tmp_path):
    (path,) = write_series(tmp_path, VALUES[:1], name=lambda turn: "ohne Endung")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + bytes(200))
    assert is_dicom(path)
    assert not is_dicom(tmp_path / "picture.png")
    assert not is_dicom(tmp_path / "none")


def test_reading_is_stopped_by_its_listener(tmp_path):
    write_series(tmp_path, VALUES)
    seen = []

    def stop(done, total, description):
        seen.append((done, total, description))
        if len(seen) == 6:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        read_dicom(tmp_path, progress=stop)
    assert seen[0] == (0, 4, "Reading DICOM headers")
    assert seen[-1] == (1, 4, "Reading DICOM images")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T1 axial", "T1 axial"),
        ("t1 MUSTERMANN", ""),
        ("Mustermanns Knie", ""),
        ("spline", "spline"),
        ("Li, links", ""),
        ("born 19640812", ""),
        ("  two\nlines\x00 ", "two lines"),
    ],
)
def test_a_text_that_names_the_patient_is_dropped(text, expected):
    assert without_patient(text, {"mustermann", "li", "19640812"}) == expected


def test_a_series_without_identifiers_is_read_file_by_file(tmp_path):
    for k in range(2):
        data = place(dataset(VALUES[k], SeriesInstanceUID=None, SeriesNumber=None), upright_affine(), k)
        save(data, tmp_path / f"slice {k}")
    assert [info.key for info in list_series(tmp_path)] == ["slice 0", "slice 1"]
    np.testing.assert_array_equal(read_dicom(tmp_path, "slice 1").modalities[0].pixels, VALUES[1:2])


def test_uids_need_not_differ_between_slices(tmp_path):
    """Careless anonymisers give all slices one instance UID: the places still tell them apart."""
    uid = generate_uid()
    write_series(tmp_path, VALUES, sop_class=CT, SOPInstanceUID=uid)
    stack = read_dicom(tmp_path)
    np.testing.assert_array_equal(stack.modalities[0].pixels, VALUES)
    with pytest.raises(InputError, match="no instance UIDs of their own"):
        source_headers(tmp_path, stack)


def test_without_pydicom_it_is_said_what_to_install(tmp_path, monkeypatch):
    write_series(tmp_path, VALUES)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=r'pydicom is needed: pip install "napari-promptseg\[medical\]"'):
        read_dicom(tmp_path)


def test_a_compression_that_nothing_reads_is_named(tmp_path):
    data = place(dataset(VALUES[0]), upright_affine())
    data.PixelData = encapsulate([b"no such thing"])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = HTJ2KLossless
    save(data, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=r"'a\.dcm' cannot be read: no decoder for High-Throughput JPEG 2000"):
        read_dicom(tmp_path)


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": ["1e300", "1e300"]},
        {"PixelSpacing": ["1e-300", "1"]},
        {"ImagePositionPatient": ["1e200", "0", "0"]},
        {"SliceThickness": "1e99"},
        {"RescaleSlope": "1e200"},
    ],
    ids=lambda tags: next(iter(tags)),
)
def test_numbers_that_nothing_has_count_as_absent(tmp_path, tags):
    data = place(dataset(VALUES[0]), upright_affine())
    for name, value in tags.items():
        setattr(data, name, value)
    stack = read_dicom(save(data, tmp_path / "a.dcm"))
    np.testing.assert_array_equal(stack.region(), VALUES[0])
    assert all(0.1 < step < 10 for step in stack.spacing)


@pytest.mark.parametrize("name", ["Modality", "SeriesInstanceUID", "SeriesDescription"])
def test_the_patient_is_not_named_by_what_is_written_in_the_wrong_place(tmp_path, name):
    """Neither in the list of volumes nor in the sentence that asks for one of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_series(tmp_path / "a", VALUES, **{name: "MUSTERMANN ERIKA"})
        write_series(tmp_path / "b", VALUES, sagittal(), SeriesInstanceUID="1.2.9", name="ERIKA{}.dcm".format)
    with pytest.raises(InputError, match="holds 2 image series") as caught:
        read_dicom(tmp_path)
    said = (str(caught.value) + " ".join(f"{i.key} {i.label}" for i in list_series(tmp_path))).casefold()
    assert not [word for word in PERSONAL if word in said]
    for info in list_series(tmp_path):
        assert read_dicom(tmp_path, info.key).grid == info.shape


def test_several_values_where_one_is_due(tmp_path):
    write_series(tmp_path, VALUES, SeriesDescription=["Thorax", "native"])
    assert read_dicom(tmp_path).modalities[0].name == "Thorax, native (series 3)"
