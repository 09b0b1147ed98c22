"""``--format``: each one from the command line to the file, and what does not fit is told."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from dicom_samples import PERSONAL, write_series
from PIL import Image
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg import cli, format_options
from napari_promptseg.encoders import loading
from napari_promptseg.images.label_formats import FORMATS
from napari_promptseg.images.readers import read_image
from napari_promptseg.label_jobs import find_images, plan


@pytest.fixture(autouse=True)
def pixels(monkeypatch):
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: PixelEncoder())


@pytest.fixture
def photos(tmp_path):
    for n, name in enumerate(("Bild ä 1.png", "b.png")):
        picture = np.zeros((20, 30 + 10 * n, 3), np.uint8)
        picture[:, :10], picture[:, 20:] = COLOURS["red"], COLOURS["green"]
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "in" / name)
    return tmp_path / "in"


def segment(images, out, form, *more):
    arguments = ["segment", images, "--classes", "red,green", "--background", "black", "-o", out, "--format", form]
    return cli.main([str(a) for a in (*arguments, *more)])


def test_the_choices_are_the_formats():
    assert tuple(FORMATS) == format_options.FORMATS


@pytest.mark.parametrize("form", ["png", "ome-zarr", "tiff"])
def test_pictures_in_one_file_each(photos, tmp_path, form):
    out = tmp_path / "out"
    assert segment(photos, out, form) == 0
    for name, width in (("Bild ä 1", 30), ("b", 40)):
        labels = read_image(out / f"{name}_labels{FORMATS[form].ending}")
        assert np.asarray(labels.region()).shape == (20, width)
        assert set(np.unique(labels.region())) == {0, 1, 2}
        assert json.loads((out / f"{name}_labels.json").read_text(encoding="utf-8"))["classes"][0]["name"] == "red"
    assert segment(photos, out, form) == 1, "nothing is replaced unasked"
    assert segment(photos, out, form, "--overwrite") == 0
    assert segment(photos, out, form, "--resume") == 0, "what is there was made by the same job"


def test_a_folder_of_pictures_per_class(photos, tmp_path):
    out = tmp_path / "out"
    assert segment(photos, out, "class-png") == 0
    green = np.asarray(Image.open(out / "Bild ä 1_labels" / "2_green.png"))
    assert (green[:, 20:] == 255).all()
    assert not green[:, :20].any()
    assert (out / "Bild ä 1_labels.json").exists()


@pytest.mark.parametrize(("form", "ending"), [("coco", ".coco.json"), ("coco-polygons", ".polygons.json")])
def test_coco_of_each_picture_and_of_all(photos, tmp_path, capsys, form, ending):
    out = tmp_path / "out"
    assert segment(photos, out, form) == 0
    assert f"in {out / f'all_labels{ending}'} too" in capsys.readouterr().err
    content = json.loads((out / f"all_labels{ending}").read_text(encoding="utf-8"))
    assert [(i["file_name"], i["width"]) for i in content["images"]] == [("Bild ä 1.png", 30), ("b.png", 40)]
    found = {(a["image_id"], a["category_id"]): (a["bbox"], a["area"]) for a in content["annotations"]}
    assert found == {
        (1, 1): ([0, 0, 10, 20], 200),
        (1, 2): ([20, 0, 10, 20], 200),
        (2, 1): ([0, 0, 10, 20], 200),
        (2, 2): ([20, 0, 20, 20], 400),
    }
    shape = content["annotations"][0]["segmentation"]
    assert shape == ({"size": [20, 30], "counts": [0, 200, 400]} if form == "coco" else shape)
    if form == "coco-polygons":
        assert sorted(zip(shape[0][::2], shape[0][1::2], strict=True)) == [(0, 0), (0, 20), (10, 0), (10, 20)]
    assert segment(photos, out, form) == 1
    assert "all_labels" in capsys.readouterr().err
    assert segment(photos, out, form, "--resume") == 0, "what is there was made by the same job"


@pytest.mark.parametrize(("form", "ending"), [("nifti", ".nii.gz"), ("nrrd", ".seg.nrrd"), ("mha", ".mha")])
def test_volumes_keep_their_place(tmp_path, form, ending):
    affine = np.array([[0, -0.7, 0, 20.0], [0.6, 0, 0, -7.0], [0, 0, -3.0, 11.0], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 6, 2), np.uint8), affine), tmp_path / "Schädel 1.nii")
    out = tmp_path / "out"
    assert segment(tmp_path / "Schädel 1.nii", out, form) == 0
    labels = read_image(out / f"Schädel 1_labels{ending}")
    source = read_image(tmp_path / "Schädel 1.nii")
    assert source.geometry is not None
    assert labels.geometry is not None
    assert labels.geometry.lies_like(source.geometry)
    assert find_images([str(tmp_path)]) == [tmp_path / "Schädel 1.nii"]


def test_results_of_every_format_are_no_images_of_the_next_run(photos):
    for form in FORMATS.values():
        job, _ = plan(find_images([str(photos)], leave_out=photos), photos, form.key)
        if form.endings:
            job.labels.write_bytes(b"")
            job.legend.write_text("{}")
        assert len(find_images([str(photos)], leave_out=photos)) == 2
        for file in {job.labels, job.legend}:
            file.unlink(missing_ok=True)


def test_a_series_becomes_a_dicom_segmentation(tmp_path, capsys):
    highdicom = pytest.importorskip("highdicom")
    values = np.zeros((2, 8, 8), np.int16)
    values[:, :, 4:] = 3000
    write_series(tmp_path / "Mustermann Erika", values, SeriesDescription="Abdomen")
    out = tmp_path / "out"
    code = segment(tmp_path / "Mustermann Erika", out, "dicom-seg", "--threshold", "0.3")
    shown = capsys.readouterr()
    assert code == 0, shown.err
    (made,) = out.glob("*.dcm")
    assert highdicom.seg.segread(made).SegmentSequence[0].SegmentLabel in ("red", "green")
    words = (shown.out + (out / f"{made.stem}.json").read_text()).replace(str(tmp_path), "").casefold()
    assert not any(word in words for word in PERSONAL)


def test_what_does_not_fit_is_told_and_the_rest_goes_on(photos, tmp_path, capsys):
    nibabel.save(nibabel.Nifti1Image(np.zeros((8, 6, 2), np.uint8), np.eye(4)), photos / "c.nii")
    assert segment(photos, tmp_path / "out", "nifti") == 1
    told = capsys.readouterr().err
    assert told.count("cannot be written as NIfTI: its source is not a volume in millimetres") == 2
    assert (tmp_path / "out" / "c_labels.nii.gz").exists()
