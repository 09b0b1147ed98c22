"""What napari calls to open a file: the file is read in a thread, while the window lives on and tells how far it is.

napari reads in the window's thread and wants the layers back from the call. So the call waits in an event loop of its
own: the window is drawn, a dialog shows the progress and stops it, and nothing else is opened meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari_promptseg import reader_plugin
from napari_promptseg.errors import CancelledError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.progress import Progress
from napari_promptseg.reader_plugin import LayerData

#: What takes no longer shows no dialog, in milliseconds.
PATIENCE = 400

#: What napari takes for "read, and there is no layer".
NOTHING: list[Any] = [(None,)]

Paths = str | list[str]


def get_reader(path: Paths) -> Callable[[Paths], list[LayerData]] | None:
    """Say whether this plugin reads a path, as napari asks before it opens one.

    Parameters
    ----------
    path : str or list of str

    Returns
    -------
    callable or None
        `read`, or None so that napari asks the next reader.
    """
    return None if reader_plugin.get_reader(path) is None else read


def read(path: Paths) -> list[LayerData]:
    """Read a path into layers without letting the window stand still.

    Parameters
    ----------
    path : str or list of str

    Returns
    -------
    list of LayerData
        As `reader_plugin.read_layers` makes them; `NOTHING` where the user cancelled.

    Raises
    ------
    InputError
        One sentence about what cannot be read.
    """
    task = partial(reader_plugin.read_layers, path, grids=_open_grids())
    if not _has_window():
        return task()
    name = Path(path if isinstance(path, str) else path[0]).name
    from napari.utils.notifications import show_info

    try:
        layers: list[LayerData] = waited_for(lambda progress: task(progress=progress), f"Reading {name}")
    except CancelledError:
        show_info(f"Stopped at your request: {name} was not opened.")
        return NOTHING
    # of an image they stand in its section; labels have none
    for note in (note for _, keywords, kind in layers if kind == "labels" for note in keywords["metadata"]["notes"]):
        show_info(note)
    return layers


def waited_for(task: Callable[[Progress], Any], title: str, *, patience: int = PATIENCE) -> Any:
    """Run a task in a thread and wait for it in the window's, which goes on being drawn.

    Parameters
    ----------
    task : callable
        Given a listener for its progress; touches no widget and no layer.
    title : str
    patience : int
        From when on a dialog is shown, in milliseconds; until then keys and the mouse wait.

    Returns
    -------
    object
        What the task returns.

    Raises
    ------
    CancelledError
        If the user cancelled; the task stops at its next report of progress.
    Exception
        Whatever the task raises.
    """
    from qtpy.QtCore import QEventLoop, QTimer
    from qtpy.QtWidgets import QApplication, QMainWindow, QProgressDialog

    loop = QEventLoop()
    said: list[tuple[int, int, str]] = []
    outcome: list[Any] = []
    failure: list[BaseException] = []
    stopped = threading.Event()

    def report(done: int, total: int, description: str) -> None:
        if stopped.is_set():
            raise CancelledError("Stopped at your request.")
        said[:] = [(done, total, description)]

    def work() -> None:
        try:
            outcome.append(task(report))
        # of any kind: it is raised again in the window's thread
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=work, name="reading", daemon=True)
    look = QTimer(interval=20)
    look.timeout.connect(lambda: thread.is_alive() or loop.quit())
    impatient = QTimer(singleShot=True, interval=patience)
    impatient.timeout.connect(loop.quit)
    thread.start()
    look.start()
    impatient.start()
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    impatient.stop()
    if thread.is_alive():
        windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow) and w.isVisible()]
        dialog = QProgressDialog(title, "Cancel", 0, 0, windows[0] if windows else None)
        dialog.setObjectName("reading-progress")
        dialog.setWindowTitle("Reading")
        dialog.setModal(True)
        dialog.setAutoClose(False)
        dialog.setAutoReset(False)
        dialog.setMinimumWidth(360)
        dialog.canceled.connect(stopped.set)
        dialog.canceled.connect(loop.quit)

        def show() -> None:
            if said:
                done, total, description = said[-1]
                dialog.setMaximum(total)
                dialog.setValue(done)
                dialog.setLabelText(f"{title}\n{description}" if description else title)

        look.timeout.connect(show)
        dialog.show()
        loop.exec()
        dialog.hide()
        dialog.deleteLater()
    look.stop()
    if stopped.is_set():
        raise CancelledError("Stopped at your request.")
    if failure:
        raise failure[0]
    return outcome[0]


def _open_grids() -> list[Geometry]:
    """Where the images of the viewer in hand lie in the patient."""
    from napari import current_viewer
    from napari.layers import Image

    viewer = current_viewer()
    images = [layer for layer in viewer.layers if isinstance(layer, Image)] if viewer is not None else []
    found = [layer.metadata.get("geometry") for layer in images]
    return [geometry for geometry in found if isinstance(geometry, Geometry)]


def _has_window() -> bool:
    """Whether this is the thread of a window that would stand still."""
    try:
        from qtpy.QtCore import QThread
        from qtpy.QtWidgets import QApplication
    except ImportError:  # napari without Qt
        return False
    application = QApplication.instance()
    return application is not None and application.thread() is QThread.currentThread()
