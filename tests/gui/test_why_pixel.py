"""“Why this pixel”: by click, by key, with maps on demand."""

from __future__ import annotations

import numpy as np
import pytest
from correcting import drag, picture, segmented, settle
from pixel_encoder import PixelEncoder
from qtpy.QtWidgets import QLabel

from napari_promptseg.gui.why_pixel import Bar
from napari_promptseg.segmentation.explanation import ClassReason, Voice

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=PixelEncoder)]


def answered(section, session, qtbot):
    qtbot.waitUntil(lambda: section.why.reason is not None)
    settle(session, qtbot)
    return section.why.reason.explanation


def words(widget):
    return " | ".join(label.text() for label in widget.findChildren(QLabel) if not label.isHidden())


def test_the_next_click_is_explained_and_does_not_paint(make_napari_viewer_proxy, dock_in, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    dock = dock_in(viewer)
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, "ruby | red, green")
    before = layer.data.copy()
    section.paint_button.click()
    section.why_button.click()
    drag(viewer, [(50.0, 70.0)])
    found = answered(section, session, qtbot)
    assert (found.at, found.label) == ((50, 70), 2)
    assert np.array_equal(layer.data, before)
    assert layer.mode == "paint"
    assert not section.why_button.isChecked()
    shown = words(section.why)
    assert "Row 50, column 70" in shown
    assert "Green" in shown
    assert "“red”" in shown, "the synonym that fits best speaks for the class"
    assert "name unknown" in shown, "its badge"


def test_the_key_explains_the_pixel_under_the_pointer(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    segmented(session, qtbot)
    session.viewer.cursor.position = (50, 20)
    (bound,) = [f for key, f in session.viewer.keymap.items() if str(key) == "Shift+W"]
    bound(session.viewer)
    assert answered(section, session, qtbot).at == (50, 20)
    dock.let_go()
    assert not session.viewer.keymap


def test_strokes_are_named_and_painted_pixels_said_to_be(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((20, 20), 2)
    settle(session, qtbot)
    section.points.add((50, 20), 1)
    settle(session, qtbot)
    section.why.reasons.ask((15, 15))
    answered(section, session, qtbot)
    assert "most like your brush stroke of" in section.why.strokes.text()
    assert "of green" in section.why.strokes.text()
    section.why.reason = None
    section.why.reasons.ask((50, 80))
    answered(section, session, qtbot)
    assert "looks like none of them" in section.why.strokes.text()
    section.why.reason = None
    section.why.reasons.ask((50, 20))
    answered(section, session, qtbot)
    assert section.why.sentence.text().startswith("You painted it: red")


def test_what_strokes_added_to_the_words_is_shown_and_mapped(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, live=True)
    section.why.reasons.ask((20, 70))
    answered(section, session, qtbot)
    assert "ords alone" not in words(section.why), "nothing was learned"
    section.why.dismiss()
    layer.brush_size, layer.mode = 7, "paint"
    layer.paint((20, 20), 2)
    settle(session, qtbot)
    section.points.add((50, 20), 1)
    settle(session, qtbot)
    section.why.reasons.ask((20, 70))  # as blue as what was painted green
    found = answered(section, session, qtbot)
    assert found.label == 2
    assert found.of(2).earlier["words"] < 0.5 < found.of(2).probability
    assert f"Words alone {found.of(2).earlier['words']:.2f}, with strokes {found.of(2).probability:.2f}" in words(
        section.why
    )
    assert Bar in {type(b) for b in section.why.findChildren(Bar) if b.notch == found.of(2).earlier["words"]}
    section.why.maps_button.click()
    settle(session, qtbot)
    alone, added = (viewer.layers[f"why green: {name}"] for name in ("words alone", "added by strokes"))
    assert tuple(added.contrast_limits) == (-1, 1)
    rows, columns = added.data.shape
    at = (20 * rows // 64, 70 * columns // 96)
    assert added.data[at] == pytest.approx(found.of(2).probability - found.of(2).earlier["words"], abs=0.1)
    assert alone.data.min() >= 0
    section.why.dismiss()


def test_maps_come_and_go_and_lie_on_the_plane(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(np.stack([picture()] * 2), rgb=True, scale=(4, 2, 2), translate=(0, 5, 7))
    viewer.dims.set_current_step(0, 1)
    layer = segmented(session, qtbot, "red | green, green")
    image_before = session.picture.layer
    section.why.reasons.ask((4, 5 + 2 * 50, 7 + 2 * 20))
    answered(section, session, qtbot)
    section.why.maps_button.click()
    settle(session, qtbot)
    maps = {m.name: m for m in viewer.layers if m.name.startswith("why ")}
    assert set(maps) == {"why red: score", "why green: score", "why red: red", "why red: green"}
    assert [m.visible for m in maps.values()].count(True) == 1
    for m in maps.values():
        assert m.data.shape == (1, 64, 96)
        assert np.allclose(m.data_to_world((0, 50, 20)), layer.data_to_world((1, 50, 20)))
    assert maps["why red: red"].data[0, 50, 20] > maps["why red: red"].data[0, 50, 70]
    assert session.picture.layer is image_before
    assert len(session.picture.choices()) == 1, "maps are not offered as images"
    assert section.why.maps_button.text() == "Hide maps"
    section.why.maps_button.click()
    assert not [m for m in viewer.layers if m.name.startswith("why ")]
    section.why.maps_button.click()
    settle(session, qtbot)
    section.why.close_button.click()
    assert not [m for m in viewer.layers if m.name.startswith("why ")]
    assert section.why.isHidden()


def test_where_there_is_no_mask_it_says_what_to_do(viewer, dock, qtbot):
    section = dock.sections["learn"]
    viewer.add_image(picture())
    assert not section.why_button.isEnabled()
    assert not section.why.reasons.ask((5, 5))
    assert "segment this plane" in dock.footer.message.text()


def test_what_spoke_is_said_in_words():
    from napari_promptseg.gui.why_pixel import spoken

    views = (Voice("view", "view 2", 0.4), Voice("view", "view 1", 0.3))
    assert spoken(ClassReason(1, "cat", 0.9, presence=0.8, voices=views)) == (
        "learned view 2, 0.40; in the picture at all: 0.80"
    )
    text = Voice("text", "couch", 0.31, "a photo of a couch")
    assert spoken(ClassReason(2, "sofa", 0.5, "related", voices=(text,))) == (
        "“couch” in “a photo of a couch”, 0.31; name related"
    )
