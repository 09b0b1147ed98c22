"""The image layer being worked on, followed through inserts, removals, renames and slider moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, Signal

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import (
    PlaneSource,
    SharedLimits,
    View,
    is_stack,
    levels,
    plane_source,
    spatial_ndim,
    usual_view,
)
from napari_promptseg.gui.volume_index import Place, cut_of


class Picture(QObject):
    """Which layer, which level and channels of it, and which plane the viewer stands on.

    Signals
    -------
    layers_changed
        An image layer came or was renamed, or any layer went.
    changed
        Another layer was chosen, or it is looked at differently.
    plane_changed
        The viewer's sliders moved, or it shows planes across another axis.

    Attributes
    ----------
    cut : int
        Axis of a stack that the planes in sight lie across; 0 for all that is no stack.
    """

    layers_changed = Signal()
    changed = Signal()
    plane_changed = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.layer: Image | None = None
        self.view = View()
        self.cut = 0
        self.joined: Callable[[PlaneSource], PlaneSource] = lambda source: source
        self._version = 0
        self._windows: dict[int, tuple[float, float]] = {}  # by the identity of a layer: the range chosen for it
        self._limits: tuple[tuple[Any, ...], SharedLimits] | None = None
        layers = viewer.layers.events
        layers.inserted.connect(self._on_inserted)
        layers.removed.connect(self._on_removed)
        layers.reordered.connect(self._on_reordered)
        viewer.dims.events.current_step.connect(self._on_step)
        for layer in self.choices():
            layer.events.name.connect(self._on_renamed)
        images = self.choices()
        active = viewer.layers.selection.active
        shown = [layer for layer in images if layer.visible]
        self.choose(active if active in (shown or images) else (shown or images)[-1] if images else None)

    def choices(self) -> list[Image]:
        """The image layers, topmost last; maps this plugin made are left out."""
        return [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Image) and "napari-promptseg" not in layer.metadata
        ]

    def choose(self, layer: Image | None) -> None:
        """Work on another layer; its level and channels are guessed afresh."""
        layer = getattr(layer, "__wrapped__", layer)  # plugins are handed proxies; the viewer's list has none
        if layer is self.layer and layer is not None:
            return
        self.cut = 0
        kind = self.view.kind
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
            told = self.layer.metadata.get("kind") == kind
            if told or (layer is not None and layer.rgb != self.layer.rgb):
                kind = "auto"  # told by the file of the layer before, or of grey where this is colour: nothing is known
        self.layer = layer
        if layer is None:
            self.view = View()
        else:
            layer.events.data.connect(self._on_data)
            self.view = replace(usual_view(layer, kind), limits=self._windows.get(id(layer)))
        self.changed.emit()

    def look(self, **changes: Any) -> None:
        """Change level, channels or kind."""
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self.cut = self.cut if self.is_stack else 0
            self.changed.emit()

    def set_window(self, limits: tuple[float, float] | None) -> None:
        """Show a range of values from black to white, in the viewer and to the model; None: measured for the model."""
        if self.layer is None:
            return
        if limits is None:
            self._windows.pop(id(self.layer), None)
        else:
            self._windows[id(self.layer)] = limits
            self.layer.contrast_limits = limits
        self.look(limits=limits)

    def source(self) -> PlaneSource:
        """The plane in sight.

        Raises
        ------
        InputError
            If there is no image.
        """
        if self.layer is None:
            raise InputError("There is no image: open one first (File > Open, or the button “Open a sample”).")
        point, limits = self.viewer.dims.point, self._shared_limits(self.layer)
        return self.joined(plane_source(self.layer, self.view, point, self._version, cut=self.cut, limits=limits))

    @property
    def is_stack(self) -> bool:
        """Whether the image in hand can be cut across any of its three axes."""
        return self.layer is not None and is_stack(self.layer, self.view)

    def look_across(self, cut: int) -> None:
        """Work on planes across another axis of a stack; what the viewer shows is up to the caller."""
        if cut != self.cut and self.is_stack:
            self.cut = cut
            self.plane_changed.emit()

    @property
    def in_sight(self) -> PlaneSource | None:
        """The plane in sight; None where there is none."""
        try:
            return self.source()
        except InputError:
            return None

    def show_plane(self, index: Place) -> None:
        """Move the viewer's sliders to a plane of the layer, given by its index without axes of channels."""
        if self.layer is None or not index or index == self.source().index:
            return
        layer, dims, cut = self.layer, self.viewer.dims, cut_of(index)
        self.look_across(cut)
        data = np.asarray(layer.world_to_data(dims.point)[-spatial_ndim(layer) :], dtype=float)
        axes = [cut] if cut else [a for a in range(spatial_ndim(layer) - 2) if a != self.view.channel_axis]
        shapes = levels(layer)
        for axis, at in zip(axes, index[cut:], strict=True):
            assert at is not None  # axes that are whole have been left out
            factor = shapes[0][axis] / shapes[self.view.level][axis]
            data[axis] = (at + 0.5) * factor - 0.5
        world = layer.data_to_world(data)
        for axis in axes:
            own = dims.ndim - spatial_ndim(layer) + axis
            dims.set_point(own, float(world[axis]))

    def close(self) -> None:
        """Stop following the viewer."""
        layers = self.viewer.layers.events
        layers.inserted.disconnect(self._on_inserted)
        layers.removed.disconnect(self._on_removed)
        layers.reordered.disconnect(self._on_reordered)
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        for layer in self.choices():
            layer.events.name.disconnect(self._on_renamed)
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)

    def _shared_limits(self, layer: Image) -> SharedLimits:
        """Those of the layer in hand as it is looked at; the same object until something changes."""
        key = (id(layer), self._version, self.view)
        if self._limits is None or self._limits[0] != key:
            pixels = layer.data[self.view.level] if layer.multiscale else layer.data
            self._limits = (key, SharedLimits(pixels, self.view.kind, channels=bool(layer.rgb)))
        return self._limits[1]

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if layer not in self.choices():
            return
        layer.events.name.connect(self._on_renamed)
        self.layers_changed.emit()
        if self.layer is None:
            self.choose(layer)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if isinstance(layer, Image):
            layer.events.name.disconnect(self._on_renamed)
            self._windows.pop(id(layer), None)
        if layer is self.layer:
            images = self.choices()
            self.choose(images[-1] if images else None)
        self.layers_changed.emit()

    def _on_renamed(self, event: Any = None) -> None:
        self.layers_changed.emit()

    def _on_reordered(self, event: Any = None) -> None:
        self.layers_changed.emit()

    def _on_step(self, event: Any = None) -> None:
        self.plane_changed.emit()

    def _on_data(self, event: Any = None) -> None:
        self._version += 1
        if self.layer is not None:
            view = self.view
            axis = view.channel_axis
            if axis is not None and axis >= spatial_ndim(self.layer) - 2:
                axis = None
            level = min(view.level, len(levels(self.layer)) - 1)
            self.view = replace(view, level=level, channel_axis=axis)
            self.cut = self.cut if self.is_stack else 0
        self.changed.emit()
