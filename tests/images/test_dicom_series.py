"""What lies in a folder of DICOM files, and what is wrong with it, told in a sentence."""

import itertools
import re
import shutil
import sys

import numpy as np
import pytest
from dicom_samples import CT, MR, PERSONAL, dataset, place, save, upright_affine, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2KLossless, generate_uid

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.dicom_files import read_dicom, source_headers
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.dicom_grid import grid_of
from napari_promptseg.images.dicom_headers import Frame, ImageHeader, without_patient
from napari_promptseg.images.dicom_series import list_series

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def moved(offset, axis=2):
    affine = upright_affine()
    affine[axis, 3] += offset
    return affine


def sagittal():
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, -2.5], [0.7, 0, 0], [0, -0.9, 0]])
    return affine


def test_every_series_of_a_folder_is_listed(tmp_path):
    write_series(tmp_path / "A B" / "ü", VALUES, SeriesDescription="Thorax native", SeriesNumber=3)
    write_series(
        tmp_path,
        VALUES[:3],
        sagittal(),
        sop_class=MR,
        SeriesDescription="T1 Mustermann",
        SeriesNumber=12,
        SeriesInstanceUID="1.2.3.9",
    )
    (tmp_path / "notes.txt").write_text("no DICOM")
    first, second = list_series(tmp_path)
    assert (first.key, first.number, first.description, first.modality, first.count) == (
        "3",
        3,
        "Thorax native",
        "CT",
        4,
    )
    assert (first.shape, first.plane, first.uid, first.part) == ((4, 5, 6), "axial", "1.2.3.2", 0)
    np.testing.assert_allclose(first.spacing, (2.5, 0.9, 0.7))
    assert (second.description, second.label, second.plane) == ("", "MR (series 12)", "sagittal")
    assert second.shape == (5, 6, 3)
    np.testing.assert_allclose(second.spacing, (0.9, 0.7, 2.5))
    assert not [word for word in PERSONAL if word in repr([first, second]).casefold()]


def test_listing_reads_no_pixels(tmp_path):
    for path in write_series(tmp_path, np.zeros((2, 64, 64), np.int16)):
        path.write_bytes(path.read_bytes()[:-4000])
    assert list_series(tmp_path)[0].count == 2
    with pytest.raises(InputError, match="cannot be read: fewer than the header says"):
        read_dicom(tmp_path)


def test_of_several_series_one_is_chosen(tmp_path):
    folder = tmp_path / "Studie 1"
    write_series(folder / "a", VALUES, SeriesDescription="Thorax")
    write_series(folder / "b", VALUES + 1000, sop_class=MR, SeriesNumber=5, SeriesInstanceUID="1.2.3.9")
    with pytest.raises(
        InputError,
        match=r"^'Studie 1' holds 2 image series; choose one with series=..., on the command line --series: "
        r"3 = Thorax, CT, 4 axial planes 2.5 mm apart; 5 = MR, 4 axial planes 2.5 mm apart\.$",
    ):
        read_dicom(folder)
    for series in (5, "5", "1.2.3.9"):
        np.testing.assert_array_equal(read_dicom(folder, series).modalities[0].pixels, VALUES + 1000)
    with pytest.raises(InputError, match=r"no series '7'; it holds: 3 = Thorax"):
        read_dicom(folder, 7)


def test_series_that_share_a_number_are_told_apart_by_uid(tmp_path):
    write_series(tmp_path / "a", VALUES)
    write_series(tmp_path / "b", VALUES + 1, SeriesInstanceUID="1.2.3.9")
    assert [info.key for info in list_series(tmp_path)] == ["1.2.3.2", "1.2.3.9"]
    with pytest.raises(InputError, match=r"Series '3' of .* stands for 2 volumes"):
        read_dicom(tmp_path, 3)
    np.testing.assert_array_equal(read_dicom(tmp_path, "1.2.3.9").modalities[0].pixels, VALUES + 1)


def test_a_long_list_is_cut(tmp_path):
    for n in range(15):
        write_series(tmp_path / str(n), VALUES[:1], SeriesNumber=n, SeriesInstanceUID=f"1.2.3.{n}")
    with pytest.raises(InputError, match=r"holds 15 image series.*; and 3 more\.$"):
        read_dicom(tmp_path)


@pytest.mark.parametrize(
    ("second", "tags"),
    [
        (sagittal(), {}),
        (upright_affine(), {"EchoTime": "90"}),
        (upright_affine(), {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}),
        (upright_affine(), {"TemporalPositionIdentifier": 2}),
        (upright_affine(), {"AcquisitionNumber": 2}),
        (upright_affine(spacing=(1.4, 1.8, 2.5)), {}),
    ],
    ids=["direction", "echo", "phase", "time", "acquisition", "pixel spacing"],
)
def test_one_series_that_mixes_volumes_is_taken_apart(tmp_path, second, tags):
    usual = {
        "EchoTime": "20",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
        "TemporalPositionIdentifier": 1,
        "AcquisitionNumber": 1,
    }
    write_series(tmp_path, VALUES, sop_class=MR, name="one{}".format, **usual)
    write_series(
        tmp_path,
        VALUES + 500,
        second,
        sop_class=MR,
        name="a{}".format,
        edit=lambda data, k: setattr(data, "InstanceNumber", k + 11),
        **{**usual, **tags},
    )
    assert [info.key for info in list_series(tmp_path)] == ["3:1", "3:2"]
    one, other = read_dicom(tmp_path, "3:1"), read_dicom(tmp_path, "3:2")
    assert (one.modalities[0].name, other.modalities[0].name) == ("MR (series 3:1)", "MR (series 3:2)")
    np.testing.assert_array_equal(one.geometry.to_file(one.modalities[0].pixels).T, VALUES)
    np.testing.assert_array_equal(other.geometry.to_file(other.modalities[0].pixels).T, VALUES + 500)
    with pytest.raises(InputError, match=r"Series '3'.*stands for 2 volumes"):
        read_dicom(tmp_path, 3)


def test_repeated_volumes_that_nothing_tells_apart_follow_their_numbers(tmp_path):
    for time in (1, 0, 2):
        write_series(
            tmp_path / f"x{9 - time}",
            VALUES + 100 * time,
            edit=lambda data, k, time=time: setattr(data, "InstanceNumber", time + 1 + 3 * k),
        )
    assert [info.key for info in list_series(tmp_path)] == ["3:1", "3:2", "3:3"]
    np.testing.assert_array_equal(read_dicom(tmp_path, "3:2").modalities[0].pixels, VALUES + 100)


def test_pictures_of_two_sizes_are_two_parts(tmp_path):
    write_series(tmp_path / "a", VALUES)
    write_series(tmp_path / "b", VALUES[:, :4], moved(100.0))
    assert {info.shape for info in list_series(tmp_path)} == {(4, 5, 6), (4, 4, 6)}


# Slices that are missing, there twice, or oddly spaced


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


# Folders with other things in them


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
