"""Which volumes the DICOM images of a folder make, and how one of several is chosen."""

import numpy as np
import pytest
from dicom_samples import MR, PERSONAL, upright_affine, write_series

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_files import read_dicom
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
