"""Which range of a CT's or an MR's values is shown, to the user and to the model alike."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_promptseg.gui.controls import narrow_box
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.work import Job
from napari_promptseg.images.normalisation import measure_limits
from napari_promptseg.images.windows import CT_WINDOWS
from napari_promptseg.progress import Progress

#: Kinds of values that are seen through a window.
WINDOWED = ("ct", "mr", "flair", "t1", "t1c", "t2", "dwi")

#: Pause after a change of the layer's contrast before the model's window follows, in milliseconds.
_DELAY = 400

_AUTO, _SHOWN = "auto", "shown"


class WindowControl(QWidget):
    """A box of presets; the layer's contrast and what the encoder sees are always the same range.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.box = narrow_box(
            "Window",
            "Range of values from black to white, for you and for the model; it goes into saved prompts. "
            "As shown: the contrast limits of the layer, also when you change them",
        )
        self.box.setObjectName("window")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box)
        self._layer: Image | None = None
        self._follows: set[int] = set()  # layers whose contrast is the window
        self._timer = QTimer(self, singleShot=True, interval=_DELAY)
        self._timer.timeout.connect(self._take)
        self.box.activated.connect(self._choose)
        self.refresh()

    @property
    def is_offered(self) -> bool:
        """Whether the image in hand is seen through a window."""
        picture = self.session.picture
        return picture.layer is not None and not picture.layer.rgb and picture.view.kind in WINDOWED

    def refresh(self) -> None:
        """Show the window of the image in hand."""
        picture = self.session.picture
        self._watch(picture.layer)
        is_ct, limits = picture.view.kind == "ct", picture.view.limits
        with QSignalBlocker(self.box):
            self.box.clear()
            self.box.addItem("automatic" if is_ct else "automatic (robust)", _AUTO)
            for name, pair in CT_WINDOWS.items() if is_ct else ():
                self.box.addItem(f"{name}  {pair[0]:g} to {pair[1]:g}", pair)
            follows = id(picture.layer) in self._follows
            shown = f"as shown  {limits[0]:g} to {limits[1]:g}" if follows and limits is not None else "as shown"
            self.box.addItem(shown, _SHOWN)
            at = 0
            if limits is not None:
                pairs = [self.box.itemData(i) for i in range(self.box.count())]
                at = self.box.count() - 1 if follows else next((i for i, p in enumerate(pairs) if p == limits), -1)
                if at < 0:  # from a prompt file
                    self.box.addItem(f"{limits[0]:g} to {limits[1]:g}", limits)
                    at = self.box.count() - 1
            self.box.setCurrentIndex(at)

    def close_control(self) -> None:
        """Let go of the layer."""
        self._timer.stop()
        self._watch(None)

    def _choose(self, index: int) -> None:
        picture, chosen = self.session.picture, self.box.itemData(index)
        layer = picture.layer
        if layer is None:
            return
        self._follows.discard(id(layer))
        if chosen == _SHOWN:
            self._follows.add(id(layer))
            self._take()
        else:
            self._apply(None if chosen == _AUTO else tuple(chosen))

    def _take(self) -> None:
        """The layer's contrast becomes the window."""
        layer = self.session.picture.layer
        if layer is not None and id(layer) in self._follows:
            low, high = (float(v) for v in layer.contrast_limits)
            self._apply((low, high))

    def _apply(self, limits: tuple[float, float] | None) -> None:
        session = self.session
        session.picture.set_window(limits)
        self.refresh()
        if limits is None:
            self.show_measured()
        if session.live and session.result_layer is not None:
            session.follow(first=True)

    def show_measured(self) -> None:
        """The layer's contrast becomes the range that is measured for the model."""
        source, layer = self.session.picture.in_sight, self.session.picture.layer
        if source is None or layer is None:
            return

        def done(found: tuple[float, float]) -> None:
            picture = self.session.picture
            if layer is picture.layer and layer is not None and picture.view.limits is None:
                layer.contrast_limits = found

        def task(progress: Progress) -> tuple[float, float]:
            ends = np.asarray(source.volume()[0].limits or measure_limits(source.pixels, source.view.kind), float)
            return float(ends.min()), max(float(ends.max()), float(np.nextafter(ends.min(), np.inf)))

        say = partial(self.session.say, tone="error")
        self.session.workbench.submit(Job("measure the window", task, done, say, quiet=True))

    def _watch(self, layer: Image | None) -> None:
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.events.contrast_limits.disconnect(self._on_contrast)
        self._layer = layer
        if layer is not None:
            layer.events.contrast_limits.connect(self._on_contrast)

    def _on_contrast(self, event: Any = None) -> None:
        layer = self._layer
        limits = self.session.picture.view.limits
        if layer is not None and id(layer) in self._follows and tuple(layer.contrast_limits) != limits:
            self._timer.start()
