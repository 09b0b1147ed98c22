"""One Shapes layer with regions: which shape is which, and which are negative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import View, result_shape, spatial_ndim
from napari_promptseg.gui.region_keys import Print, RegionKeys, print_of
from napari_promptseg.gui.region_places import DrawnShape, between, pixels_of

#: Outline of a region that shows the thing, and of one that shows what is not the thing.
POSITIVE, NEGATIVE = "#00e5ff", "#ff6e40"

#: Transforms of a layer that can change under what is drawn.
TRANSFORMS = ("scale", "translate", "rotate", "shear", "affine")

#: What is smaller along rows and columns is a slip of the hand, in pixels.
SLIP = 2.0

#: How clear the inside is.
_FACE = "22"


class RegionShapes:
    """The regions in a layer.

    Parameters
    ----------
    layer : napari.layers.Shapes
    on_change : callable
        Called when there may be something new to `look` at; never for a shape that is still being drawn.
    on_select : callable
        Called when the selection changes.

    Attributes
    ----------
    keys : list of str
        Of the layer's shapes, as at the last look.
    """

    def __init__(self, layer: Shapes, on_change: Callable[[], None], on_select: Callable[[], None]) -> None:
        self.layer = layer
        self.keys: list[str] = []
        self._on_change = on_change
        self._on_select = on_select
        self._matcher = RegionKeys()
        self._prints: list[Print] = []
        self._signs: dict[str, bool] = {}  # of removed shapes too
        self._read: dict[tuple[Any, ...], DrawnShape | str] = {}
        self._is_open = False
        self._writing = False
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_features)
        layer.selected_data.events.items_changed.connect(self._on_selected)
        for name in TRANSFORMS:
            getattr(layer.events, name).connect(self._on_moved)

    def let_go(self) -> None:
        """Stop watching the layer."""
        layer = self.layer
        layer.events.data.disconnect(self._on_data)
        layer.events.features.disconnect(self._on_features)
        layer.selected_data.events.items_changed.disconnect(self._on_selected)
        for name in TRANSFORMS:
            getattr(layer.events, name).disconnect(self._on_moved)

    def look(self) -> None:
        """Bring keys, signs and colours up to what stands in the layer."""
        if self._is_open:
            return
        layer = self.layer
        self._prints = [print_of(kind, v) for kind, v in zip(layer.shape_type, layer.data, strict=True)]
        table = layer.features
        rows = [str(key) for key in table["region"]] if "region" in table else []
        signs = [bool(sign) for sign in table["positive"]] if "positive" in table else [True] * len(rows)
        self.keys = self._matcher.match(rows, self._prints)
        for at, key in enumerate(self.keys):
            known = key in self._signs
            if at < len(rows) and (rows[at] == key or not known):
                self._signs[key] = signs[at]
            elif not known:
                self._signs[key] = self._next_sign
        self._write()

    def put_away(self) -> None:
        """Take the tool out of the hand; what is being drawn is finished, or removed if it is no more than a line."""
        layer, was_open = self.layer, self._is_open
        layer.mode = "pan_zoom"
        # napari drops such a beginning only where the tool stays in the hand
        if was_open and layer.nshapes and len(np.unique(layer.data[-1], axis=0)) < 3:
            layer.remove([layer.nshapes - 1])

    def slips(self, image: Image, view: View) -> list[str]:
        """Keys of shapes that are hardly larger than a pixel, as a click without a drag leaves them.

        None while no drawing tool is in the hand: what was not drawn by hand just now is not taken for a slip.
        """
        if not str(self.layer.mode).startswith("add_") or self._is_open:
            return []
        refused = {key for key, text in self.read(image, view).items() if isinstance(text, str)}
        if not refused or self.layer.ndim != spatial_ndim(image):
            return []
        linear = between(self.layer, image, view)[-3:-1, :-1]
        drawn = zip(self.keys, self.layer.data, strict=True)
        return [k for k, v in drawn if k in refused and np.ptp(v @ linear.T, axis=0).max() < SLIP]

    def draw_next(self, *, positive: bool) -> None:
        """What is drawn from now on is positive, or negative."""
        layer = self.layer
        layer.selected_data = set()  # else the colours of the selected region would change
        layer.current_edge_color, layer.current_face_color = _colours(positive)
        layer.feature_defaults = {"region": "", "positive": positive}

    def set_sign(self, key: str, positive: bool) -> None:
        """Say whether a region shows the thing or what is not the thing."""
        self._signs[key] = positive
        self._write()

    def read(self, image: Image, view: View) -> dict[str, DrawnShape | str]:
        """By key each finished region in pixels of an image, or the sentence why it cannot be used."""
        try:
            to_image = between(self.layer, image, view)
        except InputError as error:
            return dict.fromkeys(self.keys, str(error))
        frame = (to_image.tobytes(), view, result_shape(image, view))
        found, known = {}, self._read
        self._read = {}
        for key, mark, vertices in zip(self.keys, self._prints, self.layer.data, strict=False):
            place = (key, mark, self._signs[key], frame)
            shape = known.get(place)
            if shape is None:
                try:
                    plane, marked = pixels_of(vertices, mark[0], to_image, image, view)
                    shape = DrawnShape(key, plane, marked, self._signs[key], mark[0])
                except InputError as error:
                    shape = str(error)
            found[key] = self._read[place] = shape
        return found

    @property
    def _next_sign(self) -> bool:
        default = self.layer.feature_defaults
        return bool(default["positive"].iloc[0]) if "positive" in default else True

    def _write(self) -> None:
        """Keys and signs into the layer's table, signs into its colours."""
        layer, signs = self.layer, [self._signs[key] for key in self.keys]
        table = layer.features
        fits = len(table) == len(self.keys) and {"region", "positive"} <= set(table)
        self._writing = True
        try:
            if not fits or list(table["region"]) != self.keys or list(table["positive"]) != signs:
                others = {n: table[n] for n in table if n not in ("region", "positive")} if fits else {}
                default = {"region": "", "positive": self._next_sign}
                own = {"region": np.array(self.keys, dtype=object), "positive": np.array(signs, dtype=bool)}
                layer.features = {**others, **own}
                layer.feature_defaults = default
            if signs:
                edge, face = (transform_color(list(c)) for c in zip(*map(_colours, signs), strict=True))
                if layer.edge_color.shape != edge.shape or not np.allclose(layer.edge_color, edge, atol=1e-3):
                    layer.edge_color = edge
                if layer.face_color.shape != face.shape or not np.allclose(layer.face_color, face, atol=1e-3):
                    layer.face_color = face
        finally:
            self._writing = False

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action))
        if action == "adding":
            self._is_open = True
        elif action in ("added", "changed", "removed"):
            self._is_open = False
            self._on_change()

    def _on_features(self, event: Any = None) -> None:
        if not self._writing:
            self._on_change()

    def _on_moved(self, event: Any = None) -> None:
        self._on_change()

    def _on_selected(self, added: Any = None, removed: Any = None) -> None:
        self._on_select()


def _colours(positive: bool) -> tuple[str, str]:
    """Of outline and inside."""
    colour = POSITIVE if positive else NEGATIVE
    return colour, colour + _FACE
