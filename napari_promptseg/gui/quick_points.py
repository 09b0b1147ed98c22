"""One click says what a pixel is: Ctrl-click at any time, or a plain click while the point tool is on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_promptseg.gui.canvas_clicks import CanvasClicks, Modifiers, Taker
from napari_promptseg.gui.mode_watch import ModeWatch
from napari_promptseg.gui.point_layer import PointLayer

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

TIP = (
    "One click says: this is the chosen class; with Shift: this is background. "
    "With any other tool in hand Ctrl-click and Ctrl-Shift-click do the same"
)


class QuickPoints(QObject):
    """Turns clicks into point corrections of the chosen class.

    Parameters
    ----------
    session : Session
    clicks : CanvasClicks
    chosen : callable
        Gives the value of the class in hand.

    Signals
    -------
    changed
        The point tool was taken up or put down.
    """

    changed = Signal()

    def __init__(self, session: Session, clicks: CanvasClicks, chosen: Callable[[], int]) -> None:
        super().__init__()
        self.session = session
        self.is_on = False
        self._chosen = chosen
        self.layer = PointLayer(session, chosen)
        clicks.add(Taker(self._wants, self._take))
        self._watch_mode = ModeWatch(self._on_mode)
        session.result_changed.connect(self._watch)
        self._watch()

    def set_on(self, on: bool) -> None:
        """Take up the point tool, or put it down."""
        layer, viewer = self.session.result_layer, self.session.viewer
        on = on and layer is not None
        if on and layer is not None:
            viewer.layers.selection.active = layer
            layer.mode = "pan_zoom"
        self.is_on = on
        self.changed.emit()

    def add(self, position: tuple[float, ...], value: int) -> bool:
        """A point of a class at a place in the world; False, and a sentence, where there is no mask."""
        session = self.session
        source, result = session.picture.in_sight, session.result
        found = None if source is None or result is None else result.value_at(source.index, position)
        if found is None:
            session.say("Points are set on the picture that was segmented: click inside it.", "warning")
            return False
        before, (row, column) = found
        name = session.corrector.name(value)
        if not session.corrector.add_point(value, (row, column)):
            session.say(f"Row {row}, column {column} is a point of {name} already.", "warning")
            return False
        was = "as the mask has it" if before == value else f"it was {session.corrector.name(before)}"
        session.say(f"Point: row {row}, column {column} is {name} ({was}).")
        return True

    def close(self) -> None:
        """Let go of the layers."""
        self.layer.close()
        self._watch_mode.follow(None)

    def _watch(self) -> None:
        layer = self.session.result_layer
        self._watch_mode.follow(layer)
        if layer is None and self.is_on:
            self.set_on(False)

    def _on_mode(self) -> None:
        """Another tool was taken in hand."""
        layer = self._watch_mode.layer
        if self.is_on and layer is not None and str(layer.mode) != "pan_zoom":
            self.set_on(False)

    def _wants(self, held: Modifiers) -> bool:
        # while a region is drawn a click is one of its corners
        active = self.session.viewer.layers.selection.active
        drawing = str(getattr(active, "mode", "")).startswith("add_")
        if self.session.result_layer is None or drawing:
            return False
        return held in ({"Control"}, {"Control", "Shift"}) or (self.is_on and held <= {"Shift"})

    def _take(self, position: tuple[float, ...], held: Modifiers) -> None:
        self.add(position, 0 if "Shift" in held else self._chosen())
