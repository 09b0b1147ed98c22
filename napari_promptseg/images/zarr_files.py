"""OME-Zarr images (0.4 on Zarr 2, 0.5 on Zarr 3) and plain Zarr arrays, left on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.lazy_arrays import CHANNELS, lazy, sorted_axes
from napari_promptseg.images.readers import stem
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

#: Lengths in metres, and the short names that stacks have.
_UNITS = {
    "nanometer": ("nm", 1e-9),
    "micrometer": ("um", 1e-6),
    "millimeter": ("mm", 1e-3),
    "centimeter": ("cm", 1e-2),
    "meter": ("m", 1.0),
}

#: How an axis may run in the patient, and the row and sign of LPS that it is.
_ORIENTATIONS = {
    "right-to-left": (0, 1.0),
    "left-to-right": (0, -1.0),
    "anterior-to-posterior": (1, 1.0),
    "posterior-to-anterior": (1, -1.0),
    "inferior-to-superior": (2, 1.0),
    "superior-to-inferior": (2, -1.0),
}

#: Attribute in which this program keeps a volume's exact affine.
_OWN = "napari-promptseg"


@dataclass(frozen=True)
class _Pyramid:
    """One multiscale image: its arrays, finest first, and what its metadata say of the finest's grid."""

    arrays: list[Any]
    paths: list[str]
    axes: list[str]
    units: list[str]
    scales: list[list[float]]
    translation: list[float]
    orientations: list[str]
    version: str


def read_zarr(path: Path) -> ImageStack:
    """Read an OME-Zarr image, a plain Zarr array, or a group that holds one array.

    Parameters
    ----------
    path : pathlib.Path
        The folder of the group or array.

    Returns
    -------
    ImageStack
        Of the finest level, as dask arrays: nothing but metadata is read. The coarser levels are those of each
        modality. Channels stay together, of kind ``"rgb"`` where there are three of 8 bits that are not called
        otherwise, else ``"fluorescence"``; but channels whose names tell of different sensors (see `guess_kind`)
        are modalities of their own. Time and other axes become planes. A volume whose axes are said to run along
        the patient's is turned upright. ``metadata`` has ``levels`` (path, shape, scale), ``channels`` (name,
        colour, window), the axes, and for what is no volume in the patient ``origin``, the first pixel's place.

    Raises
    ------
    InputError
        If it is a plate, holds no array or several, or its metadata contradict each other.
    """
    import zarr

    node = zarr.open(str(path), mode="r")
    attributes = dict(node.attrs)
    ome: Mapping[str, Any] = attributes.get("ome", attributes)
    notes: list[str] = []
    if isinstance(node, zarr.Group) and "multiscales" not in ome:
        node, ome = _within(node, ome, notes)
        attributes = dict(node.attrs)
    if isinstance(node, zarr.Array):
        return _plain(path, node, notes)
    pyramid = _pyramid(node, ome)
    levels = [lazy(array, pyramid.axes, path.name) for array in pyramid.arrays]
    geometry = _geometry(pyramid, attributes.get(_OWN, {}).get("index_to_lps_mm"))
    steps = dict(zip(pyramid.axes, pyramid.scales[0], strict=True))
    _, planes = sorted_axes(levels[0], pyramid.axes)
    if geometry is not None:  # a volume of one slice has planes too
        planes = ("z",)
    levels = [_upright(sorted_axes(level, pyramid.axes, planes)[0], geometry) for level in levels]
    spacing, units = _lengths(pyramid, planes, steps, 1.0)
    origin, _ = _lengths(pyramid, planes, dict(zip(pyramid.axes, pyramid.translation, strict=True)), 0.0)
    channels = _channels(ome, _number_of_channels(pyramid))
    metadata: dict[str, Any] = {
        "format": "ome-zarr",
        "axes": "".join(pyramid.axes).upper(),
        "zarr": {"version": pyramid.version, "axes": pyramid.axes, "scale": pyramid.scales[0]},
        "levels": [
            {"path": name, "shape": list(array.shape), "scale": scale}
            for name, array, scale in zip(pyramid.paths, pyramid.arrays, pyramid.scales, strict=True)
        ],
    }
    if geometry is None and any(origin):
        metadata["origin"] = list(origin)
    if channels:
        metadata["channels"] = channels
    if notes:
        metadata["notes"] = notes
    return ImageStack(
        _modalities(stem(path), levels, channels, _number_of_channels(pyramid)),
        spacing if geometry is None else geometry.spacing,
        units if geometry is None else "mm",
        (*((planes[0] if len(planes) == 1 else "plane",) if planes else ()), "y", "x"),
        path.name,
        metadata,
        geometry,
    )


def _within(group: Any, ome: Mapping[str, Any], notes: list[str]) -> tuple[Any, Mapping[str, Any]]:
    """The image in a group that is none itself."""
    import zarr

    if "plate" in ome or "well" in ome:
        raise InputError("it is a plate of many images: name the folder of one, such as x.zarr/A/1/0.")
    members = {str(name): member for name, member in group.members()}
    arrays = [name for name, member in members.items() if isinstance(member, zarr.Array)]
    images = [name for name, member in members.items() if "multiscales" in _ome(member)]
    if len(images) > 1 and "bioformats2raw.layout" in ome:  # a file of several series
        notes.append(f"It holds {len(images)} images; the first is shown.")
        images = sorted(images, key=lambda name: (len(name), name))[:1]
    for found, kind in ((images, "images"), (arrays, "arrays")):
        if len(found) == 1:
            return members[found[0]], _ome(members[found[0]])
        if found:
            raise InputError(f"it holds several {kind} ({', '.join(sorted(found))}): name the folder of one.")
    raise InputError("it holds no image and no array.")


def _ome(node: Any) -> Mapping[str, Any]:
    attributes = dict(node.attrs)
    found: Mapping[str, Any] = attributes.get("ome", attributes)
    return found


def _pyramid(group: Any, ome: Mapping[str, Any]) -> _Pyramid:
    scales: Mapping[str, Any] = next(iter(ome["multiscales"]), {})
    datasets = scales.get("datasets") or []
    if not datasets:
        raise InputError("its multiscales metadata name no array.")
    missing = [str(entry["path"]) for entry in datasets if str(entry["path"]) not in group]
    if missing:
        raise InputError(f"its array {missing[0]!r} is missing.")
    arrays = [group[str(entry["path"])] for entry in datasets]
    ndim = arrays[0].ndim
    axes = scales.get("axes", ["t", "c", "z", "y", "x"])
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    # up to version 0.3 the last ones of these five
    axes = axes if "axes" in scales else axes[-ndim:]
    if len(axes) != ndim:
        raise InputError(f"its metadata name {len(axes)} axes but its first array has {ndim}.")
    common, shift = _transform(scales.get("coordinateTransformations"), ndim)
    transforms = [_transform(entry.get("coordinateTransformations"), ndim) for entry in datasets]
    return _Pyramid(
        arrays,
        [str(entry["path"]) for entry in datasets],
        [_axis_name(axis) for axis in axes],
        [str(axis.get("unit", "")) for axis in axes],
        [[s * c for s, c in zip(scale, common, strict=True)] for scale, _ in transforms],
        [t * c + s for t, c, s in zip(transforms[0][1], common, shift, strict=True)],
        [str((axis.get("orientation") or {}).get("value", "")) for axis in axes],
        str(scales.get("version", ome.get("version", ""))),
    )


def _axis_name(axis: Mapping[str, Any]) -> str:
    kind = {"channel": "c", "time": "t"}.get(str(axis.get("type", "")))
    return kind or str(axis["name"]).lower()


def _transform(transformations: Sequence[Mapping[str, Any]] | None, ndim: int) -> tuple[list[float], list[float]]:
    """Scale and translation along every axis."""
    scale, translation = [1.0] * ndim, [0.0] * ndim
    for step in transformations or ():
        if isinstance(step.get("scale"), list):
            scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
            translation = [a * float(b) for a, b in zip(translation, step["scale"], strict=True)]
        elif isinstance(step.get("translation"), list):
            translation = [a + float(b) for a, b in zip(translation, step["translation"], strict=True)]
    return [abs(s) if s else 1.0 for s in scale], translation


def _geometry(pyramid: _Pyramid, exact: Any) -> Geometry | None:
    """Where a volume lies in the patient, where its metadata say so and nothing else than space is long."""
    space = [i for i, axis in enumerate(pyramid.axes) if axis in ("z", "y", "x")]
    others = [n for i, n in enumerate(pyramid.arrays[0].shape) if i not in space and pyramid.axes[i] not in CHANNELS]
    if len(space) != 3 or any(n > 1 for n in others):
        return None
    # the geometry's "file" is the array read backwards, x first
    shape = tuple(int(pyramid.arrays[0].shape[i]) for i in reversed(space))
    if exact is not None:
        matrix = np.asarray(exact, float)
        if matrix.shape == (4, 4) and [pyramid.axes[i] for i in space] == ["z", "y", "x"]:
            return Geometry.of_file(shape, matrix[:, [2, 1, 0, 3]])
    found = [_ORIENTATIONS.get(pyramid.orientations[i]) for i in reversed(space)]
    factors = [_UNITS.get(pyramid.units[i], ("", 1e-3))[1] / 1e-3 for i in reversed(space)]
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for column, (axis, place, factor) in enumerate(zip(reversed(space), found, factors, strict=True)):
        if place is None:
            return None
        row, sign = place
        affine[row, column] = sign * pyramid.scales[0][axis] * factor
        affine[row, 3] = sign * pyramid.translation[axis] * factor
    return Geometry.of_file(shape, affine) if np.linalg.matrix_rank(affine) == 4 else None


def _upright(pixels: Any, geometry: Geometry | None) -> Any:
    """Turn a level's sorted pixels ``([z,] y, x[, c])`` as the geometry turns the finest."""
    if geometry is None:
        return pixels
    return geometry.to_stack(pixels.transpose((2, 1, 0, *range(3, pixels.ndim))))


def _number_of_channels(pyramid: _Pyramid) -> int:
    sizes = [n for axis, n in zip(pyramid.axes, pyramid.arrays[0].shape, strict=True) if axis in CHANNELS]
    return int(np.prod(sizes, dtype=int))


def _channels(ome: Mapping[str, Any], n: int) -> list[dict[str, Any]]:
    """Name, colour and window of each channel, as far as they are told."""
    told = (ome.get("omero") or {}).get("channels") or []
    if len(told) != n:
        return []
    found = []
    for i, channel in enumerate(told):
        entry: dict[str, Any] = {"name": str(channel.get("label") or f"channel {i + 1}")}
        if channel.get("color"):
            entry["colour"] = "#" + str(channel["color"]).lstrip("#").lower()
        window = channel.get("window") or {}
        if {"start", "end"} <= set(window) and float(window["start"]) < float(window["end"]):
            entry["window"] = [float(window["start"]), float(window["end"])]
        found.append(entry)
    return found


def _modalities(name: str, levels: list[Any], channels: list[dict[str, Any]], n: int) -> tuple[Modality, ...]:
    from napari_promptseg.images.modality_folders import guess_kind

    if n == 1:
        return (Modality(name, levels[0], levels=tuple(levels[1:])),)
    kinds = [guess_kind(channel["name"]) for channel in channels]
    if any(kind not in ("auto", "fluorescence", "rgb") for kind in kinds):
        return tuple(
            Modality(channel["name"], levels[0][..., i], False, kind, levels=tuple(p[..., i] for p in levels[1:]))
            for i, (channel, kind) in enumerate(zip(channels, kinds, strict=True))
        )
    kind: ModalityKind = "rgb" if _is_photograph(levels[0], channels) else "fluorescence"
    return (Modality(name, levels[0], True, kind, levels=tuple(levels[1:])),)


def _is_photograph(pixels: Any, channels: list[dict[str, Any]]) -> bool:
    if pixels.shape[-1] not in (3, 4) or pixels.dtype != np.uint8:
        return False
    names = "".join(channel["name"][:1].lower() for channel in channels)
    colours = [channel.get("colour", "") for channel in channels]
    return not channels or names[:3] == "rgb" or colours[:3] == ["#ff0000", "#00ff00", "#0000ff"]


def _lengths(
    pyramid: _Pyramid, planes: tuple[str, ...], told: Mapping[str, float], usual: float
) -> tuple[tuple[float, ...], str]:
    """What is told of the sorted axes, all in the unit of the columns, and that unit."""
    units = dict(zip(pyramid.axes, pyramid.units, strict=True))
    name, metres = _UNITS.get(units["x"], (units["x"] or "pixel", 0.0))
    single = planes[0] if len(planes) == 1 else ""
    found = []
    for axis in ((single,) if planes else ()) + ("y", "x"):
        own = _UNITS.get(units.get(axis, ""))
        found.append(told.get(axis, usual) * (own[1] / metres if own is not None and metres else 1.0))
    return tuple(found), name


def _plain(path: Path, array: Any, notes: list[str]) -> ImageStack:
    """An array without OME's metadata; names of its axes count where they are told."""
    if array.ndim < 2:
        raise InputError(f"its array has shape {array.shape}; rows and columns are needed.")
    if array.dtype.kind not in "buif":
        raise InputError(f"its array holds {array.dtype} values; integers or real numbers are needed.")
    named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS")
    axes = [str(a).lower() for a in named or ()]
    if axes.count("y") != 1 or axes.count("x") != 1:
        is_colour = array.ndim > 2 and array.shape[-1] in (3, 4) and min(array.shape[-3:-1]) > 4
        ends = ["y", "x", "c"] if is_colour else ["y", "x"]
        front = array.ndim - len(ends)
        axes = [*(["z"] if front == 1 else [f"axis {i}" for i in range(front)]), *ends]
    pixels, planes = sorted_axes(lazy(array, axes, path.name), axes)
    n = int(np.prod([size for axis, size in zip(axes, array.shape, strict=True) if axis in CHANNELS], dtype=int))
    names = (*((planes[0] if len(planes) == 1 else "plane",) if planes else ()), "y", "x")
    metadata: dict[str, Any] = {"format": "zarr", "axes": "".join(a[0] for a in axes).upper()}
    if notes:
        metadata["notes"] = notes
    modality = Modality(
        stem(path), pixels, n > 1, "fluorescence" if n > 1 and not _is_photograph(pixels, []) else "auto"
    )
    return ImageStack((modality,), axis_names=names, source=path.name, metadata=metadata)
