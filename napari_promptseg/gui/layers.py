"""Between napari's layers and the core: which plane a layer shows, and the layer a result goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_promptseg.errors import InputError
from napari_promptseg.gui.volume_index import Place, across, cut_of, indexer, shape_at
from napari_promptseg.images.normalisation import Limits, measure_limits
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
    limits : tuple of float, optional
        Values that the encoder sees black and white, a CT window for example; measured where not given.
    """

    level: int = 0
    channel_axis: int | None = None
    channels: tuple[int, ...] = ()
    kind: ModalityKind = "auto"
    limits: tuple[float, float] | None = None

    def shares_result(self, other: View) -> bool:
        """Whether masks of both go into one layer: those through another window do."""
        return replace(self, limits=None) == replace(other, limits=None)


class SharedLimits:
    """Display range of all planes of a stack, measured when first asked for, in the worker."""

    def __init__(self, pixels: Any, kind: ModalityKind, *, channels: bool) -> None:
        self._of = (pixels, kind, channels)
        self._measured: Limits | None = None

    def __call__(self) -> Limits:
        """The range."""
        if self._measured is None:
            pixels, kind, channels = self._of
            self._measured = measure_limits(pixels, kind, channels=channels)
        return self._measured


@dataclass(frozen=True, eq=False)
class PlaneSource:
    """One plane of a layer, not read yet; `stack` is called in the worker.

    Parameters
    ----------
    name : str
    pixels : array-like
        Of all planes.
    index : tuple
        Where the plane is (see `volume_index`), axes of channels left out.
    view : View
    rgb : bool
    key : tuple
        The same for the same pixels.
    steps : tuple of float
        Length of a step along each axis of `pixels`.
    limits : SharedLimits, optional
        Display range of all planes; measured on this one where not given.
    """

    name: str
    pixels: Any
    index: Place
    view: View
    rgb: bool
    key: tuple[Any, ...]
    steps: tuple[float, ...]
    limits: SharedLimits | None = None

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return shape_at(tuple(self.pixels.shape[: len(self.steps)]), self.index)

    @property
    def spacing(self) -> tuple[float, float]:
        """Length of a step from row to row, and from column to column."""
        cut = cut_of(self.index)
        rows, columns = (self.steps[axis] for axis in range(3) if axis != cut) if cut else self.steps[-2:]
        return rows, columns

    def stack(self) -> ImageStack:
        """Read lazily: dask and zarr planes stay lazy, so that tiles are read one at a time."""
        pixels = self.pixels
        if self.index or self.view.channel_axis is not None:
            if not isinstance(pixels, np.ndarray) and not hasattr(pixels, "dask"):
                import dask.array as da

                pixels = da.asarray(pixels)
            at: list[Any] = list(indexer(self.index))
            if self.view.channel_axis is not None:
                at.insert(self.view.channel_axis, list(self.view.channels) or slice(None))
            pixels = pixels[tuple(at)]
        channels = self.rgb
        if self.view.channel_axis is not None:
            pixels = np.moveaxis(pixels, 0, -1)  # every other leading axis has been indexed away
            channels = True
        limits = self.view.limits or (None if self.limits is None else self.limits())
        shown = Modality(self.name, pixels, channels, self.view.kind, limits, square=self._square())
        return ImageStack((shown,), spacing=self.spacing, source=self.name)

    def volume(self) -> tuple[Modality, ...]:
        """All planes, of every modality that the plane has; not read yet."""
        limits = self.view.limits or (None if self.limits is None else self.limits())
        return (Modality(self.name, self.pixels, self.rgb, self.view.kind, limits),)

    def _square(self) -> Any:
        """The plane with square pixels, as planes of a volume are seen; None where they are square, or it is no cut."""
        from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, PlaneGrid, resliced

        cut = cut_of(self.index)
        if not cut:
            return None
        pixels = Modality(self.name, self.pixels, self.rgb, limits=(0.0, 1.0))  # none are to be measured
        whole = ImageStack((pixels,), spacing=self.steps)
        grid = PlaneGrid.of(whole, PLANE_AXES[cut])
        if grid.size == grid.own_size:
            return None
        # without a geometry its rows run with z, and ours against it
        return resliced(whole, PLANE_AXES[cut]).region(int(self.index[-1] or 0))[::-1]

    def at(self, place: Place) -> PlaneSource:
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
    """How a layer is looked at before anyone says otherwise; its reader may have said what its values are."""
    told = layer.metadata.get("kind", "auto")
    if told != "auto" and told in get_args(ModalityKind):
        kind = "auto" if told == "rgb" else told  # the layer itself says so, and “Shows” must not change how it is read
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


def is_stack(layer: Image, view: View) -> bool:
    """Whether a layer is planes of one kind along three axes, so that it can be cut across any of them."""
    return spatial_ndim(layer) == 3 and view.channel_axis is None


def plane_source(
    layer: Image,
    view: View,
    point: Sequence[float],
    version: int = 0,
    *,
    cut: int = 0,
    limits: SharedLimits | None = None,
) -> PlaneSource:
    """The plane of `layer` that the viewer stands on.

    Parameters
    ----------
    layer : napari.layers.Image
    view : View
    point : sequence of float
        The viewer's position in the world (``viewer.dims.point``).
    version : int
        Raised by the caller when the layer's data change.
    cut : int
        Axis of a stack that the plane lies across.
    limits : SharedLimits, optional
        Display range of all planes of a stack; a new one where not given.

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
    index: Place = tuple(int(i) for axis, i in enumerate(at[: ndim - 2]) if axis != view.channel_axis)
    if is_stack(layer, view):
        limits = limits or SharedLimits(pixels, view.kind, channels=bool(layer.rgb))
        index = across(cut, int(at[cut])) if cut else index
    steps = tuple(float(s) for s in np.asarray(layer.scale)[-ndim:] / shrink)
    key = (id(layer), version, view, index)
    return PlaneSource(layer.name, pixels, index, view, bool(layer.rgb), key, steps, limits)


def result_shape(layer: Image, view: View) -> tuple[int, ...]:
    """Shape of the label array for all planes of `layer`; an axis of channels has length 1."""
    shape = list(levels(layer)[view.level][: spatial_ndim(layer)])
    if view.channel_axis is not None:
        shape[view.channel_axis] = 1
    return tuple(shape)


def result_index(view: View, index: Place) -> Place:
    """Where in the label array a plane lies; `indexer` makes of it what the array takes."""
    at = list(index)
    if view.channel_axis is not None:
        at.insert(view.channel_axis, 0)
    return tuple(at)


def result_plane(layer: Labels, view: View, index: Place) -> npt.NDArray[Any]:
    """The plane ``(rows, columns)`` of a label layer, which can be written to; the whole array for the index ``()``."""
    plane: npt.NDArray[Any] = layer.data[indexer(result_index(view, index)) if index else ()]
    return plane


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


def plane_geometry(layer: Image, view: View, index: Place, shape: tuple[int, int] | None = None) -> dict[str, Any]:
    """Keywords that put a layer of one plane (see `lifted`) on that plane of `layer`.

    `shape` is that of the plane where its rows and columns are a coarser grid that covers it exactly.
    """
    full = result_shape(layer, view)
    place, own = geometry(layer, view), result_index(view, index)
    coarser = np.ones(len(full))
    if shape is not None:
        coarser = 1 / _each_axis(np.asarray(shape) / shape_at(full, own), own, len(full))
    first = np.zeros(len(full))
    cut = cut_of(own)
    first[cut if cut else slice(0, len(own))] = own[-1] if cut else own
    first += (coarser - 1) / 2
    level = np.asarray(levels(layer)[0][: len(full)], dtype=float) / np.asarray(levels(layer)[view.level][: len(full)])
    moved = np.asarray(layer.data_to_world(first * level)) - np.asarray(layer.data_to_world(np.zeros(len(full))))
    place["translate"] = place["translate"] + np.linalg.inv(np.asarray(layer.affine.affine_matrix)[:-1, :-1]) @ moved
    place["scale"] = np.asarray(place["scale"]) * coarser
    return place


def _each_axis(of_plane: npt.NDArray[Any], place: Place, ndim: int) -> npt.NDArray[Any]:
    """A figure for a plane's rows and one for its columns as one for each axis of the array; 1 for the others."""
    cut, every = cut_of(place), np.ones(ndim)
    every[[axis for axis in range(3) if axis != cut] if cut else [-2, -1]] = of_plane
    return every


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
