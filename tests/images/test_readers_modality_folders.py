"""Modalities that are files of their own: found by their names, each read as it lies."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_promptseg.errors import InputError
from napari_promptseg.images.modality_files import Partner, with_partners
from napari_promptseg.images.modality_folders import find_scenes, guess_kind, read_each
from napari_promptseg.images.readers import read_image

RNG = np.random.default_rng(0)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def picture(path, *, shape=(8, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, shape, dtype=np.uint8)).save(path)
    return path


def volume(path, *, affine=AFFINE, shape=(6, 5, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(RNG.integers(0, 90, shape, dtype=np.int16), affine), path)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("rgb", "rgb"),
        ("Thermal", "thermal"),
        ("IR", "thermal"),
        ("NIR", "nir"),
        ("near infrared", "nir"),
        ("nearInfrared", "nir"),
        ("depth_map", "depth"),
        ("BraTS20_Training_001_flair", "flair"),
        ("pat7-t1ce", "t1c"),
        ("t1", "t1"),
        ("T2w", "t2"),
        ("abdomen CT", "ct"),
        ("mCherry", "fluorescence"),
        ("DAPI", "fluorescence"),
        ("cat", "auto"),
        ("director", "auto"),
        ("", "auto"),
    ],
)
def test_names_tell_kinds(name, kind):
    assert guess_kind(name) == kind


def test_subfolders_named_by_modality(tmp_path):
    for stem in ("ä 1", "b"):
        picture(tmp_path / "rgb" / f"{stem}.png", shape=(8, 9, 3))
        picture(tmp_path / "thermal" / f"{stem}.png")
    picture(tmp_path / "thermal" / "alone.png")
    picture(tmp_path / "rgb_labels" / "b.png")
    picture(tmp_path / "notes" / "b.png")
    scenes = find_scenes(tmp_path)
    assert [(s.name, list(s.files)) for s in scenes] == [("b", ["rgb", "thermal"]), ("ä 1", ["rgb", "thermal"])]
    rgb, thermal = read_each(scenes[1])
    assert [(m.name, m.kind, m.channels) for m in (*rgb.modalities, *thermal.modalities)] == [
        ("rgb", "rgb", True),
        ("thermal", "thermal", False),
    ]
    np.testing.assert_array_equal(thermal.region(), Image.open(tmp_path / "thermal" / "ä 1.png"))


def test_endings_of_one_stem(tmp_path):
    for name in ("a_rgb.png", "a_near_infrared.png", "a_seg.png", "b_rgb.png", "c.png"):
        picture(tmp_path / name)
    (scene,) = find_scenes(tmp_path)
    assert (scene.name, list(scene.files)) == ("a", ["near_infrared", "rgb"])
    assert [stack.modalities[0].kind for stack in read_each(scene)] == ["nir", "rgb"]


@pytest.mark.parametrize("before", ["", "BraTS20_Training_001_"])
def test_sequences_of_one_patient(tmp_path, before):
    folder = tmp_path / "pat 1"
    for name in ("flair", "t1", "t1c", "t2", "seg"):
        volume(folder / f"{before}{name}.nii.gz")
    (scene,) = find_scenes(folder)
    assert scene.name == (before.rstrip("_") or "pat 1")
    stacks = read_each(scene)
    assert [(s.modalities[0].name, s.modalities[0].kind) for s in stacks] == [
        ("flair", "flair"),
        ("t1", "t1"),
        ("t1c", "t1c"),
        ("t2", "t2"),
    ]
    reference = nibabel.load(folder / f"{before}t1c.nii.gz")
    upright = np.asarray(stacks[2].modalities[0].pixels)
    assert stacks[2].geometry is not None
    np.testing.assert_array_equal(stacks[2].geometry.to_file(upright), np.asarray(reference.dataobj))


def test_volumes_on_grids_of_their_own_are_read_as_they_lie(tmp_path):
    volume(tmp_path / "flair.nii.gz")
    moved = AFFINE.copy()
    moved[0, 3] = 5
    volume(tmp_path / "t2.nii.gz", affine=moved, shape=(6, 5, 3))
    flair, t2 = read_each(find_scenes(tmp_path)[0])
    assert (flair.grid, t2.grid) == ((4, 5, 6), (3, 5, 6))
    assert t2.geometry.origin != flair.geometry.origin


def beside(image, file, **options):
    """An image and a further modality of its scene."""
    return with_partners(read_image(image), image, [Partner("t2", "t2", file, **options)])


def test_nothing_is_resampled_silently(tmp_path):
    flair = volume(tmp_path / "flair.nii.gz")
    shifted = AFFINE.copy()
    shifted[0, 3] = 1
    moved = volume(tmp_path / "moved.nii.gz", affine=shifted)
    with pytest.raises(InputError, match=r"'moved\.nii\.gz' does not lie where 'flair\.nii\.gz' lies in the patient"):
        beside(flair, moved)
    with pytest.raises(InputError, match="does not lie where"):
        beside(flair, volume(tmp_path / "short.nii.gz", shape=(6, 5, 3)))
    with pytest.raises(InputError, match=r"'b\.png' has the size \(4, 9\) and 'a\.png' \(8, 9\)"):
        beside(picture(tmp_path / "a.png"), picture(tmp_path / "b.png", shape=(4, 9)))
    stack = beside(flair, moved, resample=True)
    # NIfTI counts to the right, and columns run to the left
    np.testing.assert_array_equal(stack.region(2, modality=1)[:, :-1], read_image(moved).region(2)[:, 1:])


def test_a_volume_turned_in_the_file_but_at_the_same_place_fits(tmp_path):
    flair = volume(tmp_path / "flair.nii.gz")
    image = nibabel.load(volume(tmp_path / "t2.nii.gz"))
    upright = read_image(tmp_path / "t2.nii.gz").region(1)
    turned = image.as_reoriented([[2, 1], [0, -1], [1, 1]])
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj), turned.affine), tmp_path / "t2.nii.gz")
    np.testing.assert_array_equal(beside(flair, tmp_path / "t2.nii.gz").region(1, modality=1), upright)


def test_folders_without_scenes(tmp_path):
    picture(tmp_path / "cat.png")
    assert find_scenes(tmp_path) == []
