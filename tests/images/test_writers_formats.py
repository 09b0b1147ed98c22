"""COCO, a PNG per class, NRRD's names of segments; which format fits what, and where legends lie."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.class_pictures import picture_name
from napari_promptseg.images.coco import CocoFile, join_files
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.itk_labels import encode_mha, encode_nrrd
from napari_promptseg.images.label_formats import FORMATS, format_of, legend_path, usual_format
from napari_promptseg.images.outlines import polygon_mask
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

PROMPTS = PromptSet.from_text("cell | nucleus, Hülle, a/b:c")
LEGEND = {"classes": [], "provenance": {}}
PLANES = hnp.arrays("uint8", st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def filled(counts, shape):
    """Runs down the columns, background first: read by the letter of COCO's format."""
    flat = np.repeat(np.arange(len(counts)) % 2, counts)
    return flat.reshape(shape[::-1]).T.astype(bool)


@settings(max_examples=60, deadline=None)
@given(PLANES)
def test_coco_runs_hold_every_pixel(labels):
    file = CocoFile(PROMPTS)
    file.add("Bild ü.png", labels, LEGEND)
    content = json.loads(file.encoded())
    back = np.zeros_like(labels)
    for a in content["annotations"]:
        assert a["segmentation"]["size"] == list(labels.shape)
        mask = filled(a["segmentation"]["counts"], labels.shape)
        assert not back[mask].any()
        back[mask] = a["category_id"]
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert (a["area"], a["bbox"]) == (mask.sum(), box)
    np.testing.assert_array_equal(back, labels)


@settings(max_examples=60, deadline=None)
@given(PLANES)
def test_coco_polygons_fill_to_the_same_pixels(labels):
    """A region with a hole is told in runs, all others in one polygon along the edges of its pixels."""
    file = CocoFile(PROMPTS, "polygons")
    file.add("a.png", labels, LEGEND)
    back = np.zeros_like(labels)
    for a in json.loads(file.encoded())["annotations"]:
        if isinstance(a["segmentation"], dict):
            mask = filled(a["segmentation"]["counts"], labels.shape)
        else:
            (numbers,) = a["segmentation"]
            corners = np.array(numbers).reshape(-1, 2)
            # COCO counts from the corner of the first pixel, the plane's outlines from its centre
            mask = polygon_mask(corners[:, ::-1] - 0.5, labels.shape).mask
        assert mask.sum() == a["area"]
        back[mask] = a["category_id"]
    np.testing.assert_array_equal(back, labels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_pycocotools_fills_the_very_same_pixels(tmp_path):
    from pycocotools import coco

    told = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        smooth = ndimage.gaussian_filter(rng.normal(size=rng.integers(1, 60, 2)), rng.choice([0.3, 1.5, 3]))
        labels = np.digitize(smooth, np.quantile(smooth, [0.4, 0.6, 0.8])).astype(np.uint8)
        for form in ("coco", "coco-polygons"):
            path, _ = write_labels(tmp_path / f"{seed}.json", labels, PROMPTS, form=form, overwrite=True)
            back = np.zeros_like(labels)
            read = coco.COCO(str(path))
            for a in read.anns.values():
                mask = read.annToMask(a) > 0
                assert mask.sum() == a["area"]
                back[mask] = a["category_id"]
                told.append(type(a["segmentation"]))
            np.testing.assert_array_equal(back, labels)
    assert min(told.count(list), told.count(dict)) > 1000


def test_a_ring_has_no_polygon():
    ring = np.ones((5, 5), np.uint8)
    ring[2, 2] = 0
    file = CocoFile(PROMPTS, "polygons")
    file.add("a.png", ring, LEGEND)
    (only,) = json.loads(file.encoded())["annotations"]
    assert only["segmentation"]["counts"] == [0, 12, 1, 12]


def check_many(content):
    assert [(i["id"], i["file_name"], i["width"], i["height"]) for i in content["images"]] == [
        (1, "0.png", 5, 4),
        (2, "1.png", 6, 4),
        (3, "2.png", 7, 4),
    ]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in content["annotations"]] == [
        (1, 1, 1),
        (2, 2, 1),
        (3, 3, 1),
    ]
    assert [(c["id"], c["name"]) for c in content["categories"]] == [(1, "cell"), (2, "Hülle"), (3, "a/b:c")]
    assert [(c["name"], "area_share" in c) for c in content["classes"]] == [(c.name, False) for c in PROMPTS.classes]
    assert content["images"][2]["provenance"]["model"] == "embedded"


def test_one_coco_file_for_many_pictures(tmp_path):
    together, parts = CocoFile(PROMPTS), []
    for n in range(3):
        labels = np.zeros((4, 5 + n), np.uint8)
        labels[n, n] = 1
        source = ImageStack((Modality("m", labels),), source=f"{n}.png")
        part, _ = write_labels(
            tmp_path / f"{n}.coco.json", labels, PROMPTS, source=source, provenance={"model": "embedded"}
        )
        legend = json.loads(part.read_text(encoding="utf-8"))
        assert legend["classes"][0]["area_share"] == 1 / labels.size
        assert legend["provenance"]["source"] == f"{n}.png"
        together.add(f"{n}.png", labels, legend)
        parts.append(part)
    check_many(json.loads(together.encoded()))
    join_files(parts, tmp_path / "new" / "all.coco.json")
    check_many(json.loads((tmp_path / "new" / "all.coco.json").read_text(encoding="utf-8")))
    parts[1].write_text("{}")
    with pytest.raises(InputError, match=r"'1.coco.json' cannot be read"):
        join_files(parts, tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_a_picture_per_class(tmp_path):
    labels = np.array([[0, 1, 1], [3, 0, 2]], np.uint8)
    folder, legend = write_labels(tmp_path / "Blick 1_labels", labels, PROMPTS, form="class-png")
    assert legend == tmp_path / "Blick 1_labels.json"
    entries = json.loads(legend.read_text(encoding="utf-8"))["classes"]
    assert [e["picture"] for e in entries] == ["1_cell.png", "2_Hülle.png", "3_a_b_c.png"]
    for entry in entries:
        picture = np.asarray(Image.open(folder / entry["picture"]))
        np.testing.assert_array_equal(picture, np.where(labels == entry["value"], 255, 0))
    with pytest.raises(OutputError, match="exists already"):
        write_labels(folder, labels, PROMPTS, form="class-png")
    assert picture_name(PromptSet.from_text('"///"').classes[0]) == "1.png"


def test_pictures_of_classes_that_are_gone_go_with_them(tmp_path):
    """Else a program that takes the folder takes an earlier run's classes for this one's."""
    folder, legend = write_labels(tmp_path / "a_labels", np.eye(3, dtype=np.uint8), PROMPTS, form="class-png")
    (folder / "mine.png").write_bytes(b"my own")
    (tmp_path / "4_x.png").write_bytes(b"not in the folder")
    told = json.loads(legend.read_text(encoding="utf-8"))
    told["classes"] += [{"picture": "../4_x.png"}, {"picture": 5}]
    legend.write_text(json.dumps(told), encoding="utf-8")
    write_labels(folder, np.eye(3, dtype=np.uint8), PROMPTS.without(2), form="class-png", overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["1_cell.png", "3_a_b_c.png", "mine.png"]
    assert (tmp_path / "4_x.png").exists()
    legend.write_text("no legend")
    write_labels(folder, np.eye(3, dtype=np.uint8), PROMPTS, form="class-png", overwrite=True)


def volume(shape=(6, 5, 4)):
    affine = np.diag([0.1 + 0.2, 1 / 3, 2.5, 1.0])
    affine[:3, 3] = (-1e-7, 12345.678901234567, 0.0)
    return Geometry.of_file(shape, affine)


def source_of(geometry, metadata=None):
    grid = np.broadcast_to(np.zeros((), np.uint8), geometry.shape)
    return ImageStack((Modality("m", grid),), geometry.spacing, "mm", (), "m.nii", metadata or {}, geometry)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_numbers_of_the_geometry_come_back_to_the_last_bit(tmp_path, dtype):
    sitk = pytest.importorskip("SimpleITK")
    geometry = volume()
    labels = np.zeros(geometry.shape, dtype)
    labels[1, 2, 3] = np.iinfo(dtype).max
    for name, content in (
        ("a.nrrd", encode_nrrd(labels, geometry, PROMPTS)),
        ("a.mha", encode_mha(labels, geometry)),
    ):
        (tmp_path / name).write_bytes(content)
        image = sitk.ReadImage(str(tmp_path / name))
        assert image.GetOrigin() == tuple(geometry.file_affine[:3, 3])
        np.testing.assert_allclose(image.GetSpacing(), np.diag(geometry.file_affine)[:3], rtol=1e-15)
        values = sitk.GetArrayFromImage(image)
        assert values.dtype == dtype
        np.testing.assert_array_equal(values, geometry.to_file(labels).T)
    assert encode_nrrd(labels, geometry, PROMPTS) == encode_nrrd(labels, geometry, PROMPTS)


def test_slicer_finds_its_segments(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    geometry = volume()
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1, 2:4, 3] = 1
    labels[0, 0, 0] = 3
    path, legend = write_labels(tmp_path / "Kopf 1.seg.nrrd", labels, PROMPTS, source=source_of(geometry))
    assert legend.name == "Kopf 1.json"
    image = sitk.ReadImage(str(path))
    assert image.GetMetaData("Segmentation_MasterRepresentation") == "Binary labelmap"
    assert [image.GetMetaData(f"Segment{n}_Name") for n in range(3)] == ["cell", "Hülle", "a/b:c"]
    assert [image.GetMetaData(f"Segment{n}_LabelValue") for n in range(3)] == ["1", "2", "3"]
    assert [image.GetMetaData(f"Segment{n}_Extent") for n in range(3)] == [
        "3 3 2 3 1 1",
        "0 -1 0 -1 0 -1",
        "0 0 0 0 0 0",
    ]
    own = json.loads(image.GetMetaData("napari-promptseg"))
    assert own["classes"] == json.loads(legend.read_text(encoding="utf-8"))["classes"]


@pytest.mark.parametrize(
    ("name", "key", "legend"),
    [
        ("a.TIF", "tiff", "a.json"),
        ("a.b.nii.gz", "nifti", "a.b.json"),
        ("a.seg.nrrd", "nrrd", "a.json"),
        ("a.nrrd", "nrrd", "a.json"),
        ("a.mha", "mha", "a.json"),
        ("a.dcm", "dicom-seg", "a.json"),
        ("a.ome.zarr", "ome-zarr", "a.json"),
        ("a.zarr", "ome-zarr", "a.json"),
        ("a.coco.json", "coco", "a.coco.json"),
        ("a.polygons.json", "coco-polygons", "a.polygons.json"),
    ],
)
def test_names_stand_for_formats(name, key, legend):
    form = format_of(name)
    assert form is FORMATS[key]
    assert legend_path(Path("x") / name) == Path("x") / legend


def test_what_fits_a_picture_and_a_volume():
    geometry = volume()
    inside = source_of(geometry)
    dicom = source_of(geometry, {"dicom": {"series_uid": "1"}})
    assert usual_format(inside, geometry.shape).key == "nifti"
    assert usual_format(None, (4, 5)).key == "tiff"

    def fitting(source, shape):
        return [key for key, form in FORMATS.items() if form.unfit(source, shape) is None]

    flat = ["png", "coco", "coco-polygons", "class-png"]
    assert set(fitting(None, (4, 5))) == {"tiff", "ome-zarr", *flat}
    assert set(fitting(None, (3, 4, 5))) == {"tiff", "ome-zarr"}
    assert set(fitting(inside, geometry.shape)) == {"tiff", "ome-zarr", "nifti", "nrrd", "mha"}
    assert set(fitting(dicom, geometry.shape)) == {"tiff", "ome-zarr", "nifti", "nrrd", "mha", "dicom-seg"}
    assert "the labels have shape" in str(FORMATS["nifti"].unfit(inside, (1, 2, 3)))
    assert "several volumes" in str(FORMATS["nrrd"].unfit(inside, (2, *geometry.shape)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.nii.gz", r"'a.nii.gz' cannot be written as NIfTI: the labels have shape \(4, 5, 7\) and the volume"),
        ("a.seg.nrrd", "the labels have shape"),
        ("a.mha", "the labels have shape"),
        ("a.coco.json", "cannot be written as COCO: it cannot hold 4 planes; write a TIFF instead"),
    ],
)
def test_labels_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        write_labels(tmp_path / name, np.zeros((4, 5, 7), np.uint8), PROMPTS, source=source_of(volume()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", [".nii.gz", ".seg.nrrd", ".mha", ".ome.zarr", ".tif"])
def test_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch, ending):
    geometry = volume()
    path = tmp_path / "Maße für A" / f"Kopf ü 1{ending}"
    keywords = {"source": source_of(geometry), "overwrite": True}
    write_labels(path, np.ones(geometry.shape, np.uint8), PROMPTS, **keywords)

    def content():
        return {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    before = content()

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("zarr.Array.__setitem__", full)
    with pytest.raises(OutputError, match="disk is full") as error:
        write_labels(path, np.zeros(geometry.shape, np.uint8), PROMPTS, **keywords)
    assert "\n" not in str(error.value)
    assert content() == before
