"""From what is drawn in a layer to the pixels of an image, exactly, whatever transforms either of them has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer

from napari_promptseg.concepts.region import check_size
from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import View, levels, result_shape, spatial_ndim
from napari_promptseg.images.outlines import MarkedPixels, ellipse_mask, polygon_mask

#: Vertices of one plane may lie so far from each other across it, in planes.
_FLAT = 0.5
#: Rows that are looked up at once in a painted layer with transforms of its own.
_ROWS = 256

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DrawnShape:
    """One region on one plane of an image.

    Parameters
    ----------
    key : str
        Stays the same when the region is moved or edited.
    plane : int
        Number of the plane in the image's result (see `plane_index`).
    marked : MarkedPixels
        In pixels of the level that the image is looked at.
    positive : bool
        Whether it shows the thing, or what is not the thing.
    kind : str
        ``"polygon"``, ``"rectangle"``, ``"ellipse"``, ``"path"``, or ``"painted"``.
    """

    key: str
    plane: int
    marked: MarkedPixels
    positive: bool
    kind: str

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``(Y, X)`` of the plane, made at each call."""
        return self.marked.mask


def plane_number(image: Image, view: View, index: tuple[int, ...]) -> int:
    """Number of a plane, from its index in the result; an axis of channels counts as one step."""
    leading = result_shape(image, view)[:-2]
    return int(np.ravel_multi_index(index, leading)) if leading else 0


def plane_index(image: Image, view: View, plane: int) -> tuple[int, ...]:
    """Index in the result of a plane, from its number."""
    leading = result_shape(image, view)[:-2]
    return tuple(int(i) for i in np.unravel_index(plane, leading)) if leading else ()


def matrix_of(layer: Layer) -> Matrix:
    """``(n + 1, n + 1)`` from coordinates of a layer's data to the world; of all its transforms together."""
    n = int(layer.ndim)
    origin = np.asarray(layer.data_to_world(np.zeros(n)), dtype=float)
    matrix = np.eye(n + 1)
    matrix[:n, n] = origin
    for axis, unit in enumerate(np.eye(n)):
        matrix[:n, axis] = np.asarray(layer.data_to_world(unit), dtype=float) - origin
    return matrix


def between(layer: Layer, image: Image, view: View) -> Matrix:
    """``(n + 1, n + 1)`` from coordinates of a layer's data to those of the image's level that is looked at.

    Raises
    ------
    InputError
        If the layer has another number of axes than the image.
    """
    n = spatial_ndim(image)
    if layer.ndim != n:
        raise InputError(
            f"The layer {layer.name!r} has {layer.ndim} axes but the image {image.name!r} has {n}: "
            "draw in a layer that was made for this image."
        )
    shapes = levels(image)
    shrink = np.asarray(shapes[view.level][:n]) / np.asarray(shapes[0][:n])
    level = np.diag([*shrink, 1.0])
    level[:n, n] = (shrink - 1) / 2  # the first, larger pixel's centre is not that of the finest level's first
    return level @ np.linalg.inv(matrix_of(image)) @ matrix_of(layer)


def pixels_of(
    vertices: npt.ArrayLike, kind: str, to_image: Matrix, image: Image, view: View
) -> tuple[int, MarkedPixels]:
    """Plane and pixels of one shape.

    Parameters
    ----------
    vertices : array-like
        ``(n, D)`` in the layer's data; of an ellipse the corners of its frame.
    kind : str
        napari's type of the shape.
    to_image : numpy.ndarray
        From `between`.
    image : napari.layers.Image
    view : View

    Raises
    ------
    InputError
        If the shape is a line, spans planes, lies outside the image, has no area, or marks fewer than four pixels or
        the whole image.
    """
    if kind == "line":
        raise InputError("A line has no area: draw a rectangle, an ellipse, a polygon or a lasso.")
    given = np.asarray(vertices, dtype=float)
    at = given @ to_image[:-1, :-1].T + to_image[:-1, -1]
    full = result_shape(image, view)
    index = []
    for axis, length in enumerate(full[:-2]):
        if axis == view.channel_axis:
            index.append(0)
            continue
        low, high = at[:, axis].min(), at[:, axis].max()
        if high - low > _FLAT:
            raise InputError(
                f"The region spans the planes {round(low)} to {round(high)}: draw it on one plane, "
                "with the image's rows and columns in view."
            )
        # rounded as napari does when it shows a plane; noise of the transforms must not decide
        plane = int(np.round(np.round((low + high) / 2, 4)))
        if not 0 <= plane < length:
            raise InputError(f"The region lies on plane {plane}, outside the image: its planes are 0 to {length - 1}.")
        index.append(plane)
    shape = (full[-2], full[-1])
    draw = ellipse_mask if kind == "ellipse" else polygon_mask
    marked = draw(at[:, -2:], shape)
    check_size(marked.n_pixels, shape[0] * shape[1])
    return plane_number(image, view, tuple(index)), marked


def painted_regions(labels: Labels, value: int, image: Image, view: View, plane: int | None = None) -> list[DrawnShape]:
    """What is painted with one label, as one region for each plane.

    Parameters
    ----------
    labels : napari.layers.Labels
        Its pixels need not be those of the image: each of the image's pixels is what the label layer has at its centre.
    value : int
        The label; not 0.
    image : napari.layers.Image
    view : View
    plane : int, optional
        Only this one.

    Raises
    ------
    InputError
        If nothing is painted so, if the layers' axes differ, or if every such region has fewer than four pixels or
        covers its plane.
    """
    if value == 0:
        raise InputError("Label 0 is the background: choose the label that the region is painted with.")
    found, refused = [], None
    for number, mask in _painted_planes(labels, value, image, view, plane):
        try:
            check_size(int(np.count_nonzero(mask)), mask.size)
        except InputError as error:
            refused = error
            continue
        key = f"{labels.unique_id}/{value}/{number}"
        found.append(DrawnShape(key, number, MarkedPixels.from_mask(mask), True, "painted"))
    if not found:
        where = "on this plane" if plane is not None else "on this image"
        raise refused or InputError(
            f"Nothing is painted with label {value} of {labels.name!r} {where}: paint the region or choose its label."
        )
    return found


def _painted_planes(
    labels: Labels, value: int, image: Image, view: View, plane: int | None
) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """``(number, mask)`` of each plane where the label is."""
    to_image = between(labels, image, view)
    full = result_shape(image, view)
    n_planes = int(np.prod(full[:-2], dtype=np.int64))
    data = labels.data[0] if labels.multiscale else labels.data
    same = tuple(data.shape) == full and np.allclose(to_image, np.eye(len(to_image)), atol=1e-6)
    if not same:
        marked = np.asarray(data) == value
        if not marked.any():
            return
        to_labels = np.asarray(np.linalg.inv(to_image), dtype=np.float64)
    for number in range(n_planes) if plane is None else (plane,):
        index = plane_index(image, view, number)
        mask = np.asarray(data[index]) == value if same else _looked_up(marked, to_labels, index, full)
        if mask.any():
            yield number, mask


def _looked_up(
    marked: npt.NDArray[np.bool_], to_labels: Matrix, index: tuple[int, ...], full: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """``(Y, X)``: what stands in a painted array at the centre of each of the image's pixels."""
    mask = np.zeros(full[-2:], dtype=bool)
    columns = np.arange(full[-1])
    for top in range(0, full[-2], _ROWS):
        rows = np.arange(top, min(top + _ROWS, full[-2]))[:, None]
        inside = np.ones((len(rows), len(columns)), dtype=bool)
        at = []
        for axis, length in enumerate(marked.shape):
            row = to_labels[axis]
            start = row[-1] + sum(row[a] * i for a, i in enumerate(index))
            # rounded half up, so that neighbours neither share a pixel nor leave one out
            here = np.floor(np.round(start + row[-3] * rows + row[-2] * columns, 6) + 0.5).astype(np.int64)
            inside &= (here >= 0) & (here < length)
            at.append(np.clip(here, 0, length - 1))
        mask[rows[:, 0]] = marked[tuple(at)] & inside
    return mask
