"""The crop: around the region, small, and without anything else of the file."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from napari_promptseg.concepts.multimodal.crop import SIDE, SMALLEST, crop_region
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack, Modality


def chunks(png):
    """Names of a PNG's chunks."""
    at, names = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8].decode())
        at += 12 + length
    return names


def test_the_outline_lies_outside_and_the_region_is_as_it_was(stack, disc):
    crop = crop_region(stack, disc)
    assert max(crop.size) == SMALLEST
    yellow = (crop.pixels == (255, 255, 0)).all(axis=2)
    assert yellow.any()
    # far less than the plane: nothing of its right half
    assert crop.size[0] * 120 > SMALLEST * 2 * 20
    middle = crop.pixels[crop.size[1] // 2, crop.size[0] // 2]
    assert len({int(v) for v in middle}) == 1


def test_hidden_surroundings_are_black(disc):
    noise = np.random.default_rng(0).integers(60, 255, (90, 120, 3), dtype=np.uint8)
    crop = crop_region(ImageStack.from_array(noise, name="x"), disc, hidden=True)
    black = (crop.pixels == 0).all(axis=2)
    assert 0.4 < black.mean() < 0.9
    assert black[:3].all()
    assert not black[crop.size[1] // 2, crop.size[0] // 2]


def test_large_regions_are_made_smaller():
    mask = np.zeros((1500, 2000), bool)
    mask[100:1300, 200:1900] = True
    crop = crop_region(ImageStack.from_array(np.zeros((1500, 2000), np.uint8), name="x"), mask)
    assert max(crop.size) == SIDE
    assert crop.size == Image.open(io.BytesIO(crop.png())).size


def test_only_rows_and_columns_around_the_region_are_read():
    class Volume:
        shape, dtype, ndim = (40, 3000, 3000), np.dtype(np.uint8), 3

        def __init__(self):
            self.asked = []

        def __getitem__(self, at):
            self.asked.append(at)
            return np.zeros([len(range(*s.indices(n))) for s, n in zip(at[1:], self.shape[1:], strict=True)], np.uint8)

    volume = Volume()
    mask = np.zeros((3000, 3000), bool)
    mask[1000:1020, 50:90] = True
    stack = ImageStack((Modality("x", volume, limits=(0, 255)),))
    crop_region(stack, mask, plane=7)
    ((plane, rows, columns),) = volume.asked
    assert plane == 7
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 60 * 80


def test_the_file_holds_pixels_alone(stack, disc):
    png = crop_region(stack, disc).png()
    assert set(chunks(png)) <= {"IHDR", "PLTE", "IDAT", "IEND"}
    assert b"secret" not in png


def test_a_mask_that_is_no_region_is_refused(stack):
    with pytest.raises(InputError, match="empty"):
        crop_region(stack, np.zeros((90, 120), bool))
    with pytest.raises(InputError, match="32 pixels"):
        crop_region(stack, np.eye(90, 120, dtype=bool), side=8)
