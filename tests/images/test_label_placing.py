"""Labels beside their image: the same voxel of the patient, or a sentence."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.packs import read_mask
from napari_promptseg.images.readers import read_image

AFFINE = np.diag([0.5, 0.75, 3.0, 1.0])
AFFINE[:3, 3] = (-7, 8, 9)
IMAGE = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)


def saved(path, values, affine=AFFINE):
    image = nibabel.Nifti1Image(values, affine)
    if affine is None:
        image.header.set_sform(None, 0)
        image.header.set_qform(None, 0)
    nibabel.save(image, path)
    return path


def labels():
    found = np.zeros(IMAGE.shape, np.uint8)
    found[5, 0, 3] = 7
    return found


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL", "LAI"])
def test_labels_in_another_order_mark_the_same_voxel(tmp_path, codes):
    image = read_image(saved(tmp_path / "image.nii", IMAGE))
    turn = nibabel.orientations.ornt_transform(
        nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
    )
    nibabel.save(nibabel.Nifti1Image(labels(), AFFINE).as_reoriented(turn), tmp_path / "labels.nii")
    mask = read_mask(tmp_path / "labels.nii", image)
    assert image.modalities[0].pixels[mask == 7].tolist() == [IMAGE[5, 0, 3]]


@pytest.mark.parametrize("bare", ["labels", "image"])
def test_labels_that_say_nothing_of_their_place_are_those_of_the_files_voxels(tmp_path, bare):
    """Either upright turn would swap left and right against the other."""
    image = read_image(saved(tmp_path / "image.nii", IMAGE, None if bare == "image" else AFFINE))
    path = saved(tmp_path / "labels.nii", labels(), None if bare == "labels" else AFFINE)
    mask = read_mask(path, image)
    assert image.modalities[0].pixels[mask == 7].tolist() == [IMAGE[5, 0, 3]]


@pytest.mark.parametrize("change", ["shifted", "mirrored", "longer steps"])
def test_labels_that_lie_elsewhere_are_refused(tmp_path, change):
    image = read_image(saved(tmp_path / "image.nii", IMAGE))
    affine = AFFINE.copy()
    if change == "shifted":
        affine[2, 3] += 30
    elif change == "mirrored":
        affine[0, 0] *= -1
    else:
        affine[2, 2] *= 1.5
    with pytest.raises(InputError, match=r"'labels\.nii' do not lie where 'image\.nii' lies in the patient"):
        read_mask(saved(tmp_path / "labels.nii", labels(), affine), image)


def test_headers_may_round(tmp_path):
    image = read_image(saved(tmp_path / "image.nii", IMAGE))
    affine = AFFINE + np.eye(4) * 1e-3
    affine[3] = (0, 0, 0, 1)
    assert read_mask(saved(tmp_path / "labels.nii", labels(), affine), image).any()
