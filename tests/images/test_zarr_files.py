"""OME-Zarr and plain Zarr: the reference library's own values, and no chunk read before it is looked at."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import zarr

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import folder_format, is_image, read_image, stem

RNG = np.random.default_rng(0)


def write(path, pixels, axes, *, version="0.4", n_levels=1, scale=None, omero=None, chunks=None, extra=None):
    """An OME-Zarr image as the specification describes it."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for level in range(n_levels):
        step = tuple(slice(None, None, 2**level if a["name"] in "yx" else 1) for a in axes)
        values = pixels[step]
        array = group.create_array(str(level), shape=values.shape, dtype=values.dtype, chunks=chunks or values.shape)
        array[...] = values
        factors = [
            s * (2**level if a["name"] in "yx" else 1) for s, a in zip(scale or [1.0] * len(axes), axes, strict=True)
        ]
        datasets.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    scales = {"axes": axes, "datasets": datasets, "name": "image", **(extra or {})}
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **scales}]
        if omero:
            group.attrs["omero"] = omero
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [scales], **({"omero": omero} if omero else {})}
    return path


def axes_of(names, unit="micrometer"):
    kinds = {"c": "channel", "t": "time"}
    return [{"name": n, "type": kinds.get(n, "space"), **({"unit": unit} if n in "zyx" else {})} for n in names]


@pytest.fixture
def chunk_reads(monkeypatch):
    """Keys of the chunks that were asked for."""
    from zarr.storage import LocalStore

    asked = []
    original = LocalStore.get

    async def get(self, key, prototype=None, byte_range=None):
        if key.split("/")[-1] not in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"):
            asked.append(key)
        return await original(self, key, prototype, byte_range)

    monkeypatch.setattr(LocalStore, "get", get)
    return asked


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_large_picture_is_read_chunk_by_chunk(tmp_path, chunk_reads, version):
    pixels = RNG.integers(0, 256, (3, 1200, 1600), dtype=np.uint8)
    path = write(
        tmp_path / "große Zelle.ome.zarr", pixels, axes_of("cyx"), version=version, n_levels=3, scale=[1, 0.5, 0.25],
        chunks=(3, 256, 256),
    )  # fmt: skip
    chunk_reads.clear()
    stack = read_image(path)
    assert chunk_reads == []
    shown = stack.modalities[0]
    assert (stack.grid, shown.kind, stack.spacing, stack.units) == ((1200, 1600), "rgb", (0.5, 0.25), "um")
    assert stack.metadata["format"] == "ome-zarr"
    assert [level["path"] for level in stack.metadata["levels"]] == ["0", "1", "2"]
    assert [level["scale"] for level in stack.metadata["levels"]] == [[1, 0.5, 0.25], [1, 1.0, 0.5], [1, 2.0, 1.0]]
    assert [level.shape for level in shown.levels] == [(600, 800, 3), (300, 400, 3)]
    got = stack.region(0, slice(10, 20), slice(600, 610))
    np.testing.assert_array_equal(got, np.moveaxis(pixels, 0, -1)[10:20, 600:610])
    # one block of 512 x 512 is four chunks
    assert len(chunk_reads) == 4
    np.testing.assert_array_equal(np.asarray(shown.levels[1]), np.moveaxis(pixels, 0, -1)[::4, ::4])


@pytest.mark.parametrize("names", ["yx", "zyx", "tyx", "tzyx", "tczyx", "cyx", "czyx", "tcyx"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_any_axes(tmp_path, names, version):
    sizes = {"t": 2, "c": 2, "z": 3, "y": 8, "x": 9}
    pixels = RNG.integers(0, 4000, [sizes[n] for n in names], dtype=np.uint16)
    steps = {"t": 1.0, "c": 1.0, "z": 4.0, "y": 0.5, "x": 0.25}
    path = write(tmp_path / "a.zarr", pixels, axes_of(names), version=version, scale=[steps[n] for n in names])
    stack = read_image(path)
    planes = [n for n in names if n in "tz"]
    expected = np.moveaxis(pixels, names.index("c"), -1) if "c" in names else pixels
    expected = expected.reshape((-1, *expected.shape[len(planes) :])) if planes else expected
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), expected)
    assert stack.spacing[-2:] == (0.5, 0.25)
    assert stack.axis_names == ((planes[0] if len(planes) == 1 else "plane",) if planes else ()) + ("y", "x")
    assert stack.spacing[0] == (4.0 if planes == ["z"] else 1.0 if planes else 0.5)
    assert stack.modalities[0].kind == ("fluorescence" if "c" in names else "auto")


@pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler:DeprecationWarning")
def test_what_holds_for_all_levels_comes_after_what_each_says(tmp_path):
    common = [{"type": "scale", "scale": [3.0, 2.0, 2.0]}, {"type": "translation", "translation": [100.0, 20.0, 30.0]}]
    path = write(
        tmp_path / "a.zarr", np.zeros((2, 8, 9), np.uint8), axes_of("zyx"), n_levels=2, scale=[1, 0.5, 0.25],
        extra={"coordinateTransformations": common},
    )  # fmt: skip
    group = zarr.open_group(path, mode="r+")
    told = group.attrs["multiscales"]
    told[0]["datasets"][0]["coordinateTransformations"].append({"type": "translation", "translation": [1.0, 2.0, 4.0]})
    group.attrs["multiscales"] = told
    stack = read_image(path)
    assert stack.spacing == (3.0, 1.0, 0.5)
    assert stack.metadata["origin"] == [103.0, 24.0, 38.0]


@pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler")  # its own, as it is imported
def test_what_the_reference_library_writes(tmp_path):
    from ome_zarr.writer import write_image

    pixels = RNG.integers(0, 4000, (2, 64, 80), dtype=np.uint16)
    path = tmp_path / "a.ome.zarr"
    group = zarr.open_group(path, mode="w")
    write_image(pixels, group, axes="cyx", scale_factors=(2,))
    stack = read_image(path)
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), np.moveaxis(pixels, 0, -1))
    written = zarr.open_group(path)
    assert len(stack.modalities[0].levels) == 1
    for level, about in zip(stack.modalities[0].levels, stack.metadata["levels"][1:], strict=True):
        np.testing.assert_array_equal(np.asarray(level), np.moveaxis(np.asarray(written[about["path"]]), 0, -1))


def test_channels_named_as_sensors_are_modalities(tmp_path):
    pixels = RNG.integers(0, 4000, (2, 8, 9), dtype=np.uint16)
    omero = {"channels": [{"label": "NIR", "color": "FF0000"}, {"label": "thermal", "window": {"start": 5, "end": 90}}]}
    stack = read_image(write(tmp_path / "a.zarr", pixels, axes_of("cyx"), omero=omero))
    assert [(m.name, m.kind, m.channels) for m in stack.modalities] == [
        ("NIR", "nir", False),
        ("thermal", "thermal", False),
    ]
    np.testing.assert_array_equal(stack.region(modality=1), pixels[1])
    assert stack.metadata["channels"] == [
        {"name": "NIR", "colour": "#ff0000"},
        {"name": "thermal", "window": [5.0, 90.0]},
    ]


def test_stained_channels_stay_together_and_keep_their_names(tmp_path):
    pixels = RNG.integers(0, 255, (3, 8, 9), dtype=np.uint8)
    omero = {"channels": [{"label": "DAPI"}, {"label": "GFP"}, {"label": "RFP"}]}
    stack = read_image(write(tmp_path / "a.zarr", pixels, axes_of("cyx"), omero=omero))
    assert [(m.kind, m.channels) for m in stack.modalities] == [("fluorescence", True)]
    assert [c["name"] for c in stack.metadata["channels"]] == ["DAPI", "GFP", "RFP"]


@pytest.mark.parametrize("n_slices", [1, 4])
def test_a_volume_in_the_patient_comes_upright(tmp_path, n_slices):
    """Axes that run to the right, the front and the feet are all turned round."""
    pixels = RNG.integers(0, 4000, (n_slices, 5, 6), dtype=np.int16)
    axes = axes_of("zyx", "micrometer")
    for axis, value in zip(axes, ("superior-to-inferior", "posterior-to-anterior", "left-to-right"), strict=True):
        axis["orientation"] = {"type": "anatomical", "value": value}
    path = write(tmp_path / "a.zarr", pixels, axes, scale=[3000.0, 500.0, 500.0], n_levels=2)
    stack = read_image(path)
    assert stack.geometry is not None
    assert (stack.spacing, stack.units) == ((3.0, 0.5, 0.5), "mm")
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), pixels[::-1, ::-1, ::-1])
    # the array's first voxel is at the origin, which is the upright's last
    last = [n - 1 for n in stack.grid]
    np.testing.assert_allclose(stack.geometry.affine @ [*last, 1], [0, 0, 0, 1], atol=1e-9)
    assert stack.modalities[0].levels[0].shape == (n_slices, 3, 3)


def test_volumes_that_this_program_wrote_keep_their_exact_place(tmp_path):
    affine = np.array([[0, 0, -0.5, 7.0], [0, 0.6, 0.1, -3.0], [2.0, -0.1, 0, 11.0], [0, 0, 0, 1]])
    pixels = RNG.integers(0, 9, (4, 5, 6), dtype=np.uint8)
    path = write(tmp_path / "a.zarr", pixels, axes_of("zyx", "millimeter"))
    zarr.open_group(path).attrs["napari-promptseg"] = {"index_to_lps_mm": affine.tolist()}
    stack = read_image(path)
    upright = np.asarray(stack.modalities[0].pixels)
    for index in ((0, 0, 0), (3, 4, 5), (1, 2, 3)):
        at = stack.geometry.affine @ [*index, 1]
        own = np.round(np.linalg.solve(affine, at)).astype(int)[:3]
        assert upright[index] == pixels[tuple(own)]


@pytest.mark.parametrize("version", [2, 3])
def test_plain_arrays_and_groups_of_one(tmp_path, version):
    pixels = RNG.random((4, 20, 30)).astype(np.float32)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=pixels.shape, dtype="f4", chunks=(1, 8, 8), zarr_format=version
    )
    array[...] = pixels
    stack = read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), pixels)
    assert (stack.grid, stack.axis_names, stack.metadata["format"]) == ((4, 20, 30), ("z", "y", "x"), "zarr")
    group = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=version)
    group.create_array("only", data=(pixels[..., :3] * 255).astype(np.uint8))
    assert read_image(tmp_path / "b.zarr").grid == (4, 20, 3)
    group.create_array("more", data=pixels)
    with pytest.raises(InputError, match=r"several arrays \(more, only\): name the folder of one"):
        read_image(tmp_path / "b.zarr")
    assert read_image(tmp_path / "b.zarr" / "more").grid == (4, 20, 30)


def test_names_of_an_arrays_axes_count(tmp_path):
    pixels = RNG.random((5, 6, 2)).astype(np.float32)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=pixels.shape, dtype="f4", chunks=(5, 6, 2), dimension_names=("x", "y", "c")
    )
    array[...] = pixels
    stack = read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(np.asarray(stack.modalities[0].pixels), pixels.transpose(1, 0, 2))


def test_several_series_and_plates(tmp_path):
    pixels = RNG.integers(0, 9, (8, 9), dtype=np.uint8)
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name in ("10", "2"):
        write(tmp_path / "a.zarr" / name, pixels + int(name), axes_of("yx"))
    stack = read_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(stack.region(), pixels + 2)
    assert stack.metadata["notes"] == ["It holds 2 images; the first is shown."]
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w")
    plate.attrs["plate"] = {"wells": []}
    with pytest.raises(InputError, match=r"'p\.zarr' cannot be used: it is a plate of many images"):
        read_image(tmp_path / "p.zarr")


def test_broken_metadata_is_said_in_one_sentence(tmp_path):
    path = write(tmp_path / "a.zarr", np.zeros((8, 9), np.uint8), axes_of("yx"), n_levels=2)
    group = zarr.open_group(path)
    scales = group.attrs["multiscales"]
    group.attrs["multiscales"] = [{**scales[0], "axes": axes_of("zyx")}]
    with pytest.raises(InputError, match="name 3 axes but its first array has 2"):
        read_image(path)
    group.attrs["multiscales"] = scales
    shutil.rmtree(path / "1")
    with pytest.raises(InputError, match="its array '1' is missing"):
        read_image(path)
    group.attrs["multiscales"] = []
    with pytest.raises(InputError, match="name no array"):
        read_image(path)
    (path / ".zattrs").write_text("{")
    with pytest.raises(InputError, match=r"'a\.zarr' cannot be read") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    (tmp_path / "empty.zarr").mkdir()
    (tmp_path / "empty.zarr" / "zarr.json").write_text("")
    with pytest.raises(InputError, match=r"'empty\.zarr' cannot be read"):
        read_image(tmp_path / "empty.zarr")


def test_such_folders_are_images(tmp_path):
    path = write(tmp_path / "a.b.ome.zarr", np.zeros((8, 9), np.uint8), axes_of("yx"))
    assert folder_format(path) == "zarr"
    assert is_image(path)
    # a folder around it is none, unlike one around slices of DICOM
    assert not is_image(tmp_path)
    assert stem(path) == "a.b"


@pytest.mark.parametrize("version", [2, 3])
def test_a_damaged_chunk_is_told_when_it_is_looked_at(tmp_path, version):
    path = tmp_path / "a b.zarr"
    values = np.random.default_rng(0).integers(0, 255, (3, 40, 50)).astype(np.uint8)
    array = zarr.create_array(path, shape=values.shape, dtype="u1", chunks=(1, 40, 50), zarr_format=version)
    array[:] = values
    chunk = next(
        p for p in sorted(path.rglob("*")) if p.is_file() and p.relative_to(path).as_posix() in ("c/1/0/0", "1.0.0")
    )
    chunk.write_bytes(chunk.read_bytes()[:-7])
    stack = read_image(path)
    np.testing.assert_array_equal(stack.region(0), values[0])
    with pytest.raises(InputError, match=r"^A part of 'a b\.zarr' cannot be read: it is damaged"):
        stack.region(1)
