"""Between napari's layers and the core: which plane a layer shows, and the layer a result goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind
from napari_promptseg.prompts.prompt_set import PromptSet

#: A level of a pyramid with at most this many pixels is chosen by itself: about 4 s on two cores.
AFFORDABLE_PIXELS = 4096 * 4096


@dataclass(frozen=True)
class View:
    """How one image layer is looked at.

    Parameters
    ----------
    level : int
        Of a multiscale layer; 0 is the finest.
    channel_axis : int or None
        Axis of the layer's data that holds channels and not planes; never for RGB layers.
    channels : tuple of int
        Which of them are used; empty for all.
    kind : ModalityKind
    """

    level: int = 0
    channel_axis: int | None = None
    channels: tuple[int, ...] = ()
    kind: ModalityKind = "auto"


@dataclass(frozen=True, eq=False)
class PlaneSource:
    """One plane of a layer, not read yet; `stack` is called in the worker."""

    name: str
    pixels: Any
    index: tuple[int, ...]
    view: View
    rgb: bool
    plane_shape: tuple[int, int]
    key: tuple[Any, ...]

    def stack(self) -> ImageStack:
        """Read lazily: dask and zarr planes stay lazy, so that tiles are read one at a time."""
        pixels = self.pixels
        if self.index or self.view.channel_axis is not None:
            if not isinstance(pixels, np.ndarray) and not hasattr(pixels, "dask"):
                import dask.array as da

                pixels = da.asarray(pixels)
            at: list[Any] = list(self.index)
            if self.view.channel_axis is not None:
                at.insert(self.view.channel_axis, list(self.view.channels) or slice(None))
            pixels = pixels[tuple(at)]
        channels = self.rgb
        if self.view.channel_axis is not None:
            pixels = np.moveaxis(pixels, 0, -1)  # every other leading axis has been indexed away
            channels = True
        return ImageStack((Modality(self.name, pixels, channels, self.view.kind),), source=self.name)

    def at(self, place: tuple[int, ...]) -> PlaneSource:
        """The same image at another plane, given by its index in the result, where channels are one step."""
        own = tuple(i for a, i in enumerate(place) if a != self.view.channel_axis)
        return replace(self, index=own, key=(*self.key[:-1], own))


def levels(layer: Image) -> list[tuple[int, ...]]:
    """Shape of each level of a layer, the finest first; one for a plain layer."""
    data = layer.data if layer.multiscale else [layer.data]
    return [tuple(int(n) for n in d.shape) for d in data]


def spatial_ndim(layer: Image) -> int:
    """Axes of the data without RGB's."""
    return len(levels(layer)[0]) - int(layer.rgb)


def affordable_level(layer: Image) -> int:
    """The finest level that is encoded in a few seconds; the coarsest if none is."""
    shapes = levels(layer)
    end = -1 if layer.rgb else None
    for i, shape in enumerate(shapes):
        rows, columns = shape[slice(None, end)][-2:]
        if rows * columns <= AFFORDABLE_PIXELS:
            return i
    return len(shapes) - 1


def guess_channel_axis(layer: Image) -> int | None:
    """An axis named as channels; None where nothing says so."""
    if layer.rgb:
        return None
    for axis, label in enumerate(layer.axis_labels):
        if str(label).casefold() in ("c", "channel", "channels") and axis < spatial_ndim(layer) - 2:
            return axis
    return None


def usual_view(layer: Image, kind: ModalityKind = "auto") -> View:
    """How a layer is looked at before anyone says otherwise."""
    return View(level=affordable_level(layer), channel_axis=guess_channel_axis(layer), kind=kind)


def describe(layer: Image, view: View) -> str:
    """A few words about a layer: ``"RGB, one plane"``, ``"grey, 12 planes, 16 bit"``."""
    shape = levels(layer)[view.level]
    spatial = shape[:-1] if layer.rgb else shape
    words = ["RGB" if layer.rgb and shape[-1] == 3 else "RGBA" if layer.rgb else "grey"]
    leading = [n for axis, n in enumerate(spatial[:-2]) if axis != view.channel_axis]
    if view.channel_axis is not None:
        words[0] = f"{len(view.channels) or spatial[view.channel_axis]} channels"
    planes = int(np.prod(leading, dtype=np.int64)) if leading else 1
    words.append("one plane" if planes == 1 else f"{planes} planes")
    words.append(f"{spatial[-2]} × {spatial[-1]}")
    if layer.multiscale:
        words.append(f"level {view.level + 1} of {len(layer.data)}")
    return ", ".join(words)


def plane_source(layer: Image, view: View, point: Sequence[float], version: int = 0) -> PlaneSource:
    """The plane of `layer` that the viewer stands on.

    Parameters
    ----------
    layer : napari.layers.Image
    view : View
    point : sequence of float
        The viewer's position in the world (``viewer.dims.point``).
    version : int
        Raised by the caller when the layer's data change.

    Raises
    ------
    InputError
        For a layer that is not made of planes.
    """
    ndim = spatial_ndim(layer)
    if ndim < 2:
        raise InputError(f"The layer {layer.name!r} has {ndim} axis; an image with rows and columns is needed.")
    shape = levels(layer)[view.level]
    pixels = layer.data[view.level] if layer.multiscale else layer.data
    if 0 in shape:
        raise InputError(f"The layer {layer.name!r} is empty: its shape is {shape}.")
    position = np.asarray(layer.world_to_data(point))[:ndim]
    finest = np.asarray(levels(layer)[0][:ndim])
    shrink = np.asarray(shape[:ndim]) / finest
    # a coarser level's pixel is centred on all the finer ones that it stands for
    at = np.clip(np.round((position + 0.5) * shrink - 0.5), 0, np.asarray(shape[:ndim]) - 1).astype(int)
    index = tuple(int(i) for axis, i in enumerate(at[: ndim - 2]) if axis != view.channel_axis)
    plane = (int(shape[ndim - 2]), int(shape[ndim - 1]))
    key = (id(layer), version, view, index)
    return PlaneSource(layer.name, pixels, index, view, bool(layer.rgb), plane, key)


def result_shape(layer: Image, view: View) -> tuple[int, ...]:
    """Shape of the label array for all planes of `layer`; an axis of channels has length 1."""
    shape = list(levels(layer)[view.level][: spatial_ndim(layer)])
    if view.channel_axis is not None:
        shape[view.channel_axis] = 1
    return tuple(shape)


def result_index(view: View, index: tuple[int, ...]) -> tuple[Any, ...]:
    """Where in the label array a plane lies."""
    at: list[Any] = list(index)
    if view.channel_axis is not None:
        at.insert(view.channel_axis, 0)
    return tuple(at)


def geometry(layer: Image, view: View) -> dict[str, Any]:
    """Keywords that put a new layer exactly on `layer`.

    A coarser level's pixels are larger; an axis of channels becomes one step as long as all of them, so that the
    result stays in sight whichever channel is shown.
    """
    ndim = spatial_ndim(layer)
    finest = np.asarray(levels(layer)[0][:ndim], dtype=float)
    factor = finest / np.asarray(result_shape(layer, view), dtype=float)
    # translate comes after scale, shear and rotation: the centre of the first, larger pixel is moved through them
    first = (factor - 1) / 2
    moved = np.asarray(layer.data_to_world(first)) - np.asarray(layer.data_to_world(np.zeros(ndim)))
    affine = np.asarray(layer.affine.affine_matrix)[:ndim, :ndim]
    linear = np.linalg.inv(affine)
    return {
        "scale": np.asarray(layer.scale) * factor,
        "translate": np.asarray(layer.translate) + linear @ moved,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def plane_geometry(
    layer: Image, view: View, index: tuple[int, ...], shape: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Keywords that put a layer of one plane on that plane of `layer`; leading axes of its data have length 1.

    `shape` is that of the data's last two axes where they are a coarser grid that covers the plane exactly.
    """
    full = result_shape(layer, view)
    place = geometry(layer, view)
    coarser = np.ones(len(full))
    if shape is not None:
        coarser[-2:] = np.asarray(full[-2:]) / np.asarray(shape)
    first = np.array([*result_index(view, index), 0.0, 0.0], dtype=float) + (coarser - 1) / 2
    level = np.asarray(levels(layer)[0][: len(full)], dtype=float) / np.asarray(levels(layer)[view.level][: len(full)])
    moved = np.asarray(layer.data_to_world(first * level)) - np.asarray(layer.data_to_world(np.zeros(len(full))))
    place["translate"] = place["translate"] + np.linalg.inv(np.asarray(layer.affine.affine_matrix)[:-1, :-1]) @ moved
    place["scale"] = np.asarray(place["scale"]) * coarser
    return place


def class_colours(prompts: PromptSet) -> DirectLabelColormap:
    """The classes' colours; hidden ones and background are clear, labels of no class stay grey."""
    colours: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for c in prompts.classes:
        colours[c.value] = c.colour if c.visible else (0.0, 0.0, 0.0, 0.0)
    return DirectLabelColormap(color_dict=colours)


def class_features(prompts: PromptSet) -> Mapping[str, Any]:
    """Table that lets napari's own status bar name the class under the pointer."""
    return {
        "index": [0, *(c.value for c in prompts.classes)],
        "class": ["background", *(c.label for c in prompts.classes)],
    }


def new_result_layer(layer: Image, view: View, prompts: PromptSet, dtype: npt.DTypeLike) -> Labels:
    """An empty result for every plane of `layer`; its memory is taken only when written to."""
    result = Labels(
        np.zeros(result_shape(layer, view), dtype=dtype),
        name=f"{layer.name} classes",
        colormap=class_colours(prompts),
        features=class_features(prompts),
        opacity=0.55,
        **geometry(layer, view),
    )
    result.metadata["napari-promptseg"] = {"image": layer.name}
    return result
