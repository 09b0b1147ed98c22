"""How large a file is, without reading its pixels; what tells a picture from another."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_promptseg.large.pictures import extent, identity


def test_the_extent_of_every_kind_of_file(tmp_path):
    pixels = np.zeros((30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 30, 40), np.uint16), metadata={"axes": "ZYX"})
    np.save(tmp_path / "a.npy", np.zeros((7, 30, 40), np.float32))
    zarr.create_array(tmp_path / "a.zarr", shape=(30, 40, 3), dtype="uint8", chunks=(8, 8, 3))
    assert extent(tmp_path / "a.png") == (40, 1200)
    assert extent(tmp_path / "a.tif") == (40, 1200)
    assert extent(tmp_path / "stack.tif") == (40, 6000)
    assert extent(tmp_path / "a.npy") == (40, 8400)
    assert extent(tmp_path / "a.zarr") == (40, 1200)


def test_what_cannot_be_told_is_left_to_the_reader(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "series").mkdir()
    for name in ("a.png", "series", "missing.tif"):
        assert extent(tmp_path / name) == (0, 0)


@pytest.mark.parametrize("what", ["size", "time"])
def test_a_changed_file_is_another_one(tmp_path, what):
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    before = identity(path)
    assert identity(path) == before
    if what == "size":
        path.write_bytes(b"1234567")
    else:
        os.utime(path, (1, 1))
    assert identity(path) != before


def test_a_changed_chunk_counts_and_labels_inside_do_not(tmp_path):
    path = tmp_path / "a.zarr"
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=(30, 40), dtype="uint8", chunks=(30, 40))
    array[...] = 1
    before = identity(path)
    (path / "labels").mkdir()
    (path / "labels" / "zarr.json").write_text("{}")
    assert identity(path) == before
    array[...] = np.arange(1200).reshape(30, 40) % 7
    assert identity(path) != before
    after = identity(path)
    group.attrs["note"] = 1
    assert identity(path) != after
