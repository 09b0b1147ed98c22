"""Which files are large, what tells them apart, and how a part of one is read."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.normalisation import Limits
from napari_promptseg.images.readers import folder_format, read_image, stem
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind
from napari_promptseg.large.blocks import Block, BlockPlan

#: Names of folders in an OME-Zarr image that hold no pixels of its own.
_NOT_PIXELS = ("labels", "tables")


@dataclass(frozen=True)
class Picture:
    """A large picture as every worker must see it.

    Parameters
    ----------
    path : str
        Each worker opens it by itself and reads the blocks it works on.
    kind : ModalityKind
    limits : Limits
        Measured once for the whole picture, so that the same value is the same grey in every block.
    plan : BlockPlan
    """

    path: str
    kind: ModalityKind
    limits: Limits
    plan: BlockPlan


def longest_side(path: Path) -> int:
    """Pixels along the longer side of a plane, found without reading pixels; 0 where only reading would tell."""
    name = path.name.lower()
    try:
        if folder_format(path) == "zarr":
            return max(read_image(path).plane_shape)
        if path.is_dir():
            return 0
        if name.endswith((".tif", ".tiff")):
            return _of_tiff(path)
        if name.endswith(".npy"):
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            return max(ImageStack.from_array(np.broadcast_to(np.uint8(0), shape)).plane_shape)
        return _of_picture(path)
    except Exception:
        # whatever is wrong with the file, the one who reads it in earnest says so
        return 0


def _of_tiff(path: Path) -> int:
    import tifffile

    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        sides = [n for n, axis in zip(series.shape, series.axes, strict=True) if axis in "YX"]
        return max(sides, default=0)


def _of_picture(path: Path) -> int:
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            return max(image.size)


def identity(path: Path) -> dict[str, Any]:
    """What tells a picture from another, or from itself after a change: its name, size and time.

    Of a folder (Zarr) all files count but those of its labels, and the metadata by what they say.
    """
    if not path.is_dir():
        status = path.stat()
        return {"name": path.name, "bytes": status.st_size, "changed": status.st_mtime_ns}
    digest = hashlib.blake2b(digest_size=16)
    n_files, n_bytes, changed = 0, 0, 0
    for folder, inside, files in os.walk(path):
        if Path(folder) == path:
            inside[:] = [name for name in inside if name not in _NOT_PIXELS]
        inside.sort()
        for name in sorted(files):
            file = Path(folder) / name
            status = file.stat()
            if name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
                digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
                continue
            n_files, n_bytes, changed = n_files + 1, n_bytes + status.st_size, max(changed, status.st_mtime_ns)
    facts = {"name": path.name, "files": n_files, "bytes": n_bytes, "changed": changed}
    return {**facts, "metadata": digest.hexdigest()}


def open_picture(path: Path, kind: ModalityKind) -> ImageStack:
    """The picture, its first modality alone; nothing is read yet of what can stay on the disk.

    Raises
    ------
    InputError
        As `read_image`.
    """
    stack = read_image(path, kind=kind)
    return replace(stack, modalities=tuple(stack.modalities[:1]))


def block_stack(stack: ImageStack, picture: Picture, block: Block) -> ImageStack:
    """The pixels of a block with its context as a picture of their own, read at once.

    Read once and whole, a stored chunk is decompressed once per block and not once per tile.

    Parameters
    ----------
    stack : ImageStack
        The whole picture.
    picture : Picture
    block : Block
    """
    view = stack.modalities[0]
    at: tuple[Any, ...] = (block.outer_rows, block.outer_columns)
    if len(stack.grid) == 3:
        at = (block.plane, *at)
    pixels = read_now(view.pixels[at], picture.path)
    part = Modality(view.name, pixels, view.channels, view.kind, picture.limits)
    return ImageStack((part,), tuple(stack.spacing[-2:]), stack.units, ("y", "x"), stack.source)


def read_now(pixels: Any, path: str) -> npt.NDArray[Any]:
    """The values of an array, lazy or not.

    Raises
    ------
    InputError
        If the file cannot be read there, for example because a chunk is damaged.
    """
    try:
        if hasattr(pixels, "compute"):
            # not by a scheduler that happens to be there: a task on a cluster must not start others
            pixels = pixels.compute(scheduler="synchronous")
        return np.ascontiguousarray(pixels)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever a broken chunk makes them stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{Path(path).name!r} cannot be read, a part of it may be damaged ({reason}).") from error


def name_of(path: Path) -> str:
    """What a picture is called in messages."""
    return stem(path)
