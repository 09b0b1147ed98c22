"""A mask that was saved from napari and opened there again: labels with their names and colours, in the same place."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_samples import write_series
from npe2 import PluginManager

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.writers import write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer):
    PluginManager.instance().discover()
    return make_napari_viewer()


@pytest.fixture
def saved(tmp_path):
    """An image and how its mask is saved; gives the mask's path and labels."""
    pixels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    nibabel.save(nibabel.Nifti1Image(pixels, np.diag([-2.0, 3.0, 4.0, 1.0])), tmp_path / "image.nii.gz")
    stack = read_image(tmp_path / "image.nii.gz")
    labels = np.zeros(stack.geometry.shape, np.uint8)
    labels[0, 0, 0], labels[1, 2, 3] = 1, 2
    prompts = PromptSet.from_text("liver, Niere ä")

    def save(name):
        path, _ = write_labels(tmp_path / name, labels, prompts, source=stack, source_path=tmp_path / "image.nii.gz")
        return path, labels, prompts

    return save


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nrrd"])
def test_a_saved_mask_opens_as_labels_on_its_image(viewer, saved, tmp_path, name):
    if name.endswith("nrrd"):
        pytest.importorskip("SimpleITK")
    path, labels, prompts = saved(name)
    (image,) = viewer.open(tmp_path / "image.nii.gz", plugin="napari-promptseg")
    (layer,) = viewer.open(path, plugin="napari-promptseg")
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, labels)
    np.testing.assert_allclose(layer.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    for c in prompts.classes:
        np.testing.assert_allclose(
            layer.get_color(c.value)[:3], np.array(list(bytes.fromhex(c.colour[1:]))) / 255, atol=0.01
        )
    assert list(layer.features["class"]) == ["background", "liver", "Niere ä"]
    assert layer.get_color(0) is None, "background is clear"


@pytest.mark.parametrize("content", ["{", "[]", '{"classes": 3}', json.dumps({"classes": [{"value": 1}]}), "{}"])
def test_another_file_of_that_name_is_no_legend(viewer, tmp_path, content):
    nibabel.save(nibabel.Nifti1Image(np.ones((3, 4, 5), np.uint8), np.eye(4)), tmp_path / "scan.nii.gz")
    (tmp_path / "scan.json").write_text(content)
    (layer,) = viewer.open(tmp_path / "scan.nii.gz", plugin="napari-promptseg")
    assert type(layer).__name__ == "Image"


def test_numbers_with_a_fraction_stay_an_image(viewer, tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.full((3, 4, 5), 0.5, np.float32), np.eye(4)), tmp_path / "scan.nii.gz")
    legend = {"classes": [{"value": 1, "name": "a", "colour": "#ff0000"}]}
    (tmp_path / "scan.json").write_text(json.dumps(legend))
    (layer,) = viewer.open(tmp_path / "scan.nii.gz", plugin="napari-promptseg")
    assert type(layer).__name__ == "Image"


@pytest.fixture
def series(tmp_path):
    """A DICOM series with slices from back to front, and a mask of it in another place; gives folder, mask, labels."""
    pytest.importorskip("highdicom")
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.5, 0, 0], [0, 0, -2.0], [0, -0.5, 0]])
    affine[:3, 3] = (-10.0, 20.0, 90.0)
    write_series(tmp_path / "patient" / "mr", np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6), affine)
    stack = read_image(tmp_path / "patient" / "mr")
    labels = np.zeros(stack.grid, np.uint8)
    labels[0, 1, 0], labels[3, 2, 5] = 1, 3
    prompts = PromptSet.from_text("liver, Niere ä, tumour")
    path, legend = write_labels(
        tmp_path / "results" / "masks" / "m.dcm",
        labels,
        prompts,
        source=stack,
        source_path=tmp_path / "patient" / "mr",
    )
    legend.unlink()
    return tmp_path / "patient" / "mr", path, labels


def is_marked_as_drawn(layer, labels, colours):
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, labels)
    assert list(layer.features["index"]) == [0, 1, 3]
    assert list(layer.features["class"]) == ["background", "liver", "tumour"]
    for value, colour in colours.items():
        expected = np.array(list(bytes.fromhex(colour[1:]))) / 255
        np.testing.assert_allclose(layer.get_color(value)[:3], expected, atol=0.01)
    assert layer.get_color(0) is None


def test_a_saved_dicom_seg_opens_as_labels_on_its_series(viewer, series):
    """Planes without labels are not in the file; the open series says how many there are."""
    folder, path, labels = series
    (image,) = viewer.open(folder, plugin="napari-promptseg")
    (layer,) = viewer.open(path, plugin="napari-promptseg")
    colours = {c.value: c.colour for c in PromptSet.from_text("liver, Niere ä, tumour").classes if c.value != 2}
    is_marked_as_drawn(layer, labels, colours)
    assert layer.data.shape == image.data.shape
    for corner in ((0, 0, 0), (1, 2, 3)):
        np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(corner))


def test_a_dicom_seg_beside_its_series_lies_on_it(viewer, series):
    folder, path, labels = series
    moved = folder.parent / "seg"
    moved.mkdir()
    path.rename(moved / "m.dcm")
    (layer,) = viewer.open(moved, plugin="napari-promptseg")
    np.testing.assert_array_equal(layer.data, labels)


def test_a_dicom_seg_alone_marks_the_same_millimetres(viewer, series):
    folder, path, labels = series
    (layer,) = viewer.open(path, plugin="napari-promptseg")
    (image,) = viewer.open(folder, plugin="napari-promptseg")
    assert layer.data.shape != labels.shape
    for value in (1, 3):
        (own,), (there,) = np.argwhere(layer.data == value), np.argwhere(labels == value)
        np.testing.assert_allclose(layer.data_to_world(own), image.data_to_world(there))


@pytest.mark.parametrize("damaged", [False, True])
def test_a_folder_with_a_series_and_a_dicom_seg_opens_the_series(viewer, series, damaged):
    folder, path, _ = series
    content = path.read_bytes()
    (folder / "IM9999.dcm").write_bytes(content[:400] if damaged else content)
    (image,) = viewer.open(folder, plugin="napari-promptseg")
    assert type(image).__name__ == "Image"
    np.testing.assert_array_equal(image.data, read_image(folder).modalities[0].pixels)
    assert image.data.shape == (5, 4, 6)


def test_a_series_that_cannot_be_read_is_not_hidden_by_its_segmentation(viewer, series):
    folder, path, _ = series
    path.rename(folder / "seg.dcm")
    for file in folder.glob("IM*.dcm"):
        data = pydicom.dcmread(file)
        del data.PixelData
        data.save_as(file)
    with pytest.raises(InputError, match="no pixels"):
        viewer.open(folder, plugin="napari-promptseg")


def test_several_dicom_segs_in_a_folder_are_a_layer_each(viewer, series):
    _, path, _ = series
    (path.parent / "again.dcm").write_bytes(path.read_bytes())
    layers = viewer.open(path.parent, plugin="napari-promptseg")
    assert [type(layer).__name__ for layer in layers] == ["Labels", "Labels"]


def test_overlapping_segments_are_told_when_the_file_is_opened(viewer, series, monkeypatch):
    _, path, _ = series
    made = pydicom.dcmread(path)
    first, second = made.PerFrameFunctionalGroupsSequence[:2]
    second.PlanePositionSequence = first.PlanePositionSequence
    made.PixelData = b"\xff" * len(made.PixelData)
    made.save_as(path)
    said = []
    monkeypatch.setattr("napari.utils.notifications.show_info", said.append)
    (layer,) = viewer.open(path, plugin="napari-promptseg")
    assert set(np.unique(layer.data)) == {3}
    assert len(said) == 1
    assert said[0].startswith("Segments overlap in ")
