"""Painting with the mouse in the result layer, with every tool of napari's, in one plane and in a stack."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, outline, picture, segmented, settle

pytestmark = pytest.mark.gui


@pytest.mark.parametrize("planes", [0, 3])
def test_every_tool_makes_strokes_and_the_mask_follows(make_napari_viewer_proxy, dock_in, qtbot, planes):
    viewer = make_napari_viewer_proxy(show=True)
    dock = dock_in(viewer)
    session = dock.session
    viewer.add_image(np.stack([picture()] * planes) if planes else picture(), rgb=True)
    if planes:
        viewer.dims.set_current_step(0, 1)
    layer = segmented(session, qtbot, live=True)
    viewer.layers.selection.active = layer

    def plane():
        return np.array(layer.data[1] if planes else layer.data)

    def kinds():
        return [s.kind for s in session.corrector.corrections]

    words = plane()
    layer.brush_size, layer.selected_label, layer.mode = 6, 2, "paint"
    drag(viewer, [(15.0, 14.0), (20.0, 20.0), (25.0, 26.0)])
    settle(session, qtbot)
    layer.selected_label = 1
    drag(viewer, [(50.0, 60.0), (50.0, 62.0)])
    settle(session, qtbot)
    assert kinds() == ["brush", "brush"]
    assert {s.plane for s in session.corrector.corrections} == {1 if planes else 0}
    brushed = plane()
    assert (brushed != words).sum() > sum(s.size for s in session.corrector.corrections), "the mask followed"

    layer.mode = "erase"
    drag(viewer, [(40.0, 5.0), (45.0, 5.0)])
    settle(session, qtbot)
    assert kinds()[2:] == ["erase"]

    layer.selected_label, layer.mode = 2, "fill"
    drag(viewer, [(50.0, 61.0)])
    settle(session, qtbot)
    assert kinds()[3:] == ["fill"]

    layer.selected_label, layer.mode = 1, "polygon"
    outline(viewer, [(36.0, 84.0), (36.0, 92.0), (44.0, 92.0), (44.0, 84.0)])
    settle(session, qtbot)
    assert kinds()[4:] == ["polygon"]
    corrections = session.corrector.corrections
    everything = plane()
    assert np.array_equal(corrections.impose(everything, 1 if planes else 0), everything), "as painted"

    layer.mode = "pan_zoom"
    layer.undo()
    settle(session, qtbot)
    assert kinds() == ["brush", "brush", "erase", "fill"]
    layer.redo()
    settle(session, qtbot)
    assert session.corrector.corrections.strokes == corrections.strokes

    layer.data[(1, slice(60, 63), slice(3, 6)) if planes else (slice(60, 63), slice(3, 6))] = 2
    layer.refresh()
    settle(session, qtbot)
    assert kinds()[5:] == ["edit"]
    if planes:
        assert not layer.data[0].any(), "other planes stay as they were"
        assert not layer.data[2].any()

    while session.result.history.can_go_back:
        dock.footer.back_button.click()
        settle(session, qtbot)
    assert kinds() == []
    assert np.array_equal(plane(), words)
