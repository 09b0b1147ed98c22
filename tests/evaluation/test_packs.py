"""Folders of labelled images: paired by name, checked against each other, refused with a sentence."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.packs import DataPack, read_classes, read_mask


@pytest.fixture
def folder(tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    (tmp_path / "classes.json").write_text('{"0": "background (skin)", "7": "rot | red", "2": "grün", "255": "ignore"}')
    return tmp_path


def add(folder, name, mask, *, shape=None, ending=".png"):
    Image.fromarray(np.zeros(shape or mask.shape, np.uint8)).save(folder / "images" / f"{name}.jpg")
    Image.fromarray(mask).save(folder / "masks" / f"{name}{ending}")


MASK = np.array([[0, 2, 7], [255, 2, 0]], np.uint8)


def test_pairs_and_classes(folder):
    add(folder, "b", MASK)
    add(folder, "a", MASK, ending=".tif")
    pack = DataPack.from_folder(folder)
    assert [p.name for p in pack] == ["a.jpg", "b.jpg"]
    assert pack.classes == {2: "grün", 7: "rot | red"}
    prompts = pack.prompts(threshold=0.3)
    assert [(c.value, c.texts, c.threshold) for c in prompts.classes] == [(2, ("grün",), 0.3), (7, ("rot", "red"), 0.3)]
    for pair in pack:
        np.testing.assert_array_equal(pack.load(pair)[1], MASK)


def test_volumes_are_turned_together(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        nibabel.save(
            nibabel.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4) % 3, np.diag([1.0, -1, 1, 1])),
            tmp_path / part / "v.nii.gz",
        )
    (tmp_path / "classes.json").write_text('{"1": "a", "2": "b"}')
    pack = DataPack.from_folder(tmp_path)
    stack, mask = pack.load(pack.pairs[0])
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), mask)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1", "RGB"])
def test_masks_of_any_mode(tmp_path, mode):
    ids = np.array([[0, 1], [1, 0]] if mode == "1" else [[0, 3], [200, 255]], np.uint8)
    if mode == "P":
        image = Image.fromarray(ids, mode="L").convert("P")
        image.putpalette([(i * 37) % 256 for i in range(768)])
        image.putdata(ids.ravel().tolist())
    elif mode == "I;16":
        image = Image.fromarray(ids.astype(np.uint16))
    elif mode == "1":
        image = Image.fromarray(ids.astype(bool))
    else:
        image = Image.fromarray(ids).convert(mode)
    image.save(tmp_path / "m.png")
    values = read_mask(tmp_path / "m.png")
    assert values.dtype == np.int64
    np.testing.assert_array_equal(values, ids)


def test_masks_that_hold_no_ids(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (4, 4, 3), dtype=np.uint8)).save(tmp_path / "c.png")
    np.save(tmp_path / "f.npy", np.array([[0.5, 1.0]]))
    (tmp_path / "b.png").write_bytes(b"x")
    for name, words in {"c.png": "colours", "f.npy": "fractions", "b.png": "cannot be read"}.items():
        with pytest.raises(InputError, match=rf"{name}.*{words}|{words}.*{name}"):
            read_mask(tmp_path / name)


def test_partners_sizes_and_ids_are_checked(folder):
    add(folder, "a", MASK)
    add(folder, "b", MASK, shape=(3, 3))
    add(folder, "c", np.full((2, 2), 9, np.uint8))
    pack = DataPack.from_folder(folder)
    with pytest.raises(InputError, match=r"'b\.jpg'.*\(3, 3\).*'b\.png' \(2, 3\)"):
        pack.load(pack.pairs[1])
    with pytest.raises(InputError, match=r"'c\.png' has the ids 9 that the class file does not name"):
        pack.load(pack.pairs[2])
    (folder / "images" / "b.jpg").unlink()
    assert DataPack.from_folder(folder).unused_masks == ("b.png",)
    (folder / "masks" / "a.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 images have no mask .*a\.jpg"):
        DataPack.from_folder(folder)


def test_folders_are_checked(folder):
    with pytest.raises(InputError, match="holds no image"):
        DataPack.from_folder(folder)
    with pytest.raises(InputError, match="no folder"):
        DataPack.from_folders(folder / "nowhere", folder / "masks", folder / "classes.json")
    for ending in (".png", ".tif"):
        Image.fromarray(MASK).save(folder / "images" / f"a{ending}")
    with pytest.raises(InputError, match="share a name"):
        DataPack.from_folder(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1]", "ids and names"),
        ("{", "JSON"),
        ('{"0": "background"}', "names no class"),
        ('{"a": "b"}', "whole numbers"),
        ('{"70000": "b"}', "whole numbers"),
        ('{"1": ""}', "no name"),
        ('{"1": 5}', "no name"),
        ('{"1": "Cat", "2": "cat | kitten"}', "ids 1 and 2 both"),
    ],
)
def test_class_files_that_cannot_be_used(tmp_path, content, words):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_classes(tmp_path / "c.json")


def test_a_missing_class_file_and_one_with_a_byte_order_mark(tmp_path):
    with pytest.raises(InputError, match="no class file"):
        read_classes(tmp_path / "c.json")
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"3": "雪"}).encode())
    assert read_classes(tmp_path / "c.json") == {3: "雪"}
