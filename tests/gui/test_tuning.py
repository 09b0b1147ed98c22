"""Tuning as a person sees it: kept with its sentence, refused with nothing changed, gone back on, stopped, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from correcting import picture, segmented, settle
from tower_encoder import TowerEncoder

from napari_promptseg.learning import prompt_tuning

pytestmark = [pytest.mark.gui, pytest.mark.dock(encoder=TowerEncoder)]


def corrected(viewer, dock, qtbot, *, live=False):
    """What the words call green is there, and what they call blue is red: points say so; gives the layer."""
    session, section = dock.session, dock.sections["learn"]
    viewer.add_image(picture())
    layer = segmented(session, qtbot, "blue, green", live=live)
    for at, value in (
        ((5, 5), 1),
        ((5, 40), 1),
        ((35, 20), 1),
        ((50, 8), 1),
        ((60, 40), 1),
        ((5, 55), 2),
        ((5, 90), 2),
        ((35, 70), 2),
        ((50, 60), 2),
        ((60, 90), 2),
    ):
        assert section.points.add(at, value)
    settle(session, qtbot)
    return layer


def test_a_kept_tuning_changes_prompts_and_mask_and_says_so(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    layer = corrected(viewer, dock, qtbot, live=True)
    before, mask = session.prompts, layer.data.copy()
    section.tune_button.click()
    assert not section.stop_button.isHidden()
    assert not section.tune_button.isEnabled()
    qtbot.waitUntil(lambda: not session.tuning.is_running)
    settle(session, qtbot)
    assert " from 10 strokes, kept." in section.report.text()
    assert section.report.text().startswith("Held-out Dice 0.")
    assert not section.curve.isHidden()
    assert len(section.curve.points) > 1
    assert section.stop_button.isHidden()
    assert session.prompts.learned is not None
    tuned = session.prompts
    section.why.reasons.ask((50, 70))
    qtbot.waitUntil(lambda: section.why.reason is not None)
    assert {v.kind for v in section.why.reason.explanation.of(2).voices} == {"view"}
    section.why.dismiss()
    settle(session, qtbot)
    dock.footer.back_button.click()
    settle(session, qtbot)
    assert session.prompts == before
    assert np.array_equal(layer.data, mask)
    dock.footer.forward_button.click()
    settle(session, qtbot)
    assert session.prompts == tuned


def test_a_tuning_made_worse_is_refused_and_nothing_changes(viewer, dock, qtbot, monkeypatch):
    session, section = dock.session, dock.sections["learn"]
    layer = corrected(viewer, dock, qtbot)
    halves = prompt_tuning.hold_out

    def misleading(samples, share, seed):
        train, held, count = halves(samples, share, seed)
        return [replace(s, values=3 - s.values) for s in train], held, count

    section.tune_button.click()
    qtbot.waitUntil(lambda: not session.tuning.is_running)
    settle(session, qtbot)
    assert session.prompts.learned is not None
    before = (session.prompts, session.corrector.corrections.strokes, layer.data.copy())
    # what is learned from now says the opposite of what judges
    monkeypatch.setattr(prompt_tuning, "hold_out", misleading)
    section.tune_button.click()
    qtbot.waitUntil(lambda: not session.tuning.is_running)
    settle(session, qtbot)
    assert section.report.text().endswith("not kept.")
    assert (session.prompts, session.corrector.corrections.strokes) == before[:2]
    assert np.array_equal(layer.data, before[2])
    assert section.tune_button.isEnabled()


def test_stopped_tuning_judges_the_best_so_far(viewer, dock, qtbot):
    session, section = dock.session, dock.sections["learn"]
    corrected(viewer, dock, qtbot)
    session.tuning.point.connect(lambda *point: session.tuning.stop())
    section.tune_button.click()
    qtbot.waitUntil(lambda: not session.tuning.is_running)
    settle(session, qtbot)
    assert "Stopped early" in section.report.text()


_TUNER = """
import sys, threading, time
from pathlib import Path
import napari
from correcting import open_dock, picture, settle
from qtpy.QtCore import QTimer
from tower_encoder import TowerEncoder
from napari_promptseg.learning import prompt_tuning

def endless(encoder, prompts, samples, *, progress, **keywords):
    print("tuning", flush=True)
    while True:
        progress(1, 50, "loss 0.50, held-out Dice 0.50")
        time.sleep(0.05)

prompt_tuning.tune_prompts = endless
viewer = napari.Viewer(show=False)
viewer.add_image(picture())
dock = open_dock(viewer, Path(sys.argv[1]), TowerEncoder)
session, section = dock.session, dock.sections["learn"]
session.set_option("live", False)
session.add_classes("red, leaf")

def paint():
    if session.label_map is None:
        QTimer.singleShot(20, paint)
        return
    layer = session.result_layer
    layer.brush_size, layer.mode = 5, "paint"
    layer.paint((20, 20), 2)
    for at, value in (((15, 65), 2), ((25, 75), 2), ((50, 70), 1)):
        section.points.add(at, value)
    section.tune_button.click()

session.segment()
QTimer.singleShot(20, paint)
napari.run()
"""


def test_killed_in_mid_tuning_every_stroke_is_back(viewer, dock_in, tmp_path, qtbot):
    here = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
        "QT_QPA_PLATFORM": "offscreen",
        "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),
        "NAPARI_ASYNC": "0",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    folder = tmp_path / "strokes"
    with subprocess.Popen(
        [sys.executable, "-c", _TUNER, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as tuner:
        assert tuner.stdout is not None
        heard = next((line for line in tuner.stdout if line.strip() == "tuning"), "")
        assert heard, "the other window never came to tune"
        tuner.send_signal(signal.SIGKILL)
    viewer.add_image(picture())
    dock = dock_in(viewer, TowerEncoder, folder)
    session, section = dock.session, dock.sections["learn"]
    assert section.restore_button.text() == "Restore 4 strokes"
    section.restore_button.click()
    found = [(s.kind, s.value, s.size) for s in session.corrector.corrections]
    assert found[1:] == [("point", 2, 1), ("point", 2, 1), ("point", 1, 1)]
    assert found[0][:2] == ("brush", 2)
    assert found[0][2] > 15
    assert session.prompts.names == ("red", "leaf")
    session.segment()
    qtbot.waitUntil(lambda: session.label_map is not None)
    settle(session, qtbot)
    for stroke in session.corrector.corrections:
        assert (session.result_layer.data[stroke.pixels] == stroke.value).all()
