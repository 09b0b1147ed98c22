"""A layer of several volumes: one sentence, and a button that takes the one in sight."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from correcting import settle
from npe2 import PluginManager
from pixel_encoder import PixelEncoder
from volumes import SHAPE, geometry, volume

from napari_promptseg.images.readers import MANY

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]

RNG = np.random.default_rng(0)


def test_a_time_point_of_a_nifti_file_becomes_a_volume_in_its_place(viewer, dock, tmp_path):
    PluginManager.instance().discover()
    values = RNG.integers(0, 500, (6, 5, 4, MANY)).astype(np.int16)  # (x, y, z, t)
    image = nibabel.Nifti1Image(values, np.diag([-1.0, -2.0, 3.0, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "bold.nii.gz")
    (layer,) = viewer.open(tmp_path / "bold.nii.gz", plugin="napari-promptseg")
    section, session = dock.sections["volume"], dock.session
    session.picture.choose(layer)
    assert layer.ndim == 4
    assert section.panels.isHidden()
    assert not section.many.isHidden()
    assert section.hint.isHidden()
    assert f"{MANY} volumes along t" in section.many.label.text()
    viewer.dims.set_current_step(0, 1)
    section.many.button.click()
    taken = session.picture.layer
    assert taken is not layer
    assert taken.name == "bold, time point 2"
    np.testing.assert_array_equal(np.asarray(taken.data), values[..., 1].T)
    assert not section.panels.isHidden()
    assert section.many.isHidden()
    assert not layer.visible
    assert session.volume.view.geometry is not None
    corners = [taken.data_to_world(c) for c in ((0, 0, 0), (3, 4, 5))]
    np.testing.assert_allclose(corners, [layer.data_to_world((0, *c))[1:] for c in ((0, 0, 0), (3, 4, 5))])
    assert session.volume.view.at[1] == 4
    session.picture.choose(layer)
    section.many.button.click()
    assert session.picture.layer is taken, "taken before: no second layer"
    assert len(viewer.layers) == 2


def test_what_was_taken_is_segmented_across_any_axis(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["volume"]
    film = viewer.add_image(
        np.stack([np.zeros_like(volume()), volume()]),
        rgb=True,
        name="film",
        scale=(1, *geometry().spacing),
        axis_labels=("t", "z", "y", "x"),
        metadata={"geometry": geometry()},
    )
    session.picture.choose(film)
    viewer.dims.set_current_step(0, 1)
    section.many.button.click()
    session.add_classes("red, green, blue")
    for cut in (0, 2):
        session.volume.view.show(cut)
        section.run.start_button.click()
        qtbot.waitUntil(lambda: not session.volume.work.is_running)
        settle(session, qtbot)
        layer = session.result_layer
        assert layer.data.shape == SHAPE
        truth = np.where(volume()[..., 0] > 0, 1, np.where(volume()[..., 1] > 0, 2, 3))
        assert (layer.data == truth).mean() > 0.98


def test_a_channel_between_the_axes_is_taken_too(viewer, dock):
    values = RNG.integers(0, 9, (5, 2, 8, 9)).astype(np.uint16)
    layer = viewer.add_image(values, name="cells", axis_labels=("z", "c", "y", "x"), scale=(2, 1, 0.5, 0.5))
    dock.session.picture.choose(layer)
    viewer.dims.set_current_step(1, 1)
    dock.sections["volume"].many.button.click()
    taken = dock.session.picture.layer
    assert taken.name == "cells, channel 2"
    np.testing.assert_array_equal(taken.data, values[:, 1])
    np.testing.assert_allclose(taken.scale, (2, 0.5, 0.5))
    assert taken.axis_labels == ("z", "y", "x")
    assert np.shares_memory(taken.data, values)
