"""A saved mask holds what stands in the layer, with the size of its pixels; nothing is replaced unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Labels

from napari_promptseg.gui.layers import View
from napari_promptseg.gui.saving import export_of, spacing_of
from napari_promptseg.images.readers import read_image

pytestmark = pytest.mark.gui


@pytest.fixture
def saved(dock, viewer, qtbot, tmp_path):
    """Add an image, segment the plane in sight, press the button; gives the two files."""
    session, section = dock.session, dock.sections["export"]

    def wait():
        qtbot.waitUntil(lambda: session.workbench.is_idle and not session._live_timer.isActive(), timeout=10000)

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
    export = export_of(layer, View(channel_axis=0), "image")
    layer.data[:] = 3
    assert export.labels.shape == (4, 5)
    assert not export.labels.any()
