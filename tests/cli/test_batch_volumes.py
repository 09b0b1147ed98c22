"""Folders that are one image each: slices of DICOM, Zarr; found, named apart, and their labels in the same place."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import zarr
from dicom_samples import PERSONAL, XRAY, dataset, save, upright_affine, write_series
from PIL import Image
from pixel_encoder import PixelEncoder

from napari_promptseg.batch import segment_files
from napari_promptseg.cli import main
from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import read_image
from napari_promptseg.label_jobs import find_images, plan
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings

VALUES = np.full((3, 10, 12), 400, np.int16)
VALUES[2, :5] = -1000
PROMPTS = PromptSet.from_text("black", background=("green",))


@pytest.fixture
def segmenter():
    return Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))


@pytest.fixture
def patients(tmp_path):
    folder = tmp_path / "Patienten süd"
    write_series(folder / "a 1", VALUES)
    write_series(folder / "b" / "study" / "series", VALUES, name="IM{:04d}".format)
    return folder


def test_a_folder_of_slices_is_one_image(patients):
    one, two = patients / "a 1", patients / "b"
    assert find_images([str(one)]) == [one]
    assert find_images([str(patients)]) == [one, two]
    assert find_images([f"{patients}/*"]) == [one, two]
    # the slices of a folder that is an image are not images once more
    assert find_images([f"{patients}/**"]) == [one, two]
    assert len(find_images([f"{one}/*.dcm"])) == 3
    assert len(find_images([f"{two}/study/series/*"])) == 3


def test_zarr_folders_among_files(tmp_path):
    picture = tmp_path / "p.png"
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(picture)
    zarr.create_array(tmp_path / "big.ome.zarr", data=np.zeros((8, 9), np.uint8))
    (tmp_path / "other").mkdir()
    assert find_images([str(tmp_path)]) == [tmp_path / "big.ome.zarr", picture]
    assert find_images([f"{tmp_path}/*"]) == [tmp_path / "big.ome.zarr", picture]
    with pytest.raises(InputError, match="holds no image"):
        find_images([str(tmp_path / "other")])


def test_labels_of_volumes_are_nifti(tmp_path, patients):
    xray = save(dataset(np.zeros((8, 9), np.uint16), XRAY), tmp_path / "x.dcm")
    images = [patients / "a 1", xray, *(tmp_path / n for n in ("v.nrrd", "v.mha", "w.nhdr", "p.tif", "z.ome.zarr"))]
    assert [job.labels.name for job in plan(images, tmp_path)] == [
        "a 1_labels.nii.gz",
        "x_labels.tif",
        "v_nrrd_labels.nii.gz",
        "v_mha_labels.nii.gz",
        "w_labels.nii.gz",
        "p_labels.tif",
        "z_labels.tif",
    ]


def test_a_folder_named_after_the_patient_does_not_name_the_labels(tmp_path):
    folder = tmp_path / "Mustermann_Erika"
    write_series(folder, VALUES)
    write_series(tmp_path / "erika2" / "PID4711", VALUES)
    names = [job.labels.name for job in plan([folder, tmp_path / "erika2"], tmp_path)]
    assert names == ["CT series 3_labels.nii.gz", "CT series 3_2_labels.nii.gz"]


def test_a_patient_from_folder_to_labels(tmp_path, patients, segmenter):
    jobs = plan(find_images([str(patients)]), tmp_path / "out")
    outcomes = list(segment_files(segmenter, jobs, PROMPTS, kind="ct"))
    assert [o.error for o in outcomes] == [None, None]
    labels = nibabel.load(jobs[0].labels)
    np.testing.assert_allclose(labels.affine, np.diag([-1, -1, 1, 1]) @ upright_affine(), atol=1e-5)
    # black in the last slice's front half and nowhere else
    found = np.asarray(labels.dataobj)
    assert found[:, :4, 2].all()
    assert not found[:, :, :2].any()
    legend = json.loads(jobs[0].legend.read_text())
    assert not [word for word in PERSONAL if word in json.dumps(legend).casefold()]


def test_one_of_several_series(tmp_path, patients, segmenter):
    write_series(
        patients / "a 1" / "more", VALUES[::-1], SeriesNumber=8, SeriesInstanceUID="1.2.3.9", name="B{}".format
    )
    job = plan([patients / "a 1"], tmp_path / "out")
    (outcome,) = segment_files(segmenter, job, PROMPTS, kind="ct")
    assert "'a 1' holds 2 image series" in str(outcome.error)
    assert str(outcome.error).count("'a 1'") == 1
    (outcome,) = segment_files(segmenter, job, PROMPTS, kind="ct", series="8")
    assert outcome.error is None
    assert np.asarray(nibabel.load(job[0].labels).dataobj)[:, :4, 0].all()
    with pytest.raises(InputError, match="no series '5'"):
        read_image(patients / "a 1", series=5)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(InputError, match=r"'v\.nii' is no DICOM: leave the number of the series out"):
        read_image(tmp_path / "v.nii", series=5)


def test_a_patient_whose_slices_are_damaged_does_not_stop_the_others(tmp_path, patients, segmenter):
    for file in (patients / "a 1").iterdir():
        file.write_bytes(file.read_bytes()[:300])
    outcomes = list(segment_files(segmenter, plan(find_images([str(patients)]), tmp_path / "out"), PROMPTS, kind="ct"))
    assert "'a 1'" in str(outcomes[0].error)
    assert outcomes[1].error is None


def test_what_a_file_leaves_open_is_said_and_kept(tmp_path, capsys):
    image = nibabel.Nifti1Image(VALUES.T, np.eye(4))
    image.set_sform(np.eye(4), code=0)
    image.set_qform(np.eye(4), code=0)
    nibabel.save(image, tmp_path / "v.nii")
    assert main(["segment", str(tmp_path / "v.nii"), "-o", str(tmp_path / "out"), "--classes", "cat"]) == 0
    assert "v.nii: The file does not say how it lies in the patient" in capsys.readouterr().err
    legend = json.loads((tmp_path / "out" / "v_labels.json").read_text())
    assert "left and right" in legend["provenance"]["notes"][0]
