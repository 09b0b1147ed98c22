"""Which files are large, what tells them apart, and how a part of one is read."""

from __future__ import annotations

import glob
import hashlib
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.modality_files import MAIN, Partner, with_partners
from napari_promptseg.images.normalisation import Limits
from napari_promptseg.images.readers import folder_format, read_image
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.large.blocks import Block, BlockPlan

if TYPE_CHECKING:
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.segmentation.settings import SegmentationSettings

#: Names of folders in an OME-Zarr image that hold no pixels of its own.
_NOT_PIXELS = ("labels", "tables")

#: Endings of headers whose values lie in a file of their own, of the same name with another ending.
_HEADERS = (".hdr", ".img", ".mhd", ".nhdr")


@dataclass(frozen=True)
class Picture:
    """A large picture as every worker must see it.

    Parameters
    ----------
    path : str
        Each worker opens it by itself and reads the blocks it works on.
    kind : ModalityKind
    limits : tuple of Limits or None
        Of each modality, measured once for the whole picture, so that the same value is the same grey in every block;
        None for one that is absent.
    plan : BlockPlan
    modalities : tuple of Partner
        Files that show the same scene otherwise.
    main : str
        What the picture's own modality is called beside them.
    """

    path: str
    kind: ModalityKind
    limits: tuple[Limits | None, ...]
    plan: BlockPlan
    modalities: tuple[Partner, ...] = ()
    main: str = MAIN

    @classmethod
    def of(cls, job: Job, kind: ModalityKind, settings: SegmentationSettings, side: int) -> tuple[Picture, ImageStack]:
        """The picture of a job, measured, and opened.

        Parameters
        ----------
        job : Job
        kind : ModalityKind
        settings : SegmentationSettings
            Give the tiles.
        side : int
            Of a block, see `BlockPlan.fitting`.
        """
        partners = tuple(replace(p, file=p.file and p.file.resolve()) for p in job.modalities)
        stack = _opened(job.image, kind, partners, job.main)
        limits = tuple(None if m.is_absent else stack.limits(i) for i, m in enumerate(stack.modalities))
        plan = BlockPlan.fitting(stack.grid, settings, side)
        return cls(str(job.image.resolve()), kind, limits, plan, partners, job.main), stack

    @property
    def files(self) -> tuple[Path, ...]:
        """All that is read for it."""
        return (Path(self.path), *(p.file for p in self.modalities if p.file is not None))

    def open(self) -> ImageStack:
        """The picture; nothing is read yet of what can stay on the disk.

        Raises
        ------
        InputError
            As `read_image`, or if the file is not there.
        """
        for path in self.files:
            if not path.exists():
                raise InputError(
                    f"A worker does not see {path.name!r}: the folder must have the same path on all machines."
                )
        return _opened(Path(self.path), self.kind, self.modalities, self.main)


def extent(path: Path) -> tuple[int, int]:
    """How large a picture is, found without reading pixels.

    Returns
    -------
    side : int
        Pixels along the longer side of a plane; 0 where only reading would tell.
    labels : int
        Pixels of all planes.
    """
    try:
        grid = _grid(path)
    except Exception:
        # whatever is wrong with the file, the one who reads it in earnest says so
        return 0, 0
    return max(grid[-2:], default=0), math.prod(grid) if grid else 0


def _grid(path: Path) -> tuple[int, ...]:
    """``([planes,] Y, X)``; empty for what is always read whole."""
    name = path.name.lower()
    if folder_format(path) == "zarr":
        return read_image(path).grid
    if path.is_dir():
        return ()
    if name.endswith((".tif", ".tiff")):
        import tifffile

        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            size = dict(zip(series.axes, series.shape, strict=True))
            planes = math.prod(n for axis, n in size.items() if axis not in "YXCS")
            return planes, size["Y"], size["X"]
    if name.endswith(".npy"):
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return ImageStack.from_array(np.broadcast_to(np.uint8(0), shape)).grid
    return _of_picture(path)


def _of_picture(path: Path) -> tuple[int, ...]:
    import warnings

    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever reads it in earnest says what is wrong
        with Image.open(path) as image:
            return image.size[1], image.size[0]


def identity(path: Path) -> dict[str, Any]:
    """What tells a picture from another, or from itself after a change: its name, size and time.

    Of a folder (Zarr) all files count but those of its labels, and the metadata by what they say; of a header its
    file of values too. A file that is not there has a name alone: who reads it says so.
    """
    if not path.exists():
        return {"name": path.name}
    if not path.is_dir():
        status = path.stat()
        facts = {"name": path.name, "bytes": status.st_size, "changed": status.st_mtime_ns}
        if path.suffix.lower() in _HEADERS:
            beside = sorted(p for p in path.parent.glob(f"{glob.escape(path.stem)}.*") if p != path)
            facts["beside"] = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in beside]
        return facts
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


def _opened(path: Path, kind: ModalityKind, partners: tuple[Partner, ...], main: str) -> ImageStack:
    stack = read_image(path, kind=kind)
    return with_partners(stack, path, partners, name=main) if partners else stack


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
    at: tuple[Any, ...] = (block.outer_rows, block.outer_columns)
    if len(stack.grid) == 3:
        at = (block.plane, *at)
    parts = [
        replace(m, pixels=m.pixels if m.is_absent else read_now(m.pixels[at], picture.path), limits=limits, levels=())
        for m, limits in zip(stack.modalities, picture.limits, strict=True)
    ]
    return ImageStack(parts, tuple(stack.spacing[-2:]), stack.units, ("y", "x"), stack.source)


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
