"""The point corrections as a napari Points layer: seen on the picture, and moved, deleted or added there too."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points
from qtpy.QtCore import QObject, QTimer

from napari_promptseg.gui.layers import geometry
from napari_promptseg.gui.volume_index import across, pixel_at

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

#: A marker's width as a share of the picture's longer side, and at least so many pixels.
_SHARE, _LEAST = 1 / 90, 3.0


class PointLayer(QObject):
    """Keeps a layer of markers and the point corrections of the image in hand the same.

    Parameters
    ----------
    session : Session
    chosen : callable
        Gives the value of the class that points added in the layer are of.

    Notes
    -----
    The layer comes with the first point and goes with the last one. Its table has the class and the id of each
    point's stroke.
    """

    def __init__(self, session: Session, chosen: Callable[[], int]) -> None:
        super().__init__()
        self.session = session
        self._chosen = chosen
        self._layer: Points | None = None
        self._shown: tuple[Any, ...] = ()
        self._writing = False
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._take)
        session.corrector.strokes_changed.connect(self.refresh)
        session.prompts_changed.connect(self.refresh)
        self.refresh()

    @property
    def standing(self) -> Points | None:
        """The layer, unless the user removed it."""
        if self._layer is not None and self._layer not in self.session.viewer.layers:
            self._layer, self._shown = None, ()
        return self._layer

    def refresh(self) -> None:
        """Show the point corrections as they are."""
        session = self.session
        image, strokes = session.picture.layer, session.corrector.strokes
        points = [] if strokes is None else [s for s in strokes.corrections if s.kind == "point"]
        layer = self.standing
        if image is None or strokes is None or not points:
            self._remove()
            return
        colours = {c.value: c.colour for c in session.prompts.classes}
        face = [colours.get(s.value, "#808080") for s in points]
        names = [session.corrector.name(s.value) for s in points]
        shown = (id(image), strokes.shape, tuple(s.id for s in points), tuple(face), tuple(names))
        if shown == self._shown and layer is not None:
            return
        if layer is not None and self._shown[:2] != shown[:2]:
            self._remove()
            layer = None
        data = np.array([strokes.voxel(s.plane, *s.corner) for s in points], dtype=float)
        self._writing = True
        try:
            if layer is None:
                layer = self._made(data, image, strokes.shape[-2:])
            else:
                layer.selected_data = set()
                layer.data = data
            layer.features = {"class": names, "stroke": [s.id for s in points]}
            layer.feature_defaults = {"class": "", "stroke": ""}
            layer.face_color = face
            layer.symbol = ["disc" if s.value else "x" for s in points]
        finally:
            self._writing = False
        self._shown = shown

    def close(self) -> None:
        """Stop following; the layer stays, as any other."""
        self._timer.stop()
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
            self._layer = None

    def _made(self, data: Any, image: Image, plane_shape: tuple[int, ...]) -> Points:
        viewer = self.session.viewer
        size = max(_LEAST, max(plane_shape) * _SHARE)
        layer = Points(
            data,
            name=f"{image.name} points",
            size=size,
            border_width=0.15,
            border_color="white",
            metadata={"napari-promptseg": {"image": image.name}},
            **geometry(image, self.session.picture.view),
        )
        selected = set(viewer.layers.selection)
        self._layer = viewer.add_layer(layer)
        if selected:
            viewer.layers.selection = selected
        layer.events.data.connect(self._on_data)
        return layer

    def _remove(self) -> None:
        layer = self.standing
        if layer is not None:
            layer.events.data.disconnect(self._on_data)
            layers, images = self.session.viewer.layers, map(id, self.session.picture.choices())
            if self._shown and self._shown[0] not in images:
                # its image is being removed, this layer perhaps with it: napari is going through what was selected
                QTimer.singleShot(0, lambda: layers.remove(layer) if layer in layers else None)
            else:
                layers.remove(layer)
        self._layer, self._shown = None, ()

    def _on_data(self, event: Any = None) -> None:
        if not self._writing:
            self._timer.start()

    def _take(self) -> None:
        """Make the corrections what the user made of the layer."""
        layer, corrector = self.standing, self.session.corrector
        strokes = corrector.strokes
        if layer is None or strokes is None:
            return
        known = {s.id: s for s in strokes.corrections if s.kind == "point"}
        gone = set(known)
        new: list[tuple[int, int, tuple[int, int]]] = []
        cut = self.session.picture.cut
        for place, stroke_id in zip(np.round(layer.data).astype(int), layer.features["stroke"], strict=True):
            stroke = known.get(str(stroke_id))
            if not all(0 <= i < n for i, n in zip(place, strokes.shape, strict=True)):
                continue
            if stroke is not None and stroke.id in gone and strokes.voxel(stroke.plane, *stroke.corner) == tuple(place):
                gone.discard(stroke.id)
                continue
            own = across(cut, int(place[cut])) if cut else tuple(int(i) for i in place[:-2])
            row, column = pixel_at(strokes.shape, own, place)
            at = (int(row), int(column))
            new.append((self._chosen() if stroke is None else stroke.value, strokes.number(own), at))
        if gone:
            corrector.delete(sorted(gone))
        for value, plane, at in new:
            corrector.add_point(value, at, plane)
        self._shown = (*self._shown[:2], "stale")
        self.refresh()
