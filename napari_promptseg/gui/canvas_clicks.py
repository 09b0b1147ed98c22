"""Clicks on the picture that mean something to the dock: told apart from drags, and kept from the painting tool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

#: A pointer that moved further than this between press and release was dragging, in screen pixels.
_STILL = 4.0

_MODIFIERS = ("Control", "Shift", "Alt", "Meta")

Modifiers = frozenset[str]


@dataclass(frozen=True, eq=False)
class Taker:
    """Who wants clicks.

    Parameters
    ----------
    wants : callable
        Given the modifiers that are held (``"Control"``, ``"Shift"`` ...), whether a click now is theirs.
    take : callable
        Given the place in the world and the modifiers.
    """

    wants: Callable[[Modifiers], bool]
    take: Callable[[tuple[float, ...], Modifiers], None]


class CanvasClicks:
    """Hands each click of the left button to the first taker that wants it.

    While the button is down the selected layer's tool rests, so that a click with the brush in hand does not paint.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._takers: list[Taker] = []
        viewer.mouse_drag_callbacks.append(self._on_press)

    def add(self, taker: Taker) -> None:
        """Ask this one before those that are there."""
        self._takers.insert(0, taker)

    def close(self) -> None:
        """Let go of the viewer."""
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        held = frozenset(name for name in _MODIFIERS if name in event.modifiers)
        taker = next((t for t in self._takers if t.wants(held)), None)
        if taker is None or event.button != 1 or viewer.dims.ndisplay != 2:
            return
        layer = viewer.layers.selection.active
        tool = "pan_zoom" if layer is None else str(layer.mode)
        if tool != "pan_zoom":
            layer.mode = "pan_zoom"
        x, y = (float(v) for v in event.pos)
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged |= abs(event.pos[0] - x) > _STILL or abs(event.pos[1] - y) > _STILL
            yield
        if tool != "pan_zoom" and layer in viewer.layers:
            layer.mode = tool
        if not dragged:
            taker.take(tuple(float(v) for v in event.position), held)
