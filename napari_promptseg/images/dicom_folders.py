"""Which DICOM images lie in a folder, below it, or in what a DICOMDIR names; everything else is told, not read."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_headers import ImageHeader, NoImageError, read_header
from napari_promptseg.images.dicom_values import pydicom_module, quiet
from napari_promptseg.progress import Progress, silent

#: First bytes of files without the standard's preamble: group 2 or 8, little or big endian.
_BARE = (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00", b"\x02\x00\x00\x00", b"\x00\x08\x00")

#: What pydicom calls the kinds of masks.
_SEGMENTATIONS = {"Segmentation", "Label Map Segmentation"}
_SEGMENTATION_HINT = "it is a mask: open it in napari, or give it where labels are asked for."


@dataclass(frozen=True)
class Found:
    """What was found where the user pointed to.

    Parameters
    ----------
    headers : tuple of ImageHeader
        Every DICOM image, in order of path.
    notes : tuple of str
        What was left out, a sentence each.
    """

    headers: tuple[ImageHeader, ...]
    notes: tuple[str, ...]


def is_dicom(path: str | os.PathLike[str]) -> bool:
    """Whether a file is DICOM, by its first bytes; its name does not matter."""
    try:
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (start.startswith(_BARE) and len(start) == 132)


def find_images(path: str | os.PathLike[str], progress: Progress = silent) -> Found:
    """Read the headers of all DICOM images that a path stands for.

    Parameters
    ----------
    path : str or path-like
        A file, a DICOMDIR, or a folder, which is searched to its depth.
    progress : Progress
        Told of each file.

    Raises
    ------
    InputError
        If there is nothing there, no DICOM, no image among it, or pydicom is not installed.
    """
    pydicom_module()
    start = Path(path)
    name = start.name or str(start)
    if not start.exists():
        raise InputError(f"There is no file or folder {str(path)!r}: check the path.")
    notes: list[str] = []
    if start.is_dir():
        files = [file for file in _files_below(start) if is_dicom(file)]
        if not files:
            raise InputError(f"{name!r} holds no DICOM file, nor does a folder in it: name the folder of the images.")
    elif not is_dicom(start):
        raise InputError(f"{name!r} is no DICOM file: it may be damaged or of another type.")
    else:
        named = _named_by(start)
        files = [start] if named is None else [file for file in named if file.is_file()]
        if named is not None and len(files) < len(named):
            if not files:
                raise InputError(f"{name!r} names {len(named)} files, and none is beside it: copy the whole disc.")
            notes.append(
                f"The directory file names {len(named)} files, {len(named) - len(files)} of which are missing."
            )
    headers, others, broken = _read_all(files, progress)
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
        notes.append(f"Left out, as they cannot be shown as images: {kinds}.")
    if broken:
        notes.append(f"{broken} {'file' if broken == 1 else 'files'} could not be read and may be damaged.")
    if not headers:
        what = (
            f"nothing that can be shown as an image ({next(iter(others))})"
            if len(files) == 1 and others
            else "no image"
        )
        raise InputError(
            f"{name!r} is DICOM but holds {what}{': it may be damaged' if not others else ''}; "
            f"{_SEGMENTATION_HINT if set(others) <= _SEGMENTATIONS and others else 'name the folder of the images.'}"
        )
    return Found(tuple(headers), tuple(notes))


def first_header(path: str | os.PathLike[str]) -> ImageHeader | None:
    """Header of the first image that a file or folder holds, the only one that is read; None where there is none.

    Files that cannot be read, and a pydicom that is not installed, are for the reading itself to complain about.
    """
    start = Path(path)
    for file in _files_below(start) if start.is_dir() else (start,):
        if is_dicom(file):
            with contextlib.suppress(Exception):  # as read_header says, anything; and what is no image
                return read_header(file)
    return None


def _read_all(files: list[Path], progress: Progress) -> tuple[list[ImageHeader], Counter[str], int]:
    headers, others, broken = [], Counter[str](), 0
    for done, file in enumerate(files):
        progress(done, len(files), "Reading DICOM headers")
        try:
            headers.append(read_header(file))
        except NoImageError as reason:
            others[str(reason)] += 1
        # a broken file makes pydicom raise anything; the others of the folder are still good, and a note tells
        except Exception:
            broken += 1
    return headers, others, broken


def _files_below(folder: Path) -> Iterator[Path]:
    """All files in order of path; hidden ones, and what a DICOMDIR says of the rest, do not count."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.upper() != "DICOMDIR":
                yield Path(root, name)


def _named_by(path: Path) -> list[Path] | None:
    """The files that a DICOMDIR names, or None for any other file."""
    pydicom = pydicom_module()
    try:
        with quiet():
            data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["DirectoryRecordSequence"])
            records = data.get("DirectoryRecordSequence")
            if records is None:
                return None
            names = [record.get("ReferencedFileID") for record in records]
    # what makes pydicom stumble here is reported when the file's header is read
    except Exception:
        return None
    files = []
    for name in names:
        parts = [name] if isinstance(name, str) else list(name or ())
        # a name that climbs out of the disc's folder is not followed
        if parts and not any(part in ("..", "") or os.path.isabs(part) for part in parts):
            file = path.parent.joinpath(*parts)
            lower = path.parent.joinpath(*(part.lower() for part in parts))
            files.append(lower if not file.exists() and lower.exists() else file)
    return list(dict.fromkeys(files))
