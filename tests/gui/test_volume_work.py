"""All planes of a volume: what is finished stays, what was painted stays, and the rest follows."""

from __future__ import annotations

import csv
import threading

import numpy as np
import pytest
from correcting import settle
from pixel_encoder import PixelEncoder
from volumes import SHAPE, add_volume, geometry, painted, volume

pytestmark = pytest.mark.gui

TRUTH = np.where(volume()[..., 0] > 0, 1, np.where(volume()[..., 1] > 0, 2, 3))


class SlowEncoder(PixelEncoder):
    """Stops before a plane until it is let go on."""

    gate = threading.Event()
    after = 10**6
    seen = 0

    def encode_plane(self, picture, **keywords):
        SlowEncoder.seen += 1
        if SlowEncoder.seen > SlowEncoder.after:
            SlowEncoder.gate.wait(120)
        return super().encode_plane(picture, **keywords)


@pytest.fixture
def gate():
    SlowEncoder.gate, SlowEncoder.seen, SlowEncoder.after = threading.Event(), 0, 10**6
    yield SlowEncoder
    SlowEncoder.gate.set()


@pytest.fixture
def dock(viewer, dock_in, gate):
    return dock_in(viewer, gate)


def run(dock, qtbot, **choices):
    """Press Segment planes and wait."""
    session, panel = dock.session, dock.sections["volume"].run
    panel.which_box.setCurrentIndex(panel.which_box.findData(choices.pop("which", "all")))
    panel.refresh()
    if "first" in choices:
        panel.first_box.setValue(choices.pop("first"))
        panel.last_box.setValue(choices.pop("last"))
    panel.mean_box.setChecked(choices.pop("mean", False))
    panel.start_button.click()
    assert session.volume.work.is_running
    qtbot.waitUntil(lambda: not session.volume.work.is_running)
    settle(session, qtbot)
    return session.result_layer


def test_the_section_waits_for_a_stack(viewer, dock):
    section = dock.sections["volume"]
    assert section.panels.isHidden()
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert section.panels.isHidden()
    image = add_volume(viewer)
    dock.session.picture.choose(image)
    assert not section.panels.isHidden()
    assert section.hint.isHidden()
    assert [b.text() for b in section.axis.buttons] == ["Axial", "Coronal", "Sagittal"]
    section.axis.buttons[1].click()
    assert dock.session.picture.cut == 1
    assert "top head" not in section.axis.sides.text()
    assert "left R, right L, top H, bottom F" in section.axis.sides.text()
    stack = viewer.add_image(np.zeros(SHAPE, np.uint8), name="stack")
    dock.session.picture.choose(stack)
    assert [b.text() for b in section.axis.buttons] == ["Across z", "Across y", "Across x"]


def test_every_control_has_a_name_and_a_tip(viewer, dock):
    from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QPushButton

    add_volume(viewer)
    panels = dock.sections["volume"].panels
    found = [w for kind in (QPushButton, QCheckBox, QComboBox, QAbstractSpinBox) for w in panels.findChildren(kind)]
    assert len(found) >= 18
    for widget in found:
        assert widget.toolTip(), widget.objectName()
        assert widget.objectName(), widget.toolTip()


def test_all_planes_the_one_in_sight_first(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.add_classes("red, green, blue")
    session.picture.show_plane((4,))
    layer = run(dock, qtbot)
    assert (layer.data == TRUTH).mean() > 0.99
    assert session.volume.work.finished == SHAPE[0]
    assert f"{SHAPE[0]} axial planes" in dock.footer.message.text()
    assert session.label_map is not None, "the plane in sight has its prediction"
    assert len(session.corrector.corrections) == 0


def test_a_range_across_a_sagittal_axis_leaves_other_planes_alone(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.add_classes("red, green, blue")
    session.volume.view.show(2)
    layer = run(dock, qtbot, which="range", first=9, last=12)
    assert (layer.data[..., 8:12] == TRUTH[..., 8:12]).mean() > 0.99
    assert not layer.data[..., :8].any()
    assert not layer.data[..., 12:].any()
    assert not session.volume.work.has_whole


def test_the_mean_of_three_axes(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.add_classes("red, green, blue")
    session.volume.view.show(1)
    layer = run(dock, qtbot, mean=True)
    assert (layer.data == TRUTH).mean() > 0.98
    assert "mean of three axes" in dock.footer.message.text()


def test_cancel_keeps_the_planes_that_are_finished(viewer, dock, qtbot, gate):
    session = dock.session
    add_volume(viewer)
    session.add_classes("red, green, blue")
    gate.after = 6
    dock.sections["volume"].run.start_button.click()
    qtbot.waitUntil(lambda: session.volume.work.finished >= 2)
    qtbot.waitUntil(dock.footer.cancel_button.isEnabled)
    dock.footer.cancel_button.click()
    gate.gate.set()
    qtbot.waitUntil(lambda: not session.volume.work.is_running)
    settle(session, qtbot)
    layer = session.result_layer
    done = [z for z in range(SHAPE[0]) if layer.data[z].any()]
    assert 2 <= len(done) < SHAPE[0]
    assert (layer.data[done] == TRUTH[done]).mean() > 0.99
    assert "planes; their masks stay" in dock.footer.message.text()
    assert len(session.corrector.corrections) == 0


def test_edits_survive_and_back_takes_the_whole_volume_back(viewer, dock, qtbot):
    session = dock.session
    session.volume.work.set_carries(False)
    add_volume(viewer)
    session.set_option("live", False)
    session.add_classes("red, green, blue")
    layer = run(dock, qtbot)
    first = layer.data.copy()
    painted(session, qtbot, (session.picture.source().index[0], 15, 20), 1)
    session.volume.view.show(1)
    session.picture.show_plane((None, 10))
    painted(session, qtbot, (2, 10, 4), 3)
    strokes = session.corrector.corrections
    assert len(strokes) == 2
    own = layer.data != first
    before = layer.data.copy()
    session.volume.view.show(0)
    session.remove_class(2) if hasattr(session, "remove_class") else session.rename(2, "yellow")
    run(dock, qtbot)
    assert np.array_equal(layer.data[own], before[own]), "what was painted stays"
    assert session.corrector.corrections.strokes == strokes.strokes
    assert not np.array_equal(layer.data, before)
    session.step()
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    assert session.corrector.corrections.strokes == strokes.strokes


def test_a_stroke_is_carried_to_the_whole_volume_in_the_background(viewer, dock, qtbot):
    session = dock.session
    add_volume(viewer)
    session.add_classes("red, blue")
    session.picture.show_plane((5,))
    layer = run(dock, qtbot)
    assert (layer.data[:, 15, 20] == 0).all(), "green was not asked for"
    painted(session, qtbot, (5, 15, 20), 1, size=9)
    assert layer.data[5, 15, 20] == 1
    qtbot.waitUntil(lambda: session.volume.work.is_carrying)
    qtbot.waitUntil(lambda: not session.volume.work.is_carrying)
    settle(session, qtbot)
    assert (layer.data[:, 15, 20] == 1).mean() > 0.9
    assert (layer.data[5, 14:17, 18:23] == 1).all()
    assert len(session.corrector.corrections) == 1
    assert "follows your 1 stroke" in dock.footer.message.text()


def test_the_table_counts_voxels_and_goes_into_a_file(viewer, dock, qtbot, tmp_path):
    session, panel = dock.session, dock.sections["volume"].table
    image = add_volume(viewer)
    session.add_classes("red, green, blue")
    assert not panel.measure_button.isEnabled()
    layer = run(dock, qtbot)
    panel.measure_button.click()
    qtbot.waitUntil(lambda: panel.table.topLevelItemCount() == 3)
    cell = np.prod(geometry().spacing) / 1000
    for value, row in zip((1, 2, 3), session.volume.measures.rows, strict=True):
        own = layer.data == value
        assert row.voxels == own.sum()
        assert np.isclose(row.millilitres, own.sum() * cell)
        assert np.isclose(row.mean, image.data.mean(axis=-1)[own].mean(), atol=0.01)
    panel.copy_button.click()
    assert session.volume.measures.text().splitlines()[1].split("\t")[0] == "red"
    session.volume.measures.save(tmp_path / "sizes.csv", overwrite=False)
    settle(session, qtbot)
    with (tmp_path / "sizes.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["voxels"]) for r in rows] == [int((layer.data == v).sum()) for v in (1, 2, 3)]


def test_clean_up_is_taken_back_and_leaves_what_was_painted(viewer, dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].cleanup
    session.volume.work.set_carries(False)
    add_volume(viewer)
    session.set_option("live", False)
    session.add_classes("red, green, blue")
    session.picture.show_plane((10,))
    layer = run(dock, qtbot)
    painted(session, qtbot, (10, 3, 20), 3, size=1)
    layer.data[0, 0, 0] = 3  # a spot that nobody painted: not in sight, so no edit yet
    session.corrector.strokes.seen.set_all(layer.data)
    before = layer.data.copy()
    panel.largest_box.setChecked(True)
    panel.button.click()
    settle(session, qtbot)
    assert layer.data[0, 0, 0] == 0
    assert layer.data[10, 3, 20] == 3, "painted by hand"
    assert (layer.data[4:7, 5:9, 7:11] == 3).all()
    assert len(session.corrector.corrections) == 1
    session.step()
    settle(session, qtbot)
    assert np.array_equal(layer.data, before)
    panel.largest_box.setChecked(False)
    panel.button.click()
    assert "Choose what to clean up" in dock.footer.message.text()


def test_surfaces_lie_where_the_voxels_lie(viewer, dock, qtbot):
    session, panel = dock.session, dock.sections["volume"].table
    add_volume(viewer)
    session.add_classes("red, green, blue")
    layer = run(dock, qtbot)
    panel.surface_button.click()
    qtbot.waitUntil(lambda: len(session.volume.surfaces.standing) == 3)
    surface = viewer.layers["blue surface"]
    vertices = np.array([surface.data_to_world(v) for v in surface.data[0]])
    voxels = np.array([layer.data_to_world(v) for v in np.argwhere(layer.data == 3)])
    half = np.asarray(geometry().spacing) / 2
    assert np.allclose(vertices.min(axis=0), voxels.min(axis=0) - half, atol=0.6)
    assert np.allclose(vertices.max(axis=0), voxels.max(axis=0) + half, atol=0.6)
    assert np.allclose(vertices.mean(axis=0), voxels.mean(axis=0), atol=0.6)
    lit = surface.data[2]
    front, back = (lit[np.isclose(surface.data[0][:, 1], end(surface.data[0][:, 1]))] for end in (np.min, np.max))
    assert front.mean() > back.mean() + 0.2, "light comes from the front"
    viewer.dims.ndisplay = 3
    assert not layer.visible
    panel.clear_button.click()
    assert not session.volume.surfaces.standing
    assert layer.visible
    viewer.dims.ndisplay = 2


def test_an_image_that_goes_while_its_planes_are_made(viewer, dock, qtbot, gate):
    session = dock.session
    image = add_volume(viewer)
    session.add_classes("red")
    gate.after = 3
    dock.sections["volume"].run.start_button.click()
    qtbot.waitUntil(lambda: gate.seen > 3)
    viewer.layers.remove(image)
    gate.gate.set()
    settle(session, qtbot)
    assert not session.volume.work.is_running


def test_several_modalities_are_segmented_and_carried_together(viewer, dock, qtbot):
    session = dock.session
    other = add_volume(viewer, volume()[:, :, ::-1].copy(), name="other")
    image = add_volume(viewer)
    session.picture.choose(image)
    dock.sections["modalities"].header.setChecked(True)
    dock.sections["modalities"].row(other.name).box.click()
    session.add_classes("red, blue")
    session.picture.show_plane((5,))
    layer = run(dock, qtbot)
    whole = layer.data[5].copy()
    assert session.segment()
    settle(session, qtbot)
    assert [m["name"] for m in session.label_map.provenance["modalities"]] == ["head", "other"]
    assert (layer.data[5] == whole).mean() > 0.98, "the same as the plane alone"
    assert all(layer.data[z].any() for z in range(SHAPE[0]))
    painted(session, qtbot, (5, 15, 20), 2, size=9)
    qtbot.waitUntil(lambda: session.volume.work.is_carrying)
    qtbot.waitUntil(lambda: not session.volume.work.is_carrying)
    settle(session, qtbot)
    assert "follows your 1 stroke" in dock.footer.message.text()
    assert (layer.data[5, 14:17, 18:23] == 2).all()
