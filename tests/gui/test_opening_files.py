"""Files dropped on napari's window: read by the plugin, upright on the canvas, in one world in millimetres."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import zarr
from dicom_samples import write_series
from npe2 import PluginManager

pytestmark = pytest.mark.gui

#: A block at the patient's left, front and top: upright it is in the last plane, top right.
VALUES = np.zeros((6, 20, 30), np.int16)
VALUES[3:, :10, 15:] = 400


@pytest.fixture
def viewer(make_napari_viewer):
    PluginManager.instance().discover()
    return make_napari_viewer(show=True)


def bright_corner(viewer):
    """Which quarter of the canvas' picture is bright: (lower half, right half)."""
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(float)
    rows, columns = np.nonzero(picture > 128)
    lit = np.nonzero(picture > 128)[0].size
    assert lit > 100
    middle = np.asarray(picture.shape) / 2
    return bool(rows.mean() > middle[0]), bool(columns.mean() > middle[1])


def affine():
    lps = np.diag([0.5, 0.5, 3.0, 1.0])
    lps[:3, 3] = (-7.0, -4.0, 20.0)
    return lps


def write_volume(path):
    """The same volume in the same place in every format; file axes of some run against the patient's."""
    if path.suffix == ".gz":
        image = nibabel.Nifti1Image(VALUES.T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine())
        nibabel.save(nibabel.as_closest_canonical(image), path)
    elif path.suffix in (".nrrd", ".mha"):
        sitk = pytest.importorskip("SimpleITK")
        image = sitk.GetImageFromArray(VALUES)
        image.SetSpacing((0.5, 0.5, 3.0))
        image.SetOrigin((-7.0, -4.0, 20.0))
        sitk.WriteImage(sitk.Flip(image, (True, True, False)), str(path))
    elif path.suffix == ".zarr":
        group = zarr.open_group(path, mode="w")
        group.create_array("0", data=VALUES[::-1])
        ways = ("superior-to-inferior", "anterior-to-posterior", "right-to-left")
        axes = [
            {"name": n, "type": "space", "unit": "millimeter", "orientation": {"type": "anatomical", "value": way}}
            for n, way in zip("zyx", ways, strict=True)
        ]
        place = [
            {"type": "scale", "scale": [3.0, 0.5, 0.5]},
            {"type": "translation", "translation": [-20.0 - 5 * 3.0, -4.0, -7.0]},
        ]
        group.attrs["ome"] = {
            "version": "0.5",
            "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": place}]}],
        }
    else:
        write_series(path, VALUES, affine(), order=(4, 2, 0, 1, 5, 3))
    return path


@pytest.mark.parametrize("name", ["a.nii.gz", "b.nrrd", "c.mha", "d.ome.zarr", "Größe 1"])
def test_each_format_opens_upright_in_its_place(tmp_path, viewer, name):
    (layer,) = viewer.open(write_volume(tmp_path / name), plugin="napari-promptseg")
    np.testing.assert_array_equal(np.asarray(layer.data), VALUES)
    # whole voxels: half a step beyond the centres on either side
    np.testing.assert_allclose(layer.extent.world[0] - np.asarray(layer.scale) / 2, (18.5, -4.25, -7.25), atol=1e-5)
    np.testing.assert_allclose(layer.extent.world[1] + np.asarray(layer.scale) / 2, (36.5, 5.75, 7.75), atol=1e-5)
    viewer.dims.set_point(0, 35.0)
    layer.contrast_limits = (0, 400)
    viewer.reset_view()
    assert bright_corner(viewer) == (False, True)
    viewer.dims.set_point(0, 20.0)
    assert not np.any(viewer.screenshot(canvas_only=True, flash=False)[..., 0] > 128)


def test_volumes_of_different_grids_share_the_world(tmp_path, viewer):
    viewer.open(write_volume(tmp_path / "a.nii.gz"), plugin="napari-promptseg")
    coarse = nibabel.Nifti1Image(VALUES[:, ::2, ::2].T, np.diag([-1.0, -1.0, 3.0, 1.0]))
    coarse.affine[:3, 3] = (7.0, 4.0, 20.0)
    nibabel.save(coarse, tmp_path / "coarse.nii.gz")
    viewer.open(tmp_path / "coarse.nii.gz", plugin="napari-promptseg")
    fine, coarse = viewer.layers
    for point in ((35.0, -3.0, 5.0), (20.0, 4.0, -6.0)):
        assert fine.get_value(point, world=True) == coarse.get_value(point, world=True)
