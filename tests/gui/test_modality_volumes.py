"""Volumes of one patient as modalities: resampled where they lie in the patient, with what was done in the notes."""

from __future__ import annotations

import numpy as np
import pytest
from pixel_encoder import PixelEncoder

from napari_promptseg.images.geometry import Geometry

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def added(viewer, name, values, step, **more):
    place = Geometry.of_file(values.shape[::-1], np.diag([-step, -step, step, 1.0]))
    pixels = np.ascontiguousarray(place.to_stack(values.transpose(2, 1, 0)))
    about = {"geometry": place, "kind": "mr"}
    return viewer.add_image(pixels, name=name, scale=place.spacing, translate=place.origin, metadata=about, **more)


@pytest.fixture
def pair(viewer, dock):
    values = np.tile(np.arange(12, dtype=np.int16)[:, None] * 10, (6, 1, 10))
    main = added(viewer, "FLAIR", np.zeros((12, 24, 20), np.int16), 1.0)
    other = added(viewer, "T1c", values, 2.0)
    dock.session.picture.choose(main)
    section = dock.sections["modalities"]
    section.header.setChecked(True)
    return section, main, other


def test_a_resampled_volume_knows_where_it_lies_and_is_ticked(pair, viewer, dock, qtbot):
    section, main, _ = pair
    row = section.row("T1c")
    assert not row.resample_button.isHidden()
    assert dock.sections["image"].resample.button.text() == row.resample_button.text() == "Resample onto FLAIR"
    row.resample_button.click()
    qtbot.waitUntil(lambda: "T1c on FLAIR" in viewer.layers)
    made = viewer.layers["T1c on FLAIR"]
    assert made.metadata["geometry"].lies_like(main.metadata["geometry"])
    assert "Resampled from 2 × 2 × 2" in made.metadata["notes"][-1]
    assert section.row("T1c on FLAIR").box.isChecked()
    assert section.row("T1c on FLAIR").kind_box.currentData() == "t1c"


def test_a_volume_that_was_moved_by_hand_is_read_where_it_is_shown(pair, viewer, dock, qtbot):
    section, main, other = pair
    other.translate = np.add(other.translate, (0.0, 4.0, 0.0))
    section.refresh()
    section.row("T1c").resample_button.click()
    qtbot.waitUntil(lambda: "T1c on FLAIR" in viewer.layers)
    made = viewer.layers["T1c on FLAIR"]
    expected = other.world_to_data(main.data_to_world((6, 8, 8)))
    assert made.data[6, 8, 8] == pytest.approx(np.interp(expected[1], np.arange(12), other.data[2, :, 4]), abs=1)
    assert dock.sections["image"].resample.isHidden(), "by its file it would be read elsewhere"
