"""A saved mask holds what stands in the layer, with the size of its pixels; nothing is replaced unasked."""

from __future__ import annotations

import errno
import json
import os

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from dicom_samples import PERSONAL, write_series
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_promptseg.gui.export_section import INSIDE
from napari_promptseg.gui.layers import View
from napari_promptseg.gui.saving import export_of, spacing_of
from napari_promptseg.images.label_formats import FORMATS
from napari_promptseg.images.readers import read_image

pytestmark = pytest.mark.gui


@pytest.fixture
def saved(dock, viewer, qtbot, tmp_path):
    """Add an image, segment the plane in sight, press the button; gives the two files."""
    session, section = dock.session, dock.sections["export"]

    def wait():
        qtbot.waitUntil(lambda: session.workbench.is_idle and not session._live_timer.isActive())

    def press(name="mask.tif"):
        section.path_edit.setText(str(tmp_path / "new folder" / name))
        section.save_button.click()
        wait()
        return tmp_path / "new folder" / name, (tmp_path / "new folder" / name).with_suffix(".json")

    def act(data, **keywords):
        viewer.add_image(data, **keywords)
        session.add_classes("bright")
        assert session.segment()
        wait()
        return press

    return act


def test_painted_pixels_and_the_size_of_a_pixel_come_back(dock, saved, ramp):
    press = saved(ramp, scale=(0.25, 0.5), units=("um", "um"), name="ramp")
    layer = dock.session.result_layer
    layer.data[2, 3] = 7
    tiff, legend = press()
    back = read_image(tiff)
    np.testing.assert_array_equal(back.region(), layer.data)
    assert (back.spacing, back.units) == ((0.25, 0.5), "um")
    written = json.loads(legend.read_text(encoding="utf-8"))
    assert [c["name"] for c in written["classes"]] == ["bright"]
    assert written["provenance"]["source"] == "ramp"
    assert written["provenance"]["model"] == "embedded"


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((3,), ("z", "y", "x"), "ZYX"),
        ((3,), ("t", "y", "x"), "TYX"),
        ((2, 3), ("t", "z", "y", "x"), "TZYX"),
        ((2, 2, 3), ("p", "t", "z", "y", "x"), "TZYX"),
    ],
)
def test_stacks_of_planes_are_written_whole(dock, viewer, saved, ramp, shape, labels, axes):
    data = np.broadcast_to(ramp, (*shape, *ramp.shape))
    press = saved(data, axis_labels=labels, scale=(*[1] * (len(shape) - 1), 2, 0.5, 0.5), units="mm")
    layer = dock.session.result_layer
    layer.data[..., 0, :2] = np.arange(1, 1 + np.prod(shape)).reshape(*shape, 1)
    tiff, legend = press()
    with tifffile.TiffFile(tiff) as file:
        assert file.series[0].axes == axes
        np.testing.assert_array_equal(file.asarray().reshape(layer.data.shape), layer.data)
        assert ("spacing" in file.imagej_metadata) == ("Z" in axes)
    noted = json.loads(legend.read_text(encoding="utf-8"))["provenance"]["leading_axes"]
    assert noted == {"names": list(labels[:-2]), "shape": list(shape)}


def test_a_stack_does_not_fit_into_a_png_and_that_is_said(dock, saved, ramp):
    press = saved(np.stack([ramp] * 3))
    path, legend = press("mask.png")
    assert "3 planes" in dock.footer.message.text()
    assert not path.exists()
    assert not legend.exists()


@pytest.mark.parametrize("there", ["mask.tif", "mask.json"])
def test_a_file_that_is_there_is_replaced_at_the_second_press(dock, saved, ramp, tmp_path, there):
    press = saved(ramp)
    (tmp_path / "new folder").mkdir()
    other = tmp_path / "new folder" / there
    other.write_text("mine")
    press()
    assert other.read_text() == "mine"
    assert f"{there} is there already" in dock.footer.message.text()
    tiff, _ = press()
    assert "Saved" in dock.footer.message.text()
    np.testing.assert_array_equal(read_image(tiff).region(), dock.session.result_layer.data)
    press()
    assert "mask.json and mask.tif are there already" in dock.footer.message.text()


def test_without_a_mask_the_button_is_off_and_goes_off_again(dock, viewer, saved, ramp):
    button = dock.sections["export"].save_button
    assert not button.isEnabled()
    saved(ramp)
    assert button.isEnabled()
    viewer.layers.remove(dock.session.result_layer)
    assert not button.isEnabled()


def test_a_folder_that_cannot_be_written_is_said(dock, saved, ramp, tmp_path):
    press = saved(ramp)
    (tmp_path / "new folder").write_text("a file, not a folder")
    press()
    assert "cannot be written" in dock.footer.message.text()


@pytest.mark.parametrize(
    ("keywords", "spacing", "units"),
    [
        ({"scale": (2, 3)}, (2.0, 3.0), "pixel"),
        ({"scale": (2, 3), "units": ("mm", "um")}, (2000.0, 3.0), "um"),
        ({"scale": (2, 3), "units": ("s", "um")}, (2.0, 3.0), "pixel"),
        ({"scale": (0.002, 0.003), "units": "m"}, (2.0, 3.0), "mm"),
        ({"scale": (2, 3), "rotate": 30, "translate": (9, 9), "units": "nm"}, (2.0, 3.0), "nm"),
        ({"scale": (2, 3), "affine": np.diag([10.0, 10.0, 1.0]), "units": "cm"}, (20.0, 30.0), "cm"),
    ],
)
def test_spacing_is_measured_in_the_world(keywords, spacing, units):
    found, unit = spacing_of(Labels(np.zeros((4, 5), int), **keywords), [0, 1])
    assert unit == units
    np.testing.assert_allclose(found, spacing)


def test_painting_during_the_writing_does_not_reach_the_file():
    layer = Labels(np.zeros((1, 4, 5), int))
    export = export_of(layer, View(channel_axis=0), Image(np.zeros((3, 4, 5))))
    layer.data[:] = 3
    assert export.labels.shape == (4, 5)
    assert not export.labels.any()


@pytest.fixture
def opened(dock, viewer, qtbot):
    """Open a file as a person does and segment the plane in sight; gives the label layer."""
    session = dock.session

    def act(path):
        viewer.open(str(path), plugin="napari-promptseg")
        session.add_classes("bright")
        assert session.segment()
        qtbot.waitUntil(lambda: session.workbench.is_idle and not session._live_timer.isActive())
        return session.result_layer

    return act


@pytest.fixture
def press(dock, qtbot):
    """Type a path, press the button; gives what the footer says."""
    section = dock.sections["export"]

    def act(path):
        section.path_edit.setText(str(path))
        section.save_button.click()
        qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
        return dock.footer.message.text()

    return act


def pick(section, key):
    """Choose a format as a person does."""
    section.format_box.setCurrentIndex(section.format_box.findData(key))
    section.format_box.activated.emit(section.format_box.currentIndex())


def offered(section):
    box = section.format_box
    return {box.itemData(row) for row in range(box.count()) if box.model().item(row).isEnabled()}


def tilted(shape=(6, 5, 4)):
    """A NIfTI affine that is neither upright nor straight."""
    affine = np.array([[0, -0.7, 0.1, 20.0], [0.6, 0, 0, -7.0], [0.05, 0, -3.0, 11.0], [0, 0, 0, 1.0]])
    return nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)


def test_a_volume_is_saved_in_its_exact_place(dock, opened, press, tmp_path):
    source = tilted()
    nibabel.save(source, tmp_path / "Schädel 1.nii.gz")
    layer = opened(tmp_path / "Schädel 1.nii.gz")
    section = dock.sections["export"]
    assert section.format_box.currentData() == "nifti"
    assert section.path_edit.placeholderText() == "Schädel 1_classes.nii.gz"
    assert offered(section) == {"tiff", "nifti", "nrrd", "mha", "ome-zarr"}
    row = section.format_box.findData("dicom-seg")
    tip = section.format_box.itemData(row, Qt.ItemDataRole.ToolTipRole)
    assert tip == "Does not fit: its source is no DICOM series, whose slices it must refer to"
    layer.data[1, 2, 3] = 9
    told = press(tmp_path / "Maße für A" / "mask.nii.gz")
    assert told == f"Saved mask.nii.gz and mask.json in {tmp_path / 'Maße für A'}."
    written = nibabel.load(tmp_path / "Maße für A" / "mask.nii.gz")
    np.testing.assert_allclose(written.affine, source.affine, atol=1e-6)
    back = read_image(tmp_path / "Maße für A" / "mask.nii.gz")
    np.testing.assert_array_equal(back.modalities[0].pixels, layer.data)
    legend = json.loads((tmp_path / "Maße für A" / "mask.json").read_text(encoding="utf-8"))
    assert legend["provenance"]["source"] == "Schädel 1.nii.gz"
    assert legend["provenance"]["model"] == "embedded"
    for ending in (".seg.nrrd", ".mha", ".ome.zarr"):
        press(tmp_path / ending / f"mask{ending}")
        other = read_image(tmp_path / ending / f"mask{ending}")
        np.testing.assert_array_equal(np.asarray(other.modalities[0].pixels), layer.data)
        assert other.geometry is not None
        assert other.geometry.lies_like(back.geometry, tolerance=1e-4)


def test_a_dicom_series_becomes_a_dicom_segmentation(dock, opened, press, tmp_path):
    highdicom = pytest.importorskip("highdicom")
    write_series(tmp_path / "series", np.arange(60, dtype=np.int16).reshape(3, 4, 5), SeriesDescription="Abdomen")
    layer = opened(tmp_path / "series")
    layer.data[...] = 0
    layer.data[1, 2, 3] = 1
    section = dock.sections["export"]
    assert "dicom-seg" in offered(section)
    assert section.format_box.currentData() == "nifti"
    pick(section, "dicom-seg")
    assert section.path_edit.placeholderText() == "Abdomen (series 3)_classes.dcm"
    told = press(tmp_path / "out" / "mask.dcm")
    assert told == f"Saved mask.dcm and mask.json in {tmp_path / 'out'}."
    made = highdicom.seg.segread(tmp_path / "out" / "mask.dcm")
    (place,) = np.argwhere(made.pixel_array.reshape(-1, 4, 5))
    assert tuple(place) == (0, 2, 3)
    at = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    assert float(at[2]) == pytest.approx(102.5)
    legend = (tmp_path / "out" / "mask.json").read_text(encoding="utf-8").casefold()
    for shown in (legend, told.casefold(), layer.name.casefold(), section.path_edit.placeholderText().casefold()):
        assert not any(word in shown for word in PERSONAL)


def test_labels_inside_the_image_they_were_made_of(dock, opened, qtbot, tmp_path):
    group = zarr.open_group(tmp_path / "scan.zarr", mode="w")
    group["0"] = np.arange(80, dtype=np.uint8).reshape(8, 10)
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.25]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    layer = opened(tmp_path / "scan.zarr")
    section = dock.sections["export"]
    assert INSIDE in offered(section)
    pick(section, INSIDE)
    assert section.path_edit.text() == str(tmp_path / "scan.zarr" / "labels" / "promptseg")
    section.save_button.click()
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
    assert "Saved promptseg in" in dock.footer.message.text()
    inside = zarr.open_group(tmp_path / "scan.zarr", mode="r")["labels/promptseg"]
    np.testing.assert_array_equal(inside["0"][...], layer.data)
    assert inside.attrs["napari-promptseg"]["provenance"]["model"] == "embedded"
    pick(section, "tiff")
    assert section.path_edit.text() == str(tmp_path / "promptseg.tif"), "no longer inside"


def test_the_file_is_called_as_the_format_wants_it(dock, saved, ramp, qtbot, tmp_path):
    saved(ramp, name="cells")
    section = dock.sections["export"]
    flat = {"tiff", "png", "ome-zarr", "coco", "coco-polygons", "class-png"}
    assert offered(section) == flat
    section.path_edit.setText(str(tmp_path / "a.tif"))
    endings = {"png": "a.png", "ome-zarr": "a.ome.zarr", "coco": "a.coco.json", "class-png": "a", "tiff": "a.tif"}
    for key, name in endings.items():
        pick(section, key)
        assert section.path_edit.text() == str(tmp_path / name)
        section.save_button.click()
        qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
        if "already" in dock.footer.message.text():  # formats share a legend's name
            section.save_button.click()
            qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
        assert "Saved" in dock.footer.message.text()
        assert (tmp_path / name).exists()
    assert (tmp_path / "a" / "1_bright.png").exists()
    section.path_edit.clear()
    section.path_edit.textEdited.emit("")
    for typed, key in (("b.png", "png"), ("b.tiff", "tiff"), ("b.nii.gz", "tiff"), ("b.coco.json", "coco")):
        section.path_edit.setText(typed)
        section.path_edit.textEdited.emit(typed)
        assert section.format_box.currentData() == key, "it follows the ending that is typed, where that fits"
    section.path_edit.setText(str(tmp_path / "plain name"))
    section.save_button.click()
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle)
    assert (tmp_path / "plain name.coco.json").exists()


def test_labels_of_another_shape_stay_and_are_told(dock, opened, press, tmp_path):
    nibabel.save(tilted(), tmp_path / "a.nii")
    layer = opened(tmp_path / "a.nii")
    layer.data = np.ones((7, 6, 5), np.uint8)
    for ending in (".nii.gz", ".seg.nrrd", ".dcm", ".png", ".coco.json"):
        told = press(tmp_path / "out" / f"mask{ending}")
        assert "cannot be written as" in told
        assert told.count(". ") == 0
        assert ("shape (7, 6, 5)" in told) == (ending not in (".png", ".coco.json"))
    assert not (tmp_path / "out").exists()
    assert layer.data.all()
    assert layer in dock.session.viewer.layers
    assert "Saved" in press(tmp_path / "out" / "mask.tif")


def test_a_full_disk_and_a_read_only_folder_are_told_and_the_labels_stay(dock, opened, press, tmp_path, monkeypatch):
    nibabel.save(tilted(), tmp_path / "a.nii")
    layer = opened(tmp_path / "a.nii")
    layer.data[...] = 3

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "The disk is full" in press(tmp_path / "out" / "mask.nii.gz")

    def refused(*arguments, **keywords):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", refused)
        assert "cannot be written (Read-only file system)" in press(tmp_path / "out" / "mask.mha")
    assert not list((tmp_path / "out").iterdir())
    assert (layer.data == 3).all()
    assert "Saved" in press(tmp_path / "out" / "mask.nii.gz")


def test_every_format_has_a_row_with_a_tip(dock):
    box = dock.sections["export"].format_box
    assert [box.itemData(row) for row in range(box.count())] == [*FORMATS, INSIDE]
    assert all(box.itemData(row, Qt.ItemDataRole.ToolTipRole) for row in range(box.count()))


def test_another_format_in_the_dialog_changes_the_names_ending(dock, saved, ramp, tmp_path):
    from qtpy.QtWidgets import QFileDialog

    saved(ramp)
    section = dock.sections["export"]
    section.path_edit.setText(str(tmp_path / "mask.ome.zarr"))
    section.path_edit.textEdited.emit(section.path_edit.text())
    section.browse_button.click()
    dialog = section.findChild(QFileDialog)
    wanted = next(title for title in dialog.nameFilters() if title.startswith("COCO ("))
    dialog.selectNameFilter(wanted)
    dialog.filterSelected.emit(wanted)
    assert dialog.selectedFiles()[0].endswith("/mask.coco.json")
    dialog.selectFile("other")
    assert dialog.selectedFiles()[0].endswith("/other.coco.json")
    dialog.reject()
