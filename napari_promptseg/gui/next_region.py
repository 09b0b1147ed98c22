"""Moves the camera to where a correction would help most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_promptseg.gui.layers import result_index
from napari_promptseg.gui.uncertain_region import Region, uncertain_regions
from napari_promptseg.gui.volume_index import Place, n_numbers, shape_at, title_of, voxels_at
from napari_promptseg.learning.corrections import UNPAINTED

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session
    from napari_promptseg.segmentation.label_map import LabelMap

#: What is shown, in sides of the region's box: the region and what lies around it.
_CONTEXT = 3.0

#: But not less than this share of the picture's shorter side, since a spot alone tells nothing.
_LEAST = 0.15

#: And never more than this many times the whole picture.
_MOST = 1.1


class NextRegion:
    """Goes from one doubtful region to the next, over all planes with a mask; a new mask begins the round anew."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._of: Any = None
        self._left: list[tuple[Place, Region]] = []

    def go(self, canvas: tuple[int, int]) -> Region | None:
        """Show the next region on a canvas of that width and height; None, and a sentence, where there is none."""
        session = self.session
        masks = self._masks()
        if not masks:
            session.say("There is no mask to correct yet: press Segment first.", "warning")
            return None
        of = tuple((index, id(mask)) for index, mask in masks.items())
        if self._of != of or not self._left:
            self._of, self._left = of, self._found(masks)
        if not self._left:
            session.say("The mask is equally sure everywhere.")
            return None
        index, region = self._left.pop(0)
        session.picture.show_plane(index)
        self._look(index, region, canvas)
        row, column = (round(v) for v in region.centre)
        plane = f" of plane {title_of(index)}" if index else ""
        session.say(f"Least sure near row {row}, column {column}{plane}: {region.confidence:.2f} on average.")
        return region

    def _masks(self) -> dict[Place, LabelMap]:
        """What was predicted, by plane."""
        session = self.session
        result, strokes, view = session.result, session.corrector.strokes, session.picture.view
        if result is None or result.standing is None or strokes is None:
            return {}
        found = {}
        for number in range(n_numbers(strokes.shape)):
            index = tuple(i for axis, i in enumerate(strokes.index(number)) if axis != view.channel_axis)
            mask = result.prediction(index)
            if mask is not None:
                found[index] = mask
        return found

    def _found(self, masks: dict[Place, LabelMap]) -> list[tuple[Place, Region]]:
        """Regions of all planes, the most doubtful first."""
        session, found = self.session, []
        strokes = session.corrector.strokes
        for index, mask in masks.items():
            own = None
            if strokes is not None and len(strokes.corrections):
                plane = strokes.number(result_index(session.picture.view, index))
                own = strokes.on_plane(plane).painted(plane, strokes.shape_of(plane)) != UNPAINTED
            found += [(index, region) for region in uncertain_regions(mask.confidence, own)]
        return sorted(found, key=lambda f: -f[1].doubt)

    def _look(self, index: Place, region: Region, canvas: tuple[int, int]) -> None:
        """Bring a region and its surroundings into view."""
        session = self.session
        layer = session.result_layer
        assert layer is not None  # there are masks
        at, shape = result_index(session.picture.view, index), layer.data.shape
        whole = np.asarray(shape_at(shape, at), dtype=float)
        box = np.clip(np.asarray(region.extent) * _CONTEXT, _LEAST * whole.min(), _MOST * whole)
        centre = np.asarray(layer.data_to_world(voxels_at(shape, at, *region.centre)))
        corner = np.asarray(layer.data_to_world(voxels_at(shape, at, *(np.asarray(region.centre) + box))))
        shown = list(session.viewer.dims.order[-2:])  # the camera's are what is displayed, not the last axes
        shown = [axis - session.viewer.dims.ndim for axis in shown]
        size = np.maximum(np.abs(corner - centre)[shown], 1e-9)
        # napari moved the camera to the scene in 0.9; before, the viewer itself has it
        camera = getattr(session.viewer, "scene", session.viewer).camera
        camera.center = (*camera.center[:-2], *(float(centre[axis]) for axis in shown))
        camera.zoom = float(min(canvas[1] / size[0], canvas[0] / size[1]))
