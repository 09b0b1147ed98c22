"""The napari Shapes layer in which regions are drawn, and the regions in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import geometry, levels, spatial_ndim
from napari_promptseg.gui.region_places import DrawnShape, between, painted_regions, plane_index
from napari_promptseg.gui.region_shapes import NEGATIVE, POSITIVE, TRANSFORMS, RegionShapes
from napari_promptseg.gui.volume_index import Place

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

__all__ = ["NEGATIVE", "POSITIVE", "RegionLayer", "Tool"]

Tool = Literal["polygon", "rectangle", "ellipse", "lasso"]

_MODES: dict[Tool, str] = {
    "polygon": "add_polygon",
    "rectangle": "add_rectangle",
    "ellipse": "add_ellipse",
    "lasso": "add_polygon_lasso",
}
#: Kinds of shapes that enclose something.
_CLOSED = ("polygon", "rectangle", "ellipse")
#: An outline's width as a share of the picture's longer side, and at least so many pixels.
_SHARE, _LEAST = 1 / 300, 0.7


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
        self._layers: dict[int, RegionShapes] = {}
        self._image: Image | None = None
        self._last: tuple[Any, ...] = ()
        self._told: set[tuple[str, str]] = set()
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

    def plane_index(self, plane: int) -> Place:
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
        return drawn.keys[at] if at < len(drawn.keys) else ""

    # ---- what the user does

    def add_tool(self, tool: Tool, *, positive: bool = True) -> bool:
        """Take a drawing tool in hand; False, and a sentence, where nothing can be drawn now."""
        try:
            drawn = self._made()
        except InputError as error:
            self.session.say(str(error), "warning")
            return False
        layer = drawn.layer
        self.session.viewer.layers.selection.active = layer
        layer.visible = True
        drawn.put_away()
        drawn.draw_next(positive=positive)
        layer.mode = _MODES[tool]
        return True

    def adopt(self, layer: Shapes, *, positive: bool = True) -> int:
        """Copy the outlines of another Shapes layer in here, where they lie in the world; gives how many.

        Raises
        ------
        InputError
            If nothing can be drawn now, the layers' axes differ, or there is no closed outline.
        """
        closed = [(kind, v) for kind, v in zip(layer.shape_type, layer.data, strict=True) if kind in _CLOSED]
        if not closed:
            raise InputError(f"{layer.name!r} has no closed outline: draw a rectangle, an ellipse or a polygon in it.")
        drawn, picture = self._made(), self.session.picture
        if picture.layer is None:
            raise InputError("There is no image: open one first.")
        theirs, own = (between(one, picture.layer, picture.view) for one in (layer, drawn.layer))
        move = np.linalg.inv(own) @ theirs
        drawn.put_away()
        drawn.draw_next(positive=positive)
        for kind, vertices in closed:
            # a rectangle that is seen through a shear is none
            there = np.asarray(vertices) @ move[:-1, :-1].T + move[:-1, -1]
            drawn.layer.add(there, shape_type="polygon" if kind == "rectangle" else kind)
        self._look()
        return len(closed)

    def stop(self) -> None:
        """Put the tool away: the mouse moves the picture again, and what is being drawn is finished."""
        if self._current is not None:
            self._current.put_away()

    def remove(self, key: str) -> None:
        """Remove a region."""
        drawn, at = self._at(key)
        if drawn is not None:
            drawn.layer.remove([at])
            self._look()

    def set_positive(self, key: str, positive: bool) -> None:
        """Say whether a region shows the thing or what is not the thing."""
        drawn, _ = self._at(key)
        if drawn is not None:
            drawn.set_sign(key, positive)
            self._tell()

    def close(self) -> None:
        """Stop following; the layers stay, as any others."""
        self._timer.stop()
        self.session.viewer.layers.events.removed.disconnect(self._on_removed)
        self.session.image_changed.disconnect(self._on_image)
        self._follow(None)
        for drawn in self._layers.values():
            drawn.let_go()
        self._layers.clear()

    # ---- the layers

    @property
    def _current(self) -> RegionShapes | None:
        return self._layers.get(id(self.session.picture.layer))

    def _made(self) -> RegionShapes:
        """The layer of the image in hand, made if there is none.

        Raises
        ------
        InputError
            If there is no image, or its rows and columns are not what the viewer shows.
        """
        picture, dims = self.session.picture, self.session.viewer.dims
        name, image = picture.source().name, picture.layer
        if image is None:
            raise InputError("There is no image: open one first.")
        if dims.ndisplay != 2:
            raise InputError("Regions are drawn on a plane: leave the 3-D view first.")
        n = spatial_ndim(image)
        shown = [dims.ndim - n + axis for axis in range(n) if axis != picture.cut] if picture.is_stack else None
        if sorted(dims.displayed) != (shown or [dims.ndim - 2, dims.ndim - 1]):
            raise InputError(
                f"The viewer does not show the rows and columns of {name!r}: "
                "bring the last two axes into view with the button that rolls the axes, then draw."
            )
        drawn = self._current
        if drawn is not None:
            if drawn.layer.ndim == n:
                return drawn
            drawn.let_go()  # the image's data got other axes; what was drawn on those before stays to be seen
        width = max(_LEAST, max(levels(image)[0][n - 2 : n]) * _SHARE)
        layer = Shapes(
            ndim=n,
            name="regions",
            features={"region": np.array([], dtype=object), "positive": np.array([], dtype=bool)},
            metadata={"napari-promptseg": {"image": name, "role": "regions"}},
            **geometry(image, replace(picture.view, level=0)),
        )
        layer.current_edge_width = width
        drawn = self._layers[id(image)] = RegionShapes(layer, self._timer.start, self.selection_changed.emit)
        self.session.viewer.add_layer(layer)
        return drawn

    def _follow(self, image: Image | None) -> None:
        """Notice when the image is moved under its regions."""
        if image is self._image:
            return
        for layer, connect in ((self._image, False), (image, True)):
            if layer is not None:
                for name in TRANSFORMS:
                    event = getattr(layer.events, name)
                    (event.connect if connect else event.disconnect)(self._on_moved)
        self._image = image

    # ---- what happened

    def _on_image(self) -> None:
        self._follow(self.session.picture.layer)
        standing = {id(layer) for layer in self.session.picture.choices()}
        for key in [k for k in self._layers if k not in standing]:
            self._layers.pop(key).let_go()
        self._timer.start()

    def _on_removed(self, event: Any) -> None:
        for key in [k for k, drawn in self._layers.items() if drawn.layer is event.value]:
            self._layers.pop(key).let_go()
            self._timer.start()

    def _on_moved(self, event: Any = None) -> None:
        self._timer.start()

    # ---- looking

    def _at(self, key: str) -> tuple[RegionShapes | None, int]:
        """The layer with a region, and the region's number in it."""
        self._look()
        drawn = self._current
        return (drawn, drawn.keys.index(key)) if drawn is not None and key in drawn.keys else (None, -1)

    def _all(self) -> dict[str, DrawnShape | str]:
        """By key each finished region of the image in hand, or why it cannot be used."""
        if self._timer.isActive():
            self._look()
        drawn, picture = self._current, self.session.picture
        return {} if drawn is None or picture.layer is None else drawn.read(picture.layer, picture.view)

    def _look(self) -> None:
        """Bring the regions up to what stands in the layer."""
        self._timer.stop()
        drawn, picture = self._current, self.session.picture
        if drawn is not None:
            drawn.look()
            slips = [] if picture.layer is None else drawn.slips(picture.layer, picture.view)
            if slips:
                self.session.say("That was hardly a pixel: hold the button and drag, or zoom in.", "warning")
                drawn.layer.remove([drawn.keys.index(key) for key in slips])
                drawn.look()
        self._tell()

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
