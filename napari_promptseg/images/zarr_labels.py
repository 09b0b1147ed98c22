"""Labels as OME-Zarr: a multiscale pyramid with colours and names, whole or written block by block."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.zarr_pyramid import fill_level, level_factors
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.images.writers import Legend

#: Versions of OME-Zarr that are written: 0.4 rests on Zarr 2, 0.5 on Zarr 3.
Version = Literal["0.4", "0.5"]

#: Attribute of ours: the legend, and for a volume in the patient its exact affine.
OWN = "napari-promptseg"

#: Side of a chunk in a plane.
CHUNK = 1024

_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter"}

#: How the axes of an upright volume run (`Geometry`), as the specification's proposal on orientation names it.
_ORIENTATION = {"z": "inferior-to-superior", "y": "anterior-to-posterior", "x": "right-to-left"}


def is_zarr_name(path: str | os.PathLike[str]) -> bool:
    """Whether labels of that name are written as OME-Zarr: ``x.zarr``, ``x.ome.zarr`` or in an image's labels."""
    return Path(path).name.lower().endswith(".zarr") or image_of(path) is not None


def image_of(path: str | os.PathLike[str]) -> Path | None:
    """The OME-Zarr image that labels at ``image.zarr/labels/name`` belong to; None for labels of their own."""
    place = Path(path)
    image = place.parent.parent
    inside = place.parent.name == "labels" and any((image / f).exists() for f in ("zarr.json", ".zgroup"))
    return image if inside else None


def create_labels(
    path: str | os.PathLike[str],
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    source: ImageStack | None,
    prompts: Legend,
    chunks: tuple[int, ...] | None = None,
    *,
    version: Version | None = None,
    overwrite: bool = False,
) -> Any:
    """Make the empty labels and their metadata; blocks are then written into the array that comes back.

    Nothing of the size of the labels is held: empty chunks take no place on the disk. When all blocks are written,
    `finish_pyramid` fills the smaller levels and `put_legend` says what made them.

    Parameters
    ----------
    path : str or path-like
        ``name.zarr``, or ``image.zarr/labels/name`` to lie inside an OME-Zarr image; then levels, places, units and
        version are that image's.
    shape : tuple of int
        ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``.
    dtype : dtype-like
        Unsigned integers.
    source : ImageStack, optional
        Gives spacing, units, and a volume's place in the patient.
    prompts : PromptSet
        Names and colours.
    chunks : tuple of int, optional
        Of the first level; planes of 1024 x 1024 where not given. Writers that work at the same time must each
        write whole chunks.
    version : {"0.4", "0.5"}, optional
        Of labels of their own; 0.5 where not given.
    overwrite : bool
        Replace what is at `path`.

    Returns
    -------
    zarr.Array
        The first level, all background.

    Raises
    ------
    InputError
        If the shape is not that of the image the labels are to lie in.
    OutputError
        If something is at `path` and may not be replaced, or the disk refuses.
    """
    place = Path(path)
    if place.exists() and not overwrite:
        raise OutputError(f"{str(place)!r} exists already: choose another name or allow overwriting.")
    image = image_of(place)
    array = _make(place, image, shape, dtype, source, prompts, chunks, version)
    if image is not None:
        with _disk(place):
            _enlist(image, place.name)
    return array


def open_labels(path: str | os.PathLike[str]) -> Any:
    """The first level of labels made by `create_labels`, for further blocks, in this process or another.

    Raises
    ------
    InputError
        If there are none.
    """
    import zarr

    try:
        return zarr.open_group(Path(path), mode="r+")["0"]
    except (FileNotFoundError, KeyError) as error:
        raise InputError(f"There are no OME-Zarr labels at {str(path)!r}: start anew.") from error


def finish_pyramid(path: str | os.PathLike[str], progress: Progress = silent) -> None:
    """Fill the smaller levels from the first, block by block; doing it twice does no harm.

    Raises
    ------
    InputError
        If there are no labels at `path`.
    OutputError
        If the disk refuses.
    """
    import zarr

    first = open_labels(path)
    group = zarr.open_group(Path(path), mode="r+")
    names = [str(entry["path"]) for entry in _ome(group)["multiscales"][0]["datasets"]]
    with _disk(Path(path)):
        above = first
        for number, name in enumerate(names[1:], start=1):
            below = group[name]
            fill_level(below, above, progress=progress, name=f"level {number + 1} of {len(names)}")
            above = below


def put_legend(path: str | os.PathLike[str], legend: Mapping[str, Any]) -> None:
    """Keep the legend (plain JSON: classes and provenance) in the labels' own attributes."""
    import zarr

    with _disk(Path(path)):
        group = zarr.open_group(Path(path), mode="r+")
        group.attrs[OWN] = {**dict(group.attrs.get(OWN, {})), **legend}


def write_zarr_labels(
    path: Path,
    labels: npt.NDArray[Any],
    source: ImageStack | None,
    prompts: Legend,
    legend: Mapping[str, Any],
    *,
    version: Version | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels that are in memory, with all levels; they appear whole or not at all.

    Parameters are those of `create_labels`; `labels` of an upright volume, inside an image whose own axes run
    otherwise, are turned as the image is.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{str(path)!r} exists already: choose another name or allow overwriting.")
    if image_of(path) is not None and source is not None and source.geometry is not None:
        labels = source.geometry.to_file(labels).transpose()
    image = image_of(path)
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    old = path.with_name(f".{path.name[:200]}.{os.getpid()}.old")
    try:
        with _disk(path):
            array = _make(part, image, labels.shape, labels.dtype, source, prompts, None, version)
            array[...] = labels
            finish_pyramid(part)
            put_legend(part, legend)
            if path.exists():
                path.rename(old)
            part.rename(path)
            if image is not None:
                _enlist(image, path.name)
    except OutputError as error:
        raise OutputError(str(error).replace(part.name, path.name)) from error
    finally:
        with contextlib.suppress(OSError):  # the disk is gone
            if old.exists() and not path.exists():
                old.rename(path)
            _remove(part)
            _remove(old)


def _make(
    place: Path,
    image: Path | None,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    source: ImageStack | None,
    prompts: Legend,
    chunks: tuple[int, ...] | None,
    version: Version | None,
) -> Any:
    """The empty levels with their metadata; what is at `place` goes."""
    import zarr

    if image is None:
        written: Version = version or "0.5"
        axes, levels = _own_levels(shape, source)
    else:
        written, axes, levels = _levels_of_image(image, shape)
    names = [str(axis["name"]) for axis in axes]
    side = chunks or (*[1] * (len(shape) - 2), CHUNK, CHUNK)
    with _disk(place):
        _remove(place)
        group = zarr.open_group(place, mode="w", zarr_format=2 if written == "0.4" else 3)
        for number, (size, _) in enumerate(levels):
            group.create_array(
                str(number),
                shape=size,
                dtype=np.dtype(dtype),
                chunks=tuple(max(1, min(c, n)) for c, n in zip(side, size, strict=True)),
                fill_value=0,
                dimension_names=names if written == "0.5" else None,
                chunk_key_encoding={"name": "v2" if written == "0.4" else "default", "separator": "/"},
            )
        _describe(group, written, axes, levels, prompts, inside=image is not None)
        if image is None and source is not None and source.geometry is not None:
            group.attrs[OWN] = {"index_to_lps_mm": source.geometry.affine.tolist()}
    return group["0"]


#: Shape of a level and its transformations as the metadata has them.
Level = tuple[tuple[int, ...], list[dict[str, Any]]]


def _own_levels(shape: tuple[int, ...], source: ImageStack | None) -> tuple[list[dict[str, Any]], list[Level]]:
    """Axes and levels of labels that lie in no image."""
    names = ("t", "z", "y", "x")[-len(shape) :]
    if source is not None and len(shape) == len(source.axis_names) == 3 and source.axis_names[0] == "t":
        names = ("t", "y", "x")
    geometry = None if source is None else source.geometry
    unit = _UNITS.get("mm" if geometry is not None else "" if source is None else source.units)
    axes: list[dict[str, Any]] = []
    for name in names:
        axis: dict[str, Any] = {"name": name, "type": "time" if name == "t" else "space"}
        if name != "t" and unit is not None:
            axis["unit"] = unit
        if geometry is not None and name in _ORIENTATION:
            axis["orientation"] = {"type": "anatomical", "value": _ORIENTATION[name]}
        axes.append(axis)
    spacing = _last(() if source is None else source.spacing, len(shape), 1.0)
    origin = _last(() if geometry is None else geometry.origin, len(shape), 0.0)
    places = [s if name != "t" else 0.0 for s, name in zip(spacing, names, strict=True)]
    levels: list[Level] = []
    for factors in level_factors(shape, places):
        scale = [s * f for s, f in zip(spacing, factors, strict=True)]
        # a voxel that stands for several lies in their middle
        shift = [o + (f - 1) / 2 * s for o, f, s in zip(origin, factors, spacing, strict=True)]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            transforms.append({"type": "translation", "translation": shift})
        levels.append((tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)), transforms))
    return axes, levels


def _levels_of_image(image: Path, shape: tuple[int, ...]) -> tuple[Version, list[dict[str, Any]], list[Level]]:
    """Version, axes and levels of an image, as far as labels of that shape share them.

    The specification wants as many levels in labels as in their image.
    """
    import zarr

    group = zarr.open_group(image, mode="r", use_consolidated=False)
    version: Version = "0.4" if group.metadata.zarr_format == 2 else "0.5"
    ome = _ome(group)
    if not ome.get("multiscales"):
        raise InputError(f"{image.name!r} is no OME-Zarr image: labels cannot be put inside it.")
    scales = ome["multiscales"][0]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales["axes"]]
    arrays = [group[entry["path"]] for entry in scales["datasets"]]
    places = [i for i, axis in enumerate(axes) if axis.get("type", "space") == "space" and axis["name"] != "c"]
    moments = [i for i, axis in enumerate(axes) if axis.get("type") == "time" or axis["name"] == "t"]
    keep = sorted(places if len(shape) <= len(places) else places + moments)
    if len(shape) < len(keep):  # one plane of a stack of one
        keep = [i for i in keep if i >= len(axes) - 2 or arrays[0].shape[i] > 1]
    own = tuple(arrays[0].shape[i] for i in keep)
    if own != shape:
        raise InputError(
            f"Labels of shape {shape} do not lie on {image.name!r}, which has {own}: write them to a file of their own."
        )
    levels: list[Level] = []
    for entry, array in zip(scales["datasets"], arrays, strict=True):
        transforms = [
            {**t, t["type"]: [t[t["type"]][i] for i in keep]} if isinstance(t.get(t["type"]), list) else dict(t)
            for t in entry["coordinateTransformations"]
        ]
        levels.append((tuple(array.shape[i] for i in keep), transforms))
    return version, [axes[i] for i in keep], levels


def _describe(
    group: Any,
    version: Version,
    axes: list[dict[str, Any]],
    levels: list[Level],
    prompts: Legend,
    *,
    inside: bool,
) -> None:
    """Write the specification's metadata."""
    label: dict[str, Any] = {
        "colors": [{"label-value": c.value, "rgba": _rgba(c.colour)} for c in prompts.classes],
        "properties": [{"label-value": c.value, "name": c.name} for c in prompts.classes],
    }
    if inside:
        label["source"] = {"image": "../../"}
    scales: dict[str, Any] = {
        "name": "labels",
        "axes": axes,
        "datasets": [{"path": str(n), "coordinateTransformations": t} for n, (_, t) in enumerate(levels)],
        "type": "mode",
    }
    if version == "0.4":
        group.attrs.update({"multiscales": [{"version": version, **scales}]})
        group.attrs["image-label"] = {"version": version, **label}
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [scales], "image-label": label}


def _enlist(image: Path, name: str) -> None:
    """Name the labels in the image's list, without which viewers do not look for them."""
    import zarr

    root = zarr.open_group(image, mode="r+", use_consolidated=False)
    group = root.require_group("labels")
    if root.metadata.zarr_format == 2:
        group.attrs["labels"] = sorted({*group.attrs.get("labels", []), name})
    else:
        ome = dict(group.attrs.get("ome", {"version": "0.5"}))
        group.attrs["ome"] = {**ome, "labels": sorted({*ome.get("labels", []), name})}
    if zarr.open_group(image, mode="r").metadata.consolidated_metadata is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Zarr 3's files do not promise it; here it was there before
            zarr.consolidate_metadata(str(image))


def _ome(group: Any) -> dict[str, Any]:
    """The specification's metadata, wherever its version keeps them."""
    attributes = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def _last(values: Sequence[float], n: int, usual: float) -> list[float]:
    """The last `n` of the values; what is missing in front is the usual."""
    known = [float(v) for v in values][-n:]
    return [usual] * (n - len(known)) + known


def _rgba(colour: str) -> list[int]:
    return [*bytes.fromhex(colour.lstrip("#")), 255]


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk(place: Path) -> Iterator[None]:
    """Turn what the disk refuses into the sentence that a person reads."""
    from napari_promptseg.images.writers import output_error

    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise output_error(place, error) from error
