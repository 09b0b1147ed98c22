"""Opening a large file: the window lives on, tells how far the reading is, and stops it."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from dicom_samples import write_series
from npe2 import PluginManager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton

from napari_promptseg import reader_plugin
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.gui import reading

pytestmark = pytest.mark.gui


def dialogs():
    return [w for w in QApplication.topLevelWidgets() if isinstance(w, QProgressDialog) and w.isVisible()]


def test_timers_of_the_window_go_on_while_a_file_is_read(qtbot):
    ticked = threading.Event()
    QTimer.singleShot(0, ticked.set)

    def task(progress):
        assert threading.current_thread() is not threading.main_thread()
        assert ticked.wait(120)  # the window's thread is free while this one works
        return "read"

    assert reading.waited_for(task, "Reading a.nii") == "read"


def test_what_takes_long_says_how_far_it_is(qtbot):
    seen = threading.Event()
    shown = []

    def look():
        for dialog in dialogs():
            if dialog.maximum() == 9 and dialog.value() == 4:
                shown.append(dialog.labelText())
                seen.set()

    timer = QTimer(interval=10)
    timer.timeout.connect(look)
    timer.start()

    def task(progress):
        progress(4, 9, "Reading DICOM images")
        assert seen.wait(120)
        return 1

    assert reading.waited_for(task, "Reading CT", patience=0) == 1
    assert shown[0] == "Reading CT\nReading DICOM images"
    assert not dialogs()


def test_what_is_quick_shows_no_dialog(qtbot):
    shown = []
    timer = QTimer(interval=1)
    timer.timeout.connect(lambda: shown.extend(dialogs()))
    timer.start()
    assert reading.waited_for(lambda progress: 5, "Reading", patience=60_000) == 5
    assert not shown


def test_cancel_stops_the_reading_at_its_next_report(qtbot):
    stopped = threading.Event()
    timer = QTimer(interval=10)
    timer.timeout.connect(lambda: [d.findChild(QPushButton).click() for d in dialogs()])
    timer.start()

    def task(progress):
        try:
            while True:
                progress(0, 0, "")
                time.sleep(0.01)
        except CancelledError:
            stopped.set()
            raise

    with pytest.raises(CancelledError):
        reading.waited_for(task, "Reading", patience=0)
    assert stopped.wait(120)


def test_errors_come_back_as_they_are(qtbot):
    def task(progress):
        raise InputError("The file is damaged.")

    with pytest.raises(InputError, match="damaged"):
        reading.waited_for(task, "Reading")


@pytest.fixture
def viewer(make_napari_viewer):
    PluginManager.instance().discover()
    return make_napari_viewer()


def test_napari_reads_a_dicom_folder_beside_the_window(viewer, tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(-900, 900, (5, 16, 20)).astype(np.int16)
    write_series(tmp_path / "CT ä", values)
    threads = []
    actual = reader_plugin.read_layers

    def read_layers(path, *, progress, **others):
        threads.append(threading.current_thread())
        return actual(path, progress=progress, **others)

    monkeypatch.setattr(reader_plugin, "read_layers", read_layers)
    (layer,) = viewer.open(tmp_path / "CT ä", plugin="napari-promptseg")
    np.testing.assert_array_equal(layer.data, values)
    assert threads
    assert threads[0] is not threading.main_thread()


def test_a_cancelled_file_opens_no_layer(viewer, tmp_path, monkeypatch):
    write_series(tmp_path, np.zeros((3, 8, 8), np.int16))

    def read_layers(path, *, progress, **others):
        raise CancelledError("Stopped at your request.")

    monkeypatch.setattr(reader_plugin, "read_layers", read_layers)
    assert not viewer.open(tmp_path, plugin="napari-promptseg")
    assert not viewer.layers
