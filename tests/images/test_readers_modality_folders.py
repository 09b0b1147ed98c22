"""Modalities that are files of their own: found by their names, read onto one grid, refused on another."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_promptseg.errors import InputError
from napari_promptseg.images.modality_folders import find_scenes, guess_kind, read_modalities, read_scene

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
    stack = read_scene(scenes[1])
    assert [(m.name, m.kind, m.channels) for m in stack.modalities] == [
        ("rgb", "rgb", True),
        ("thermal", "thermal", False),
    ]
    np.testing.assert_array_equal(stack.region(modality=1), Image.open(tmp_path / "thermal" / "ä 1.png"))
    with pytest.raises(InputError, match="holds 2 scenes"):
        read_modalities(tmp_path)


def test_endings_of_one_stem(tmp_path):
    for name in ("a_rgb.png", "a_near_infrared.png", "a_seg.png", "b_rgb.png", "c.png"):
        picture(tmp_path / name)
    (scene,) = find_scenes(tmp_path)
    assert (scene.name, list(scene.files)) == ("a", ["near_infrared", "rgb"])
    assert [m.kind for m in read_scene(scene).modalities] == ["nir", "rgb"]


@pytest.mark.parametrize("before", ["", "BraTS20_Training_001_"])
def test_sequences_of_one_patient(tmp_path, before):
    folder = tmp_path / "pat 1"
    for name in ("flair", "t1", "t1c", "t2", "seg"):
        volume(folder / f"{before}{name}.nii.gz")
    stack = read_modalities(folder)
    assert [(m.name, m.kind) for m in stack.modalities] == [
        ("flair", "flair"),
        ("t1", "t1"),
        ("t1c", "t1c"),
        ("t2", "t2"),
    ]
    assert stack.geometry is not None
    assert stack.source == (before.rstrip("_") or "pat 1")
    reference = nibabel.load(folder / f"{before}t1c.nii.gz")
    upright = np.asarray(stack.modalities[2].pixels)
    np.testing.assert_array_equal(stack.geometry.to_file(upright), np.asarray(reference.dataobj))


def test_nothing_is_resampled_silently(tmp_path):
    volume(tmp_path / "a" / "flair.nii.gz")
    moved = AFFINE.copy()
    moved[0, 3] = 5
    volume(tmp_path / "a" / "t2.nii.gz", affine=moved)
    with pytest.raises(InputError, match=r"'t2\.nii\.gz' does not lie on the grid of 'flair\.nii\.gz'"):
        read_modalities(tmp_path / "a")
    volume(tmp_path / "b" / "flair.nii.gz")
    volume(tmp_path / "b" / "t2.nii.gz", shape=(6, 5, 3))
    with pytest.raises(InputError, match="does not lie on the grid"):
        read_modalities(tmp_path / "b")
    picture(tmp_path / "c" / "x_rgb.png")
    picture(tmp_path / "c" / "x_nir.png", shape=(4, 9))
    with pytest.raises(InputError, match="resample one onto the other"):
        read_modalities(tmp_path / "c")


def test_a_volume_turned_in_the_file_but_at_the_same_place_fits(tmp_path):
    volume(tmp_path / "flair.nii.gz")
    image = nibabel.load(volume(tmp_path / "t2.nii.gz"))
    turned = image.as_reoriented([[2, 1], [0, -1], [1, 1]])
    nibabel.save(nibabel.Nifti1Image(np.asarray(turned.dataobj), turned.affine), tmp_path / "t2.nii.gz")
    stack = read_modalities(tmp_path)
    np.testing.assert_array_equal(
        stack.geometry.to_file(np.asarray(stack.modalities[1].pixels)),
        np.asarray(nibabel.as_closest_canonical(turned).dataobj)[::-1, ::-1],
    )


def test_folders_without_scenes(tmp_path):
    picture(tmp_path / "cat.png")
    assert find_scenes(tmp_path) == []
    with pytest.raises(InputError, match="holds no modalities"):
        read_modalities(tmp_path)
