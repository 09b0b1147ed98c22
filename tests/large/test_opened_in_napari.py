"""A picture and the labels made of it block by block lie on one another in napari."""

from __future__ import annotations

import numpy as np
import zarr
from napari.components import ViewerModel
from npe2 import PluginManager


def test_finished_labels_lie_on_their_picture(workshop, tmp_path):
    pixels = np.load(workshop.image)
    workshop.image = tmp_path / "slide.ome.zarr"
    group = zarr.open_group(workshop.image, mode="w", zarr_format=3)
    group.create_array("0", data=pixels.transpose(2, 0, 1), chunks=(3, 64, 64))
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 0.5, 0.25]}]}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"name": "slide", "axes": axes, "datasets": levels}]}
    workshop.run()

    PluginManager.instance().discover()
    viewer = ViewerModel()
    for path in (workshop.image, workshop.labels):
        viewer.open(path, plugin="napari-promptseg")
    *shown, labels = viewer.layers
    for layer in viewer.layers:
        np.testing.assert_allclose(layer.scale[-2:], (0.5, 0.25))
        assert [str(u) for u in layer.units[-2:]] == ["micrometer", "micrometer"]
        np.testing.assert_allclose(layer.extent.world[:, -2:], shown[0].extent.world[:, -2:])
    drawn = labels.data[0] if labels.multiscale else labels.data
    np.testing.assert_array_equal(np.asarray(drawn), workshop.truth)
