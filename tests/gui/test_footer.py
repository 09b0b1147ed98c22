"""The foot of the dock: work of a moment leaves it in peace, longer work shows how far it is."""

from __future__ import annotations

import threading

import pytest
from correcting import PATIENCE

from napari_promptseg.gui import footer
from napari_promptseg.gui.work import Job

pytestmark = pytest.mark.gui


def begin(dock, qtbot, end):
    """Give the workbench a task that tells of its progress once, and goes on until the event `end`."""
    session = dock.session
    qtbot.waitUntil(lambda: session.workbench.is_idle)

    def task(progress):
        progress(0, 0, "looking closely")
        return end.wait(PATIENCE / 1000)

    session.workbench.submit(Job("test", task, lambda _: session.say("Done."), session.say))


def shown(dock):
    """Range of the bar, and whether Cancel can be pressed."""
    return dock.footer.bar.maximum(), dock.footer.cancel_button.isEnabled()


def test_work_of_a_moment_neither_moves_the_bar_nor_speaks(dock, qtbot):
    foot, end = dock.footer, threading.Event()
    foot._patience.setInterval(PATIENCE)
    begin(dock, qtbot, end)
    qtbot.waitUntil(foot._patience.isActive)
    heard, bar = set(), set()
    for _ in range(20):
        qtbot.wait(5)
        heard.add(foot.message.text())
        bar.add(shown(dock))
    end.set()
    qtbot.waitUntil(lambda: foot.message.text() == "Done.")
    assert bar == {(1, False)}
    assert not any("Looking" in text for text in heard)
    qtbot.waitUntil(lambda: not foot._patience.isActive())


def test_longer_work_shows_the_bar_what_it_does_and_a_way_to_stop_it(dock, qtbot):
    foot, end = dock.footer, threading.Event()
    foot._patience.setInterval(20)
    begin(dock, qtbot, end)
    qtbot.waitUntil(lambda: foot.message.text() == "Looking closely …")
    assert shown(dock) == (0, True), "the bar runs to and fro, Cancel can be pressed"
    end.set()
    qtbot.waitUntil(lambda: foot.message.text() == "Done.")
    qtbot.waitUntil(lambda: shown(dock) == (1, False))


def test_a_sentence_said_meanwhile_is_not_covered_by_older_progress(dock, qtbot):
    foot = dock.footer
    foot._patience.setInterval(10000)
    foot._on_busy(True)
    foot._on_progress(1, 2, "tile 1 of 2")
    foot.say("Something else.")
    foot._show_busy()
    assert foot.message.text() == "Something else."
    assert footer.PATIENCE <= 1000, "a person waits for a sign no longer than that"
