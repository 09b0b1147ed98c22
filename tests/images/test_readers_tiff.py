"""Big TIFF stays on the disk: only the tiles that are looked at are read, and they are tifffile's own values."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import tifffile

from napari_promptseg.errors import InputError
from napari_promptseg.images import tiff_files
from napari_promptseg.images.readers import read_image

RNG = np.random.default_rng(0)
PLANE = RNG.integers(0, 256, (1200, 1500, 3), dtype=np.uint8)


@pytest.fixture
def reads(monkeypatch):
    """Shapes of what was read from the disk."""
    seen = []
    original = tiff_files.TiffLevel.__getitem__

    def counted(self, at):
        values = original(self, at)
        seen.append(values.shape)
        return values

    monkeypatch.setattr(tiff_files.TiffLevel, "__getitem__", counted)
    return seen


def write_pyramid(path, pixels, n_levels=3, **keywords):
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        options = {"photometric": "rgb", "tile": (256, 256), "compression": "zlib", **keywords}
        tif.write(pixels, subifds=n_levels - 1, metadata={"axes": "YXS", "PhysicalSizeX": 0.5}, **options)
        for level in range(1, n_levels):
            tif.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **options)
    return path


def test_a_pyramid_is_lazy_and_has_its_levels(tmp_path, reads):
    stack = read_image(write_pyramid(tmp_path / "größe 1.ome.tif", PLANE))
    assert reads == []
    shown = stack.modalities[0]
    assert stack.grid == (1200, 1500)
    assert [level.shape for level in shown.levels] == [(600, 750, 3), (300, 375, 3)]
    np.testing.assert_array_equal(stack.region(0, slice(500, 530), slice(700, 720)), PLANE[500:530, 700:720])
    # two blocks of 512 x 512 meet there along the rows
    assert reads == [(512, 512, 3), (512, 512, 3)]
    np.testing.assert_array_equal(np.asarray(shown.levels[1]), PLANE[::4, ::4])
    assert stack.spacing == (1.0, 0.5)
    assert [level["shape"] for level in stack.metadata["levels"]] == [[1200, 1500, 3], [600, 750, 3], [300, 375, 3]]


@pytest.mark.parametrize("layout", ["contiguous", "tiles", "strips", "bigendian"])
def test_what_is_large_stays_on_the_disk(tmp_path, reads, monkeypatch, layout):
    monkeypatch.setattr(tiff_files, "AT_ONCE", 1_000_000)
    options = {
        "contiguous": {},
        "tiles": {"tile": (128, 128), "compression": "zlib"},
        "strips": {"rowsperstrip": 3, "compression": "zlib"},
        "bigendian": {"byteorder": ">"},
    }[layout]
    pixels = PLANE[..., 0].astype(np.uint16) * 7
    tifffile.imwrite(tmp_path / "a.tif", pixels, bigtiff=True, **options)
    stack = read_image(tmp_path / "a.tif")
    assert reads == []
    assert hasattr(stack.modalities[0].pixels, "dask")
    np.testing.assert_array_equal(stack.region(0, slice(10, 40), slice(10, 40)), pixels[10:40, 10:40])
    assert len(reads) == 1
    assert reads[0][0] <= 640
    np.testing.assert_array_equal(stack.region(), pixels)
    assert stack.modalities[0].pixels.dtype == np.uint16


def test_a_large_stack_with_channels_is_sorted_without_reading(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(tiff_files, "AT_ONCE", 1)
    pixels = RNG.integers(0, 4000, (2, 5, 2, 40, 30), dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        pixels,
        metadata={"axes": "TZCYX", "Channel": {"Name": ["DAPI", "GFP"]}, "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2},
    )
    stack = read_image(tmp_path / "a.ome.tif")
    assert reads == []
    assert stack.grid == (10, 40, 30)
    np.testing.assert_array_equal(stack.region(7), np.moveaxis(pixels[1, 2], 0, -1))
    assert reads == [(1, 1, 2, 40, 30)]
    assert stack.metadata["channels"] == [{"name": "DAPI"}, {"name": "GFP"}]
    assert stack.spacing == (1.0, 0.2, 0.2)


def test_lengths_in_different_units_are_brought_to_that_of_the_columns(tmp_path):
    """Light-sheet microscopes write nanometres between planes and micrometres in them."""
    about = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 500.0, "PhysicalSizeYUnit": "nm"}
    about |= {"PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((3, 8, 9), np.uint8), metadata={"axes": "ZYX", **about})
    stack = read_image(tmp_path / "a.ome.tif")
    assert stack.units == "um"
    assert stack.spacing == pytest.approx((2.0, 0.5, 0.25))
    about["PhysicalSizeZUnit"] = "reference frame"  # which is no length
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((3, 8, 9), np.uint8), metadata={"axes": "ZYX", **about})
    stack = read_image(tmp_path / "b.ome.tif")
    assert (stack.units, stack.spacing) == ("pixel", (1.0, 1.0, 1.0))


def test_white_is_zero_is_inverted_lazily(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_files, "AT_ONCE", 1)
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255], [10, 20]], np.uint8), photometric="miniswhite")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").region(), [[255, 0], [245, 235]])


def test_an_array_goes_to_another_process_as_its_place(tmp_path):
    path = write_pyramid(tmp_path / "a.tif", PLANE)
    level = tiff_files.TiffLevel(path, 1)
    sent = pickle.dumps(level)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)[:], PLANE[::2, ::2])


def test_a_pyramid_whose_compression_cannot_be_undone_says_what_to_install(tmp_path, monkeypatch):
    path = write_pyramid(tmp_path / "a.tif", PLANE)
    monkeypatch.setattr(tiff_files, "_missing_codec", lambda page: "JPEG")
    with pytest.raises(InputError, match=r"'a\.tif' cannot be used: its compression \(JPEG\).*pip install imagecodecs"):
        read_image(path)


def test_without_the_library_tifffile_names_the_codec(tmp_path):
    """`_missing_codec` rests on what tifffile's tables say of compressions they lack."""
    tifffile.imwrite(tmp_path / "a.tif", PLANE, compression="zlib", predictor=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tiff_files._missing_codec(tif.pages[0]) == ""

    class Page:
        compression = 60000  # nobody's
        predictor = 1

    assert tiff_files._missing_codec(Page()) == "60000"
