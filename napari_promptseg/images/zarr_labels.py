"""Labels as OME-Zarr: a multiscale pyramid with colours and names, whole or written block by block."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.zarr_label_metadata import Version, describe, levels_of_image, ome_of, own_levels
from napari_promptseg.images.zarr_pyramid import fill_level
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.images.writers import Legend

#: Attribute of ours: the legend, and for a volume in the patient its exact affine.
OWN = "napari-promptseg"

#: Side of a chunk in a plane.
CHUNK = 1024


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
    names = [str(entry["path"]) for entry in ome_of(group)["multiscales"][0]["datasets"]]
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
        axes, levels = own_levels(shape, source)
        common: list[dict[str, Any]] = []
    else:
        written, axes, levels, common = levels_of_image(image, shape)
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
        describe(group, written, axes, levels, prompts, inside=image is not None, common=common)
        if image is None and source is not None and source.geometry is not None:
            group.attrs[OWN] = {"index_to_lps_mm": source.geometry.affine.tolist()}
    return group["0"]


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
