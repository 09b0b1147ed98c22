"""The foot of the dock: work of a moment leaves it in peace, longer work shows how far it is."""

from __future__ import annotations

import time

import pytest

from napari_promptseg.gui import footer
from napari_promptseg.gui.work import Job

pytestmark = pytest.mark.gui


def work(seconds):
    """A task that tells of its progress once and takes its time."""

    def task(progress):
        progress(0, 0, "looking closely")
        time.sleep(seconds)
        return True

    return task


def do(dock, qtbot, seconds):
    """Let the workbench do it; gives what the message and the bar were meanwhile."""
    heard, session = [], dock.session
    qtbot.waitUntil(lambda: session.workbench.is_idle)
    session.workbench.submit(Job("test", work(seconds), lambda _: session.say("Done."), session.say))
    bar = []
    while not session.workbench.is_idle:
        qtbot.wait(5)
        heard.append(dock.footer.message.text())
        bar.append((dock.footer.bar.maximum(), dock.footer.cancel_button.isEnabled()))
    qtbot.wait(20)
    return heard, bar


def test_work_of_a_moment_neither_moves_the_bar_nor_speaks(dock, qtbot):
    dock.footer._patience.setInterval(5000)
    heard, bar = do(dock, qtbot, 0.2)
    assert set(bar) == {(1, False)}
    assert not any("Looking" in text for text in heard)
    assert dock.footer.message.text() == "Done."
    assert not dock.footer._patience.isActive()


def test_longer_work_shows_the_bar_what_it_does_and_a_way_to_stop_it(dock, qtbot):
    dock.footer._patience.setInterval(20)
    heard, bar = do(dock, qtbot, 0.4)
    assert (0, True) in bar, "the bar runs to and fro, Cancel can be pressed"
    assert "Looking closely …" in heard
    assert (dock.footer.bar.maximum(), dock.footer.cancel_button.isEnabled()) == (1, False)
    assert dock.footer.message.text() == "Done."


def test_a_sentence_said_meanwhile_is_not_covered_by_older_progress(dock, qtbot):
    foot = dock.footer
    foot._patience.setInterval(10000)
    foot._on_busy(True)
    foot._on_progress(1, 2, "tile 1 of 2")
    foot.say("Something else.")
    foot._show_busy()
    assert foot.message.text() == "Something else."
    assert footer.PATIENCE <= 1000, "a person waits for a sign no longer than that"
