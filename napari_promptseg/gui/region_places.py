"""From what is drawn in a layer to the pixels of an image, exactly, whatever transforms either of them has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer

from napari_promptseg.concepts.region import check_size
from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import View, is_stack, levels, result_shape, spatial_ndim
from napari_promptseg.gui.volume_index import (
    Place,
    indexer,
    n_planes,
    number_of,
    pixel_at,
    place_of,
    shape_at,
    voxels_at,
)
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


def plane_number(image: Image, view: View, index: Place) -> int:
    """Number of a plane, from its index in the result; an axis of channels counts as one step."""
    return number_of(result_shape(image, view), index)


def plane_index(image: Image, view: View, plane: int) -> Place:
    """Index in the result of a plane, from its number."""
    return place_of(result_shape(image, view), plane)


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
    cut = _flat_axis(at) if is_stack(image, view) else 0
    index: list[int | None] = [None] * cut
    for axis in [cut] if cut else range(len(full) - 2):
        length = full[axis]
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
    shape = shape_at(full, tuple(index))
    draw = ellipse_mask if kind == "ellipse" else polygon_mask
    marked = draw(np.stack(pixel_at(full, tuple(index), at.T), axis=1), shape)
    check_size(marked.n_pixels, shape[0] * shape[1])
    return plane_number(image, view, tuple(index)), marked


def _flat_axis(at: Matrix) -> int:
    """The first axis that vertices ``(n, 3)`` in a volume lie across; 0 where there is none."""
    flat = np.ptp(at, axis=0) <= _FLAT
    return int(np.argmax(flat)) if flat.any() else 0


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
    data = labels.data[0] if labels.multiscale else labels.data
    same = tuple(data.shape) == full and np.allclose(to_image, np.eye(len(to_image)), atol=1e-6)
    if not same:
        marked = np.asarray(data) == value
        if not marked.any():
            return
        to_labels = np.asarray(np.linalg.inv(to_image), dtype=np.float64)
    for number in range(n_planes(full)) if plane is None else (plane,):
        index = plane_index(image, view, number)
        mask = np.asarray(data[indexer(index)]) == value if same else _looked_up(marked, to_labels, index, full)
        if mask.any():
            yield number, mask


def _looked_up(
    marked: npt.NDArray[np.bool_], to_labels: Matrix, index: Place, full: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """``(rows, columns)``: what stands in a painted array at the centre of each of the image's pixels."""
    shape = shape_at(full, index)
    mask = np.zeros(shape, dtype=bool)
    columns = np.arange(shape[1])
    for top in range(0, shape[0], _ROWS):
        rows = np.arange(top, min(top + _ROWS, shape[0]))[:, None]
        inside = np.ones((len(rows), len(columns)), dtype=bool)
        voxels = voxels_at(full, index, rows, columns)
        at = []
        for axis, length in enumerate(marked.shape):
            row = to_labels[axis]
            there = row[-1] + sum(row[a] * np.asarray(v, dtype=float) for a, v in enumerate(voxels))
            # rounded half up, so that neighbours neither share a pixel nor leave one out
            here = np.floor(np.round(np.broadcast_to(there, inside.shape), 6) + 0.5).astype(np.int64)
            inside &= (here >= 0) & (here < length)
            at.append(np.clip(here, 0, length - 1))
        mask[rows[:, 0]] = marked[tuple(at)] & inside
    return mask
