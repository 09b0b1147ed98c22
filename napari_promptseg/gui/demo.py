"""The demonstration: napari with a bundled picture, the widget docked, class names typed in and masks shown.

``python -m napari_promptseg.gui.demo [--output FOLDER]``. It does what a person does: opens a sample from the menu's
list, types into the dock, presses Enter and *Segment*. With a folder it then writes ``screenshot.png``, ``labels.tif``
and the legend ``labels.json`` there and ends; without one the window stays open.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from napari_promptseg.gui.saving import save

#: Sample whose `names_to_try` are typed.
SAMPLE = "cat"
#: Seconds until it counts as failed; a first run on a slow disk reads gigabytes of libraries.
PATIENCE = 300.0
_TICK = 100  # milliseconds
_PAINTING = 1.5  # seconds
_DOCK_WIDTH = 400


class Demonstration(QObject):
    """Drives the dock step by step from a timer, so that the window stays alive.

    Parameters
    ----------
    viewer : napari.Viewer
    widget : PromptSegmentationWidget
    names : str
        What is typed.
    folder : pathlib.Path, optional
        Where results go; the viewer is closed once they are written.
    """

    def __init__(self, viewer: Any, widget: Any, names: str, folder: Path | None) -> None:
        super().__init__()
        self.succeeded = False
        self._viewer, self._widget, self._session = viewer, widget, widget.session
        self._names, self._folder = names, folder
        self._deadline = time.monotonic() + PATIENCE
        self._painted_at = 0.0
        self._steps = [self._type, self._press, self._look]
        if folder is not None:
            self._steps += [self._settle, self._save, self._finish]
        self._files = [] if folder is None else [folder / "labels.tif", folder / "labels.json"]
        self._session.message.connect(self._on_message)
        self._timer = QTimer(self, interval=_TICK)
        self._timer.timeout.connect(self._advance)
        self._timer.start()

    def _advance(self) -> None:
        """Do the next step, which says whether it is done; otherwise it is asked again."""
        if self._steps[0]():
            self._steps.pop(0)
            if not self._steps:
                self._timer.stop()
        elif time.monotonic() > self._deadline:
            self._give_up(f"There was no mask after {PATIENCE:.0f} s.")

    def _type(self) -> bool:
        box = _control(self._widget, QLineEdit, "new class names")
        QTest.keyClicks(box, self._names)
        QTest.keyClick(box, Qt.Key.Key_Return)
        return True

    def _press(self) -> bool:
        QTest.mouseClick(_control(self._widget, QPushButton, "segment"), Qt.MouseButton.LeftButton)
        return True

    def _look(self) -> bool:
        """Wait for the mask, and for the badges, which come after it."""
        session = self._session
        if session.label_map is None or session.is_busy or not set(session.prompts.names) <= set(session.known):
            return False
        for c in session.prompts.classes:
            print(f"{c.name}: {session.known[c.name][0]}, {session.label_map.area_share(c.value):.1%} of the picture")
        # the dock has taken room from the canvas since the picture was fitted into it
        self._viewer.reset_view()
        self.succeeded = True
        return True

    def _settle(self) -> bool:
        """Let the window paint what it was told, so that the screenshot shows it."""
        self._painted_at = self._painted_at or time.monotonic() + _PAINTING
        return time.monotonic() > self._painted_at

    def _save(self) -> bool:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in self._files:
            file.unlink(missing_ok=True)
        self._viewer.screenshot(str(self._folder / "screenshot.png"), canvas_only=False, flash=False)
        save(self._session, self._files[0], overwrite=True)
        return True

    def _finish(self) -> bool:
        if self._session.is_busy or not all(file.exists() for file in self._files):
            return False
        print(f"Screenshot, label image and legend are in {self._folder}:", flush=True)
        for file in (self._files[0].with_name("screenshot.png"), *self._files):
            print(f"  {file}", flush=True)
        self._viewer.close()
        return True

    def _on_message(self, text: str, tone: str) -> None:
        if tone == "error":
            self._give_up(text)

    def _give_up(self, reason: str) -> None:
        print(reason, file=sys.stderr, flush=True)
        self.succeeded = False
        self._timer.stop()
        if self._folder is not None:
            self._viewer.close()


def _control(widget: QWidget, kind: type[QWidget], name: str) -> QWidget:
    """The control of the dock with this name, as a screen reader would say it."""
    for control in widget.findChildren(kind):
        if control.accessibleName().casefold() == name:
            return control
    raise LookupError(f"The dock has no {kind.__name__} called {name!r}.")


def main() -> int:
    """Run the demonstration; 0 when there were masks."""
    parser = argparse.ArgumentParser(description="Show napari-promptseg on a bundled picture.")
    parser.add_argument("--output", type=Path, help="write screenshot and labels to this folder, then end")
    options = parser.parse_args()
    viewer = napari.Viewer(title="napari-promptseg demonstration", show=True)
    viewer.window.resize(1400, 900)
    (layer,) = viewer.open_sample("napari-promptseg", SAMPLE)
    _, widget = viewer.window.add_plugin_dock_widget("napari-promptseg", "Prompt segmentation")
    widget.setMinimumWidth(_DOCK_WIDTH)
    show = Demonstration(viewer, widget, layer.metadata["names_to_try"], options.output)
    napari.run()
    return 0 if show.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
