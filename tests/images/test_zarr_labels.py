"""OME-Zarr labels: what other programs read there, block by block or whole, beside an image or inside it."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.images.zarr_labels import (
    OWN,
    create_labels,
    finish_pyramid,
    image_of,
    open_labels,
    put_legend,
    write_zarr_labels,
)
from napari_promptseg.images.zarr_pyramid import level_factors, most_frequent
from napari_promptseg.prompts.prompt_set import PromptSet

PROMPTS = PromptSet.from_text("cell nucleus, Hülle")


def by_hand(labels):
    """Each 2 x 2 block's most frequent value, the first where none has more."""
    padded = np.pad(labels, [(0, n % 2) for n in labels.shape], mode="edge")
    small = np.zeros([n // 2 for n in padded.shape], labels.dtype)
    for at in np.ndindex(small.shape):
        block = padded[tuple(slice(2 * i, 2 * i + 2) for i in at)].ravel().tolist()
        small[at] = max(block, key=lambda v: (block.count(v), -block.index(v)))
    return small


@settings(max_examples=30, deadline=None)
@given(hnp.arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_levels_hold_the_most_frequent_label(labels):
    from napari_promptseg.images.zarr_pyramid import fill_level

    above = zarr.array(labels, chunks=(2, 3))
    below = zarr.zeros(tuple(-(-n // 2) for n in labels.shape), dtype="uint8", chunks=(2, 1))
    fill_level(below, above)
    np.testing.assert_array_equal(below[...], by_hand(labels))


def test_of_candidates_the_first_wins_a_tie():
    candidates = [np.array([v]) for v in (5, 0, 7, 5, 0)]
    assert most_frequent(candidates).tolist() == [5]


def test_planes_of_thick_slices_are_kept():
    assert level_factors((40, 2048, 1024), (5.0, 1.0, 1.0)) == [(1, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert level_factors((40, 2048, 1024), (2.5, 1.0, 1.0)) == [(1, 1, 1), (1, 2, 2), (2, 4, 4)]
    assert level_factors((400, 300), (1.0, 1.0)) == [(1, 1)]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_blocks_written_one_by_one(tmp_path, version):
    """As a big picture is written: empty at first, block by block, then its levels."""
    source = ImageStack((Modality("m", np.zeros((1201, 900))),), spacing=(0.5, 0.25), units="um")
    path = tmp_path / "über großes Bild.zarr"
    array = create_labels(path, (1201, 900), np.uint8, source, PROMPTS, chunks=(256, 256), version=version)
    assert array.chunks == (256, 256)
    assert not list((path / "0").glob("[0-9c]*")), "background takes no place on the disk"
    labels = np.zeros((1201, 900), np.uint8)
    labels[300:513, 700:] = 2
    labels[1200, 0] = 1
    for row in range(0, 1201, 256):
        open_labels(path)[row : row + 256] = labels[row : row + 256]
    finish_pyramid(path)
    put_legend(path, {"classes": [], "provenance": {"model": "embedded"}})
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], labels)
    np.testing.assert_array_equal(group["1"][...], by_hand(labels))
    np.testing.assert_array_equal(group["2"][...], by_hand(by_hand(labels)))
    assert group.attrs[OWN]["provenance"] == {"model": "embedded"}
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    scales, label = ome["multiscales"][0], ome["image-label"]
    assert (ome if version == "0.5" else scales)["version"] == version
    assert scales["axes"] == [{"name": n, "type": "space", "unit": "micrometer"} for n in ("y", "x")]
    assert scales["datasets"][1] == {
        "path": "1",
        "coordinateTransformations": [
            {"type": "scale", "scale": [1.0, 0.5]},
            {"type": "translation", "translation": [0.25, 0.125]},
        ],
    }
    assert label["properties"] == [{"label-value": 1, "name": "cell nucleus"}, {"label-value": 2, "name": "Hülle"}]
    assert label["colors"][0] == {"label-value": 1, "rgba": [230, 159, 0, 255]}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_models_of_the_format_read_them(tmp_path, version):
    import ome_zarr_models as models

    write_zarr_labels(tmp_path / "a.zarr", np.ones((4, 5), np.uint8), None, PROMPTS, {}, version=version)
    read = models.open_ome_zarr(zarr.open_group(tmp_path / "a.zarr", mode="r"))
    assert type(read).__name__ == "ImageLabel"


def image_of_version(path, version, shape=(3, 50, 40)):
    """A channels-first OME-Zarr image of two levels."""
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for factor, name in ((1, "s0"), (2, "s1")):
        group[name] = values[:, ::factor, ::factor]
        scale = {"type": "scale", "scale": [1.0, 0.5 * factor, 0.25 * factor]}
        shift = {"type": "translation", "translation": [0.0, 3.0, 4.0]}
        datasets.append({"path": name, "coordinateTransformations": [scale, shift]})
    axes = [
        {"name": "c", "type": "channel"},
        *[{"name": n, "type": "space", "unit": "micrometer"} for n in ("y", "x")],
    ]
    scales = {"axes": axes, "datasets": datasets}
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": version, **scales}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [scales]}
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_labels_inside_an_image_are_its_own(tmp_path, version, consolidated):
    image = image_of_version(tmp_path / "scan.zarr", version)
    if consolidated:
        zarr.consolidate_metadata(str(image))
    before = zarr.open_group(image, mode="r")["s0"][...]
    labels = np.zeros((50, 40), np.uint8)
    labels[4:20, 7:] = 1
    for name in ("cells", "cells 2", "cells"):
        write_zarr_labels(image / "labels" / name, labels, None, PROMPTS, {"classes": []}, overwrite=True)
    root = zarr.open_group(image, mode="r")
    listed = dict(root["labels"].attrs)
    assert listed.get("ome", listed)["labels"] == ["cells", "cells 2"]
    assert sorted(p.name for p in (image / "labels").iterdir() if p.is_dir()) == ["cells", "cells 2"]
    inside = root["labels/cells"]
    assert [inside[k].shape for k in ("0", "1")] == [(50, 40), (25, 20)]
    np.testing.assert_array_equal(inside["0"][...], labels)
    assert inside["0"].metadata.zarr_format == (2 if version == "0.4" else 3)
    ome = dict(inside.attrs).get("ome", dict(inside.attrs))
    assert ome["image-label"]["source"] == {"image": "../../"}
    assert ome["multiscales"][0]["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 0.5]},
        {"type": "translation", "translation": [3.0, 4.0]},
    ]
    np.testing.assert_array_equal(root["s0"][...], before)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_an_image_says_of_all_its_levels_holds_for_labels_in_it(tmp_path, version):
    image = image_of_version(tmp_path / "scan.zarr", version)
    group = zarr.open_group(image, mode="r+")
    told = dict(group.attrs)
    scales = (told if version == "0.4" else told["ome"])["multiscales"][0]
    scales["coordinateTransformations"] = [
        {"type": "scale", "scale": [1.0, 10.0, 20.0]},
        {"type": "translation", "translation": [0.0, 100.0, 200.0]},
    ]
    group.attrs.update(told)
    write_zarr_labels(image / "labels" / "cells", np.ones((50, 40), np.uint8), None, PROMPTS, {"classes": []})
    stack, labels = read_image(image), read_image(image / "labels" / "cells")
    assert labels.spacing == stack.spacing == (5.0, 5.0)
    assert labels.metadata["origin"] == stack.metadata["origin"] == [130.0, 280.0]


def test_labels_of_another_shape_do_not_get_into_an_image(tmp_path):
    image = image_of_version(tmp_path / "scan.zarr", "0.5")
    with pytest.raises(InputError, match=r"\(50, 41\) do not lie on 'scan.zarr', which has \(50, 40\)"):
        write_zarr_labels(image / "labels" / "a", np.zeros((50, 41), np.uint8), None, PROMPTS, {})
    assert not (image / "labels" / "a").exists()


def test_a_place_in_the_patient_is_kept(tmp_path):
    affine = np.diag([0.5, 0.75, 4.0, 1.0])
    affine[:3, 3] = (-20, 30, 400)
    geometry = Geometry.of_file((6, 5, 4), affine)
    source = ImageStack(
        (Modality("m", np.zeros(geometry.shape)),), geometry.spacing, "mm", source="a.nii", geometry=geometry
    )
    path = tmp_path / "a.zarr"
    labels = np.zeros(geometry.shape, np.uint8)
    write_zarr_labels(path, labels, source, PROMPTS, {"classes": []})
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    scales = attributes["ome"]["multiscales"][0]
    assert [a["orientation"]["value"] for a in scales["axes"]] == [
        "inferior-to-superior",
        "anterior-to-posterior",
        "right-to-left",
    ]
    assert scales["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [4.0, 0.75, 0.5]},
        {"type": "translation", "translation": [400.0, 30.0, -20.0]},
    ]
    np.testing.assert_array_equal(attributes[OWN]["index_to_lps_mm"], geometry.affine)


def test_nothing_is_lost_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "a.zarr"
    write_zarr_labels(path, np.ones((4, 5), np.uint8), None, PROMPTS, {})
    with pytest.raises(OutputError, match="exists already"):
        write_zarr_labels(path, np.zeros((4, 5), np.uint8), None, PROMPTS, {})

    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(OutputError, match=r"disk is full: .*a\.zarr' was not written"):
        write_zarr_labels(path, np.zeros((4, 5), np.uint8), None, PROMPTS, {}, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]
    assert open_labels(path)[...].all()


def test_labels_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no OME-Zarr labels"):
        open_labels(tmp_path / "a.zarr")
    assert image_of(tmp_path / "labels" / "a") is None


def test_labels_of_a_shifted_image_lie_over_it(tmp_path):
    group = zarr.open_group(tmp_path / "image.zarr", mode="w")
    group.create_array("0", data=np.zeros((20, 30), np.uint8))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    moves = [{"type": "scale", "scale": [0.5, 0.25]}, {"type": "translation", "translation": [70.0, -8.0]}]
    datasets = [{"path": "0", "coordinateTransformations": moves}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    image = read_image(tmp_path / "image.zarr")
    write_zarr_labels(tmp_path / "labels.zarr", np.ones((20, 30), np.uint8), image, PROMPTS, {})
    labels = read_image(tmp_path / "labels.zarr")
    assert labels.metadata["origin"] == image.metadata["origin"] == [70.0, -8.0]
    assert (labels.spacing, labels.units) == (image.spacing, image.units)
