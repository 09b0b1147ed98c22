"""“Correct here next”: which regions, in which order, and how much of their surroundings is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from correcting import picture, segmented, settle
from pixel_encoder import PixelEncoder

from napari_promptseg.gui.uncertain_region import uncertain_regions

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]

CANVAS = (800, 600)


def test_a_long_region_is_shown_in_parts():
    sure = np.full((200, 240), 0.95, np.float16)
    sure[20, 20:220] = sure[180, 20:220] = sure[20:180, 20] = sure[20:180, 219] = 0.4  # an outline
    sure[25:45, 25:45] = 0.3
    regions = uncertain_regions(sure)
    assert len(regions) > 3
    assert all(max(r.extent) <= 120 for r in regions)
    first = regions[0]
    assert abs(first.centre[0] - 35) < 40, "where most of the doubt is"
    assert abs(first.centre[1] - 35) < 40
    assert [r.doubt for r in regions] == sorted((r.doubt for r in regions), reverse=True)


def test_the_region_is_shown_with_three_times_its_box(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(np.kron(picture(), np.ones((8, 8, 1), np.uint8)))
    segmented(session, qtbot)
    confidence = np.full((512, 768), 0.9, np.float16)
    confidence[100:160, 200:300] = 0.2
    key = session.picture.in_sight.index
    session.result._predicted[key] = replace(session.label_map, confidence=confidence)
    region = section.next_region.go(CANVAS)
    assert np.allclose(region.centre, (130, 250), atol=3)
    camera = viewer.scene.camera
    assert np.allclose(camera.center[-2:], region.centre)
    shown = np.array(CANVAS[::-1]) / camera.zoom
    box = np.array(region.extent)
    assert np.all(shown >= 2.9 * box)
    assert np.any(shown <= 3.1 * box)


def test_a_spot_is_not_shown_alone_nor_the_black_around_the_picture(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(np.kron(picture(), np.ones((8, 8, 1), np.uint8)))
    segmented(session, qtbot)
    key = session.picture.in_sight.index
    for rows, columns, least, most in (((100, 103), (200, 203), 70, 200), ((10, 250), (10, 380), 500, 1000)):
        confidence = np.full((512, 768), 0.9, np.float16)
        confidence[slice(*rows), slice(*columns)] = 0.2
        session.result._predicted[key] = replace(session.label_map, confidence=confidence)
        assert section.next_region.go(CANVAS) is not None
        assert least < CANVAS[1] / viewer.scene.camera.zoom < most


def test_it_goes_to_the_plane_where_the_doubt_is(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(np.stack([picture()] * 3), rgb=True, scale=(5, 1, 1))
    viewer.dims.set_current_step(0, 0)
    segmented(session, qtbot)
    section.carry.planes_button.click()
    qtbot.waitUntil(lambda: "3 of 3 pictures" in dock.footer.message.text())
    settle(session, qtbot)
    for index in ((0,), (1,), (2,)):
        confidence = np.full((64, 96), 0.9, np.float16)
        if index == (2,):
            confidence[10:20, 10:30] = 0.2
        session.result._predicted[index] = replace(session.result.prediction(index), confidence=confidence)
    assert section.next_region.go(CANVAS) is not None
    assert viewer.dims.current_step[0] == 2
    assert "of plane 3" in dock.footer.message.text()
