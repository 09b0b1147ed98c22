"""The napari Shapes layer in which regions are drawn, and the regions in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import geometry, levels, result_shape, spatial_ndim
from napari_promptseg.gui.region_keys import Print, RegionKeys, print_of
from napari_promptseg.gui.region_places import (
    DrawnShape,
    between,
    painted_regions,
    pixels_of,
    plane_index,
)

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

Tool = Literal["polygon", "rectangle", "ellipse", "lasso"]

#: Outline of a region that shows the thing, and of one that shows what is not the thing.
POSITIVE, NEGATIVE = "#00e5ff", "#ff6e40"

_MODES: dict[Tool, str] = {
    "polygon": "add_polygon",
    "rectangle": "add_rectangle",
    "ellipse": "add_ellipse",
    "lasso": "add_polygon_lasso",
}
_TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine")
#: An outline's width as a share of the picture's longer side, and at least so many pixels.
_SHARE, _LEAST = 1 / 300, 0.7
#: How clear the inside is.
_FACE = "22"


@dataclass
class _Drawn:
    """One Shapes layer and what is known of it.

    `rows` are those of the layer's table: the key of each shape, and whether it is positive. Of a shape that was
    removed `signs` remembers which it was.
    """

    layer: Shapes
    keys: RegionKeys = field(default_factory=RegionKeys)
    rows: list[str] = field(default_factory=list)
    prints: list[Print] = field(default_factory=list)
    signs: dict[str, bool] = field(default_factory=dict)
    shapes: dict[tuple[Any, ...], DrawnShape | str] = field(default_factory=dict)
    is_open: bool = False


class RegionLayer(QObject):
    """Regions that are drawn on the image in hand.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed
        A region was finished, moved, edited, removed or lies on other pixels now, or another image is in hand.
        What is still being drawn is no region yet.
    selection_changed
        Another region, or none, is selected in the layer.

    Notes
    -----
    Each image has its own layer, made with the first tool and anew when it was deleted. napari announces edits before,
    while or after it makes them, so every announcement leads to one look at the layer once the event has returned.
    """

    changed = Signal()
    selection_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self._drawn: dict[int, _Drawn] = {}
        self._image: Image | None = None
        self._last: tuple[Any, ...] = ()
        self._told: set[tuple[str, str]] = set()
        self._writing = False
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self._look)
        session.image_changed.connect(self._on_image)
        session.viewer.layers.events.removed.connect(self._on_removed)
        self._on_image()

    # ---- what is drawn

    @property
    def layer(self) -> Shapes | None:
        """The layer of the image in hand; None before it is made or after it was deleted."""
        return None if self._current is None else self._current.layer

    def shapes(self) -> list[DrawnShape]:
        """Finished regions that can be used, in the order in which they were drawn."""
        return [shape for shape in self._all().values() if isinstance(shape, DrawnShape)]

    def refused(self) -> dict[str, str]:
        """Of each region that cannot be used, by its key, the sentence that says why."""
        return {key: text for key, text in self._all().items() if isinstance(text, str)}

    def shape(self, key: str) -> DrawnShape | None:
        """One region; None where there is none that can be used."""
        found = self._all().get(key)
        return found if isinstance(found, DrawnShape) else None

    def plane_index(self, plane: int) -> tuple[int, ...]:
        """Index of a plane in the result, as `PlaneSource.at` takes it."""
        image = self.session.picture.layer
        return () if image is None else plane_index(image, self.session.picture.view, plane)

    def regions_of_labels(self, labels: Labels, value: int, plane: int | None = None) -> list[DrawnShape]:
        """What is painted with one label in a label layer, one region for each plane (see `painted_regions`).

        Raises
        ------
        InputError
            If there is no image, or no region is painted so.
        """
        image = self.session.picture.layer
        if image is None:
            raise InputError("There is no image: open one first.")
        return painted_regions(labels, value, image, self.session.picture.view, plane)

    @property
    def selected(self) -> str:
        """Key of the region that is selected, ``""`` unless it is one."""
        drawn = self._current
        if drawn is None or len(drawn.layer.selected_data) != 1:
            return ""
        at = int(next(iter(drawn.layer.selected_data)))
        return drawn.rows[at] if at < len(drawn.rows) else ""

    # ---- what the user does

    def add_tool(self, tool: Tool, *, positive: bool = True) -> bool:
        """Take a drawing tool in hand; False, and a sentence, where nothing can be drawn now."""
        try:
            layer = self._made().layer
        except InputError as error:
            self.session.say(str(error), "warning")
            return False
        self.session.viewer.layers.selection.active = layer
        layer.visible = True
        layer.mode = "pan_zoom"  # finishes what was begun with the tool before
        layer.selected_data = set()  # else the colours of the selected region would change
        layer.mode = _MODES[tool]
        layer.current_edge_color, layer.current_face_color = _colours(positive)
        layer.feature_defaults = {"region": "", "positive": positive}
        return True

    def stop(self) -> None:
        """Put the tool away: the mouse moves the picture again, and what is being drawn is finished."""
        if self.layer is not None:
            self.layer.mode = "pan_zoom"

    def remove(self, key: str) -> None:
        """Remove a region."""
        drawn, at = self._at(key)
        if drawn is not None:
            drawn.layer.remove([at])
            self._look()

    def set_positive(self, key: str, positive: bool) -> None:
        """Say whether a region shows the thing or what is not the thing."""
        drawn, _ = self._at(key)
        if drawn is not None and drawn.signs[key] != positive:
            drawn.signs[key] = positive
            self._write(drawn)
            self._tell()

    def select(self, key: str) -> None:
        """Show a region's plane and select it, so that it can be moved and edited."""
        drawn, at = self._at(key)
        if drawn is None:
            return
        shape = self.shape(key)
        if shape is not None:
            axis = self.session.picture.view.channel_axis
            index = self.plane_index(shape.plane)
            self.session.picture.show_plane(tuple(i for a, i in enumerate(index) if a != axis))
        self.session.viewer.layers.selection.active = drawn.layer
        drawn.layer.mode = "select"
        drawn.layer.selected_data = {at}

    def close(self) -> None:
        """Stop following; the layers stay, as any others."""
        self._timer.stop()
        self.session.viewer.layers.events.removed.disconnect(self._on_removed)
        self._follow(None)
        for drawn in self._drawn.values():
            self._unwatch(drawn.layer)
        self._drawn.clear()

    # ---- the layers

    @property
    def _current(self) -> _Drawn | None:
        drawn = self._drawn.get(id(self.session.picture.layer))
        if drawn is not None and drawn.layer not in self.session.viewer.layers:
            del self._drawn[id(self.session.picture.layer)]
            return None
        return drawn

    def _made(self) -> _Drawn:
        """The layer of the image in hand, made if there is none.

        Raises
        ------
        InputError
            If there is no image, or its rows and columns are not what the viewer shows.
        """
        session = self.session
        source, image = session.picture.source(), session.picture.layer
        viewer, n = session.viewer, 0 if image is None else spatial_ndim(image)
        if viewer.dims.ndisplay != 2:
            raise InputError("Regions are drawn on a plane: leave the 3-D view first.")
        if sorted(viewer.dims.displayed) != [viewer.dims.ndim - 2, viewer.dims.ndim - 1]:
            raise InputError(
                f"The viewer does not show the rows and columns of {source.name!r}: "
                "bring the last two axes into view (Reset view order), then draw."
            )
        drawn = self._current
        if drawn is not None and drawn.layer.ndim == n:
            return drawn
        place = geometry(image, replace(session.picture.view, level=0)) if image is not None else {}
        size = max(levels(image)[0][n - 2 : n]) if image is not None else 0
        layer = Shapes(
            ndim=n,
            name="regions",
            edge_width=max(_LEAST, size * _SHARE),
            features={"region": np.array([], dtype=object), "positive": np.array([], dtype=bool)},
            metadata={"napari-promptseg": {"image": source.name, "role": "regions"}},
            **place,
        )
        layer.current_edge_width = max(_LEAST, size * _SHARE)
        return self._watch(image, viewer.add_layer(layer))

    def _watch(self, image: Image | None, layer: Shapes) -> _Drawn:
        drawn = self._drawn[id(image)] = _Drawn(layer)
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)
        layer.selected_data.events.items_changed.connect(self._on_selected)
        for name in _TRANSFORMS:
            getattr(layer.events, name).connect(self._on_moved)
        return drawn

    def _unwatch(self, layer: Shapes) -> None:
        layer.events.data.disconnect(self._on_data)
        layer.events.features.disconnect(self._on_features)
        layer.selected_data.events.items_changed.disconnect(self._on_selected)
        for name in _TRANSFORMS:
            getattr(layer.events, name).disconnect(self._on_moved)

    def _follow(self, image: Image | None) -> None:
        """Notice when the image is moved under its regions."""
        if image is self._image:
            return
        for layer, connect in ((self._image, False), (image, True)):
            if layer is not None:
                for name in _TRANSFORMS:
                    event = getattr(layer.events, name)
                    (event.connect if connect else event.disconnect)(self._on_moved)
        self._image = image

    # ---- what happened

    def _on_image(self) -> None:
        self._follow(self.session.picture.layer)
        standing = {id(layer) for layer in self.session.picture.choices()}
        for key in [k for k in self._drawn if k not in standing]:
            self._unwatch(self._drawn.pop(key).layer)
        self._timer.start()

    def _on_removed(self, event: Any) -> None:
        for key in [k for k, drawn in self._drawn.items() if drawn.layer is event.value]:
            self._unwatch(self._drawn.pop(key).layer)
            self._timer.start()

    def _on_data(self, event: Any) -> None:
        drawn = next((d for d in self._drawn.values() if d.layer is event.source), None)
        if drawn is None:
            return
        action = str(getattr(event.action, "value", event.action))
        if action == "adding":
            drawn.is_open = True
        elif action in ("added", "changed", "removed"):
            drawn.is_open = False
            self._timer.start()

    def _on_features(self, event: Any = None) -> None:
        if not self._writing:
            self._timer.start()

    def _on_moved(self, event: Any = None) -> None:
        self._timer.start()

    def _on_selected(self, added: Any = None, removed: Any = None) -> None:
        self.selection_changed.emit()

    # ---- looking

    def _at(self, key: str) -> tuple[_Drawn | None, int]:
        """The layer with a region, and the region's number in it."""
        self._look()
        drawn = self._current
        return (drawn, drawn.rows.index(key)) if drawn is not None and key in drawn.rows else (None, -1)

    def _all(self) -> dict[str, DrawnShape | str]:
        """By key each finished region of the image in hand, or why it cannot be used."""
        if self._timer.isActive():
            self._look()
        drawn, image, view = self._current, self.session.picture.layer, self.session.picture.view
        if drawn is None or image is None:
            return {}
        try:
            to_image = between(drawn.layer, image, view)
        except InputError as error:
            return dict.fromkeys(drawn.rows, str(error))
        frame = (to_image.tobytes(), view, result_shape(image, view))
        data, found = drawn.layer.data, {}
        kept: dict[tuple[Any, ...], DrawnShape | str] = {}
        for key, mark, vertices in zip(drawn.rows, drawn.prints, data, strict=False):
            positive = drawn.signs[key]
            place = (key, mark, positive, frame)
            known = drawn.shapes.get(place)
            if known is None:
                try:
                    plane, marked = pixels_of(vertices, mark[0], to_image, image, view)
                    known = DrawnShape(key, plane, marked, positive, mark[0])
                except InputError as error:
                    known = str(error)
            found[key] = kept[place] = known
        drawn.shapes = kept
        return found

    def _look(self) -> None:
        """Bring keys, signs and colours up to what stands in the layer."""
        self._timer.stop()
        drawn = self._current
        if drawn is not None and not drawn.is_open:
            layer = drawn.layer
            drawn.prints = [print_of(kind, v) for kind, v in zip(layer.shape_type, layer.data, strict=True)]
            table = layer.features
            rows = [str(k) for k in table["region"]] if "region" in table else []
            signs = [bool(s) for s in table["positive"]] if "positive" in table else [True] * len(rows)
            default = layer.feature_defaults
            usual = bool(default["positive"].iloc[0]) if "positive" in default else True
            drawn.rows = drawn.keys.match(rows, drawn.prints)
            for at, key in enumerate(drawn.rows):
                if at < len(rows) and rows[at] in (key, ""):
                    drawn.signs[key] = signs[at]
                drawn.signs.setdefault(key, usual)
            self._write(drawn)
        self._tell()

    def _write(self, drawn: _Drawn) -> None:
        """Keys and signs into the layer's table, signs into its colours."""
        layer, signs = drawn.layer, [drawn.signs[key] for key in drawn.rows]
        table = layer.features
        as_is = len(table) == len(drawn.rows) and {"region", "positive"} <= set(table)
        self._writing = True
        try:
            if not as_is or list(table["region"]) != drawn.rows or list(table["positive"]) != signs:
                others = {n: table[n] for n in table if n not in ("region", "positive")} if as_is else {}
                usual = layer.feature_defaults
                positive = bool(usual["positive"].iloc[0]) if "positive" in usual else True
                layer.features = {
                    **others,
                    "region": np.array(drawn.rows, dtype=object),
                    "positive": np.array(signs, dtype=bool),
                }
                layer.feature_defaults = {"region": "", "positive": positive}
            _paint(layer, signs)
        finally:
            self._writing = False

    def _tell(self) -> None:
        """Announce what is new, and say once why a region cannot be used."""
        found = self._all()
        now = (id(self.session.picture.layer), self.session.picture.view, *found.items())
        if now == self._last:
            return
        self._last = now
        for key, text in found.items():
            if isinstance(text, str) and (key, text) not in self._told:
                self._told.add((key, text))
                self.session.say(text, "warning")
        self.changed.emit()


def _colours(positive: bool) -> tuple[str, str]:
    """Of outline and inside."""
    colour = POSITIVE if positive else NEGATIVE
    return colour, colour + _FACE


def _paint(layer: Shapes, signs: Sequence[bool]) -> None:
    """Show by colour which regions are positive."""
    from napari.utils.colormaps.standardize_color import transform_color

    if not signs:
        return
    edge = transform_color([_colours(s)[0] for s in signs])
    face = transform_color([_colours(s)[1] for s in signs])
    if layer.edge_color.shape != edge.shape or not np.allclose(layer.edge_color, edge, atol=1e-3):
        layer.edge_color = edge
    if layer.face_color.shape != face.shape or not np.allclose(layer.face_color, face, atol=1e-3):
        layer.face_color = face
