"""Moves the camera to where a correction would help most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_promptseg.gui.layers import result_index
from napari_promptseg.gui.uncertain_region import Region, uncertain_regions
from napari_promptseg.learning.corrections import UNPAINTED

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

#: The region fills this share of the canvas.
_FILLS = 0.35


class NextRegion:
    """Goes from one doubtful region to the next; a new mask begins the round anew."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._of: Any = None
        self._left: list[Region] = []

    def go(self, canvas: tuple[int, int]) -> Region | None:
        """Show the next region on a canvas of that width and height; None, and a sentence, where there is none."""
        session = self.session
        label_map, layer, corrector = session.label_map, session.result_layer, session.corrector
        strokes, plane = corrector.strokes, corrector.plane
        if label_map is None or layer is None or strokes is None or plane is None:
            session.say("There is no mask for this plane yet: press Segment first.", "warning")
            return None
        if self._of is not label_map or not self._left:
            own = strokes.corrections.painted(plane, strokes.plane_shape) != UNPAINTED
            self._of, self._left = label_map, uncertain_regions(label_map.confidence, own)
        if not self._left:
            session.say("The mask is equally sure everywhere.")
            return None
        region = self._left.pop(0)
        source = session.picture.source()
        at = result_index(source.view, source.index)
        centre = np.asarray(layer.data_to_world([*at, *region.centre]))
        corner = np.asarray(
            layer.data_to_world([*at, *(c + e for c, e in zip(region.centre, region.extent, strict=True))])
        )
        size = np.maximum(np.abs(corner - centre)[-2:], 1e-9)
        # napari moved the camera to the scene in 0.9; before, the viewer itself has it
        camera = getattr(session.viewer, "scene", session.viewer).camera
        camera.center = (*camera.center[:-2], float(centre[-2]), float(centre[-1]))
        camera.zoom = float(_FILLS * min(canvas[1] / size[0], canvas[0] / size[1]))
        row, column = (round(v) for v in region.centre)
        session.say(f"Least sure near row {row}, column {column}: {region.confidence:.2f} on average.")
        return region
