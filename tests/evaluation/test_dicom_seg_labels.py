"""DICOM segmentations where labels are asked for: on the image's grid, with the ids of the class file."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from dicom_samples import write_series

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.packs import DataPack, read_mask
from napari_promptseg.evaluation.volumes import volume_cases
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

pytest.importorskip("highdicom")


@pytest.fixture
def pack(tmp_path):
    """A folder of one NIfTI volume; gives it, its labels, and how they are saved as DICOM SEG."""
    values = np.random.default_rng(0).integers(-900, 900, (5, 6, 7)).astype(np.int16)
    write_series(tmp_path / "ct", values)
    stack = read_image(tmp_path / "ct")
    # the same volume as research tools keep it, its axes in another order
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ stack.geometry.file_affine
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image(values.transpose(2, 1, 0), affine))
    (tmp_path / "pack" / "images").mkdir(parents=True)
    nibabel.save(image, tmp_path / "pack" / "images" / "scan.nii.gz")
    labels = np.zeros(stack.grid, np.uint8)
    labels[1, 0, 6], labels[3, 5, 0] = 1, 3

    def save(classes):
        (tmp_path / "pack" / "classes.json").write_text(json.dumps(classes))
        prompts = PromptSet.from_text("liver, spleen, tumour")
        keywords = {"source": stack, "source_path": tmp_path / "ct", "overwrite": True}
        write_labels(tmp_path / "pack" / "masks" / "scan.dcm", labels, prompts, **keywords)
        return tmp_path / "pack"

    return save, labels


def test_labels_of_a_volume_may_be_dicom_seg(pack):
    save, labels = pack
    folder = save({"0": "background", "1": "liver", "2": "spleen", "3": "tumour"})
    found = DataPack.from_folder(folder)
    stack, mask = found.load(found.pairs[0])
    np.testing.assert_array_equal(mask, labels)
    assert mask.shape == stack.grid
    (case,) = volume_cases(folder)
    np.testing.assert_array_equal(case.load()[1], labels)


def test_names_decide_which_id_a_segment_has(pack):
    save, labels = pack
    folder = save({"0": "background", "4": "Tumour | lesion", "9": "whole liver|liver"})
    found = DataPack.from_folder(folder)
    np.testing.assert_array_equal(found.load(found.pairs[0])[1], np.array([0, 9, 0, 4])[labels])


def test_numbers_count_where_no_name_is_known(pack):
    save, labels = pack
    folder = save({"1": "a", "3": "b"})
    found = DataPack.from_folder(folder)
    np.testing.assert_array_equal(found.load(found.pairs[0])[1], labels)
    np.testing.assert_array_equal(read_mask(folder / "masks" / "scan.dcm"), labels[1:4])


def test_a_segment_that_the_class_file_forgot_is_named(pack):
    save, _ = pack
    found = DataPack.from_folder(save({"1": "liver"}))
    with pytest.raises(InputError, match=r"'scan\.dcm' has segments that the class file does not name \(tumour\)"):
        found.load(found.pairs[0])


def test_labels_of_another_grid_are_refused(pack, tmp_path):
    save, _ = pack
    folder = save({"1": "liver", "3": "tumour"})
    path = folder / "images" / "scan.nii.gz"
    image = nibabel.load(path)
    affine = image.affine.copy()
    affine[0, 3] += 0.3
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), path)
    found = DataPack.from_folder(folder)
    with pytest.raises(InputError, match=r"belong to another image|they must be equal"):
        found.load(found.pairs[0])
