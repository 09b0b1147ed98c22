"""Regions drawn with the mouse, with every tool, on a plane and on a stack."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, on_canvas, open_dock, picture
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_promptseg.gui.region_layer import RegionLayer
from napari_promptseg.images.outlines import ellipse_mask, polygon_mask, rectangle_mask

pytestmark = pytest.mark.gui

SHAPE = (64, 96)


def let_events_pass():
    for _ in range(4):
        QApplication.processEvents()


@pytest.fixture
def drawing(make_napari_viewer_proxy, tmp_path, qtbot):
    """A dock's session in a window, and its region layer; `open_with` gives it the picture."""
    viewer = make_napari_viewer_proxy(show=True)
    dock = open_dock(viewer, tmp_path / "strokes")
    regions = RegionLayer(dock.session)
    yield viewer, dock.session, regions
    regions.close()
    dock.let_go()
    qtbot.waitUntil(lambda: dock.session.workbench.is_idle, timeout=10000)


def nearly(mask, expected, share=0.12):
    """The same but for the pixels of the screen that the mouse is rounded to."""
    return (mask ^ expected).sum() <= share * expected.sum()


@pytest.mark.parametrize("planes", [0, 3])
def test_every_tool_draws_a_region(drawing, planes):
    viewer, _, regions = drawing
    viewer.add_image(np.stack([picture()] * planes) if planes else picture(), rgb=True)
    if planes:
        viewer.dims.set_current_step(0, 2)
    let_events_pass()
    announced = []
    regions.changed.connect(lambda: announced.append([s.kind for s in regions.shapes()]))

    assert regions.add_tool("rectangle")
    drag(viewer, [(10.0, 10.0), (20.0, 20.0), (30.0, 34.0)])
    let_events_pass()
    (shape,) = regions.shapes()
    assert nearly(shape.mask, rectangle_mask((10, 10), (30, 34), SHAPE).mask)

    regions.add_tool("ellipse")
    drag(viewer, [(10.0, 50.0), (20.0, 60.0), (40.0, 90.0)])
    let_events_pass()
    shape = regions.shapes()[-1]
    assert nearly(shape.mask, ellipse_mask([(10, 50), (10, 90), (40, 90), (40, 50)], SHAPE).mask)

    regions.add_tool("polygon", positive=False)
    corners = [(40.0, 10.0), (40.0, 40.0), (60.0, 40.0), (50.0, 25.0), (60.0, 10.0)]
    for corner in corners:
        drag(viewer, [corner])
        let_events_pass()
        assert len(regions.shapes()) == 2, "a polygon that is being drawn is no region yet"
    native, places = on_canvas(viewer, corners)
    QTest.mouseDClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, places[-1])
    let_events_pass()
    shape = regions.shapes()[-1]
    assert nearly(shape.mask, polygon_mask(corners, SHAPE).mask)

    regions.add_tool("lasso")
    angles = np.linspace(0, 2 * np.pi, 60)
    drag(viewer, [(52 + 8 * np.sin(a), 70 + 12 * np.cos(a)) for a in angles])
    let_events_pass()
    regions.stop()
    shapes = regions.shapes()
    assert nearly(shapes[-1].mask, ellipse_mask([(44, 58), (44, 82), (60, 82), (60, 58)], SHAPE).mask, 0.2)

    assert [s.kind for s in shapes] == ["rectangle", "ellipse", "polygon", "polygon"]
    assert announced == [["rectangle", "ellipse", "polygon", "polygon"][:n] for n in (1, 2, 3, 4)]
    assert [s.positive for s in shapes] == [True, True, False, True]
    assert {s.plane for s in shapes} == {2 if planes else 0}
    assert len({s.key for s in shapes}) == 4
    assert not regions.refused()
    layer = regions.layer
    assert list(layer.features["region"]) == [s.key for s in shapes]
    assert not np.allclose(layer.edge_color[1], layer.edge_color[2])
    assert np.allclose(layer.edge_color[1], layer.edge_color[3])
