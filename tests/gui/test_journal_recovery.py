"""Strokes outlive a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from correcting import picture, segmented, settle

pytestmark = pytest.mark.gui

_PAINTER = """
import sys, time
from pathlib import Path
import numpy as np
from napari.layers import Image
from correcting import picture
from napari_promptseg.gui.strokes_kept import KeptStrokes
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.prompts.prompt_set import PromptSet

kept = KeptStrokes(Image(picture()), (64, 96), Path(sys.argv[1]))
for i in range(14):
    kept.log.corrections = kept.corrections.with_added(Stroke.from_pixels([i], [2 * i], 1 + i % 2))
    kept.save(PromptSet.from_text("red, green | grass"))
print("painted", flush=True)
time.sleep(60)
"""


def test_a_killed_process_loses_no_stroke(viewer, dock_in, tmp_path, qtbot):
    folder = tmp_path / "strokes"
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    with subprocess.Popen(
        [sys.executable, "-c", _PAINTER, str(folder)], stdout=subprocess.PIPE, text=True, env=environment
    ) as painter:
        assert painter.stdout is not None
        assert painter.stdout.readline().strip() == "painted"
        painter.send_signal(signal.SIGKILL)
    viewer.add_image(picture())
    dock = dock_in(viewer, folder=folder)
    session, section = dock.session, dock.sections["learn"]
    assert not section.offer.isHidden()
    assert section.restore_button.text() == "Restore 14 strokes"
    section.restore_button.click()
    assert section.offer.isHidden()
    assert [c.label for c in session.prompts.classes] == ["red", "green | grass"]
    assert len(session.corrector.corrections) == 14
    layer = segmented(session, qtbot, "blue")
    for stroke in session.corrector.corrections:
        assert (layer.data[stroke.pixels] == stroke.value).all()
    settle(session, qtbot)
    assert session.corrector.n_left == 0


def test_discarded_strokes_are_not_offered_again(viewer, dock_in, qtbot):
    viewer.add_image(picture())
    first = dock_in(viewer)
    layer = segmented(first.session, qtbot)
    layer.paint((50, 20), 2)
    settle(first.session, qtbot)
    first.let_go()
    second = dock_in(viewer)
    assert second.session.corrector.n_left == 1
    second.sections["learn"].discard_button.click()
    second.let_go()
    third = dock_in(viewer)
    assert third.session.corrector.n_left == 0
