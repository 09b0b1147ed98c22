"""A mask that was saved from napari and opened there again: labels with their names and colours, in the same place."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from npe2 import PluginManager

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
