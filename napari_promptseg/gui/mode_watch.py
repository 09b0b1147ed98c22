"""Notice which tool is taken in hand on one layer, whichever layer that is at the moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer


class ModeWatch:
    """Follows the mode of one layer at a time.

    Parameters
    ----------
    on_mode : callable
        Called without arguments when the layer's mode changes.
    """

    def __init__(self, on_mode: Callable[[], None]) -> None:
        self.layer: Layer | None = None
        self._on_mode = on_mode

    def follow(self, layer: Layer | None) -> bool:
        """Watch this layer and no other; False if it was watched already."""
        if layer is self.layer:
            return False
        if self.layer is not None:
            self.layer.events.mode.disconnect(self._changed)
        self.layer = layer
        if layer is not None:
            layer.events.mode.connect(self._changed)
        return True

    def _changed(self, event: Any = None) -> None:
        self._on_mode()
