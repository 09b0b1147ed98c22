"""DICOM to upright volumes: a series of files, one multi-frame file, a cine, or a single picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_folders import find_images
from napari_promptseg.images.dicom_grid import grid_of, place_of
from napari_promptseg.images.dicom_headers import Frame
from napari_promptseg.images.dicom_patient import without_patient
from napari_promptseg.images.dicom_pixels import padding_of, read_planes, same_pixels
from napari_promptseg.images.dicom_series import Volume, choose, only, volumes_of
from napari_promptseg.images.dicom_values import pydicom_module, quiet
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.normalisation import SOFT_TISSUE_WINDOW, Limits, measure_limits
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind
from napari_promptseg.progress import Progress, silent

_KINDS: dict[str, ModalityKind] = {"CT": "ct", "MR": "mr"}
#: Modalities whose pictures without a place make a film when they lie in one file.
_MOVING = ("US", "IVUS", "XA", "RF", "ES", "XC")
#: Values looked at where padding has to be left out of the display limits.
_SAMPLE = 1_000_000


def read_dicom(
    path: str | os.PathLike[str], series: int | str | None = None, *, progress: Progress = silent
) -> ImageStack:
    """Read one DICOM series, turned upright.

    Parameters
    ----------
    path : str or path-like
        A folder, which is searched to its depth whatever the files are called; a DICOMDIR; or one file, which is then
        read by itself.
    series : int or str, optional
        Which one, where there are several: series number, SeriesInstanceUID, or `SeriesInfo.key`; see `list_series`.
    progress : Progress
        Told of each file.

    Returns
    -------
    ImageStack
        ``(z, y, x)`` in mm with its geometry, sorted by where the slices lie. Without places: a single picture
        ``(y, x)``, a cine ``(t, y, x)``, or pages ``(plane, y, x)``, as stored. One modality named after the series,
        never after the patient; CT in Hounsfield units and the soft-tissue window.

        Its `metadata` holds plain values only:

        ``"format"``
            ``"dicom"``.
        ``"notes"``
            List of sentences: slices missing or lying there twice, a tilted gantry, files left out.
        ``"dicom"``
            What a DICOM segmentation refers to, entries for planes in the order of the file's slice axis, that is of
            ``geometry.to_file(labels)[:, :, k]`` (of the planes themselves where there is no geometry):
            ``series_uid``, ``study_uid``, ``frame_of_reference``, ``sop_class``, ``modality``, ``series_key``;
            ``sop_instance_uids`` (``""`` for a missing slice); ``frames``, the number in its file from 1 (0 for a
            missing slice); ``files``, names without folders (``""`` where that would name the patient).

    Raises
    ------
    InputError
        If nothing can be read, several series are there and none was chosen, the slices lie on no grid, or a file
        has no pixels or damaged ones.
    """
    found = find_images(path, progress)
    volumes = volumes_of(found.headers)
    name = Path(path).name or str(path)
    volume = only(volumes, name) if series is None else choose(volumes, series, name)
    return _stack_of(volume, name, found.notes, progress)


def read_all_dicom(path: str | os.PathLike[str], *, progress: Progress = silent) -> list[ImageStack]:
    """Read every series of a folder or DICOMDIR; its files' headers are read once.

    Parameters
    ----------
    path, progress
        As for `read_dicom`.

    Returns
    -------
    list of ImageStack
        As `read_dicom` returns them, in order of their numbers. A series that cannot be read is left out, and the
        notes of the others say which and why.

    Raises
    ------
    InputError
        If none can be read.
    """
    found = find_images(path, progress)
    name = Path(path).name or str(path)
    stacks: list[ImageStack] = []
    failed: list[str] = []
    for volume in volumes_of(found.headers):
        try:
            stacks.append(_stack_of(volume, name, found.notes, progress))
        except InputError as error:
            failed.append(str(error))
    if not stacks:
        raise InputError(failed[0])
    for stack in stacks:
        stack.metadata["notes"].extend(failed)
    return stacks


def _stack_of(volume: Volume, name: str, about_files: Sequence[str], progress: Progress) -> ImageStack:
    """Read the pixels of a volume that was found under `name`."""
    planes = _arranged(volume)
    values = read_planes(planes.frames, progress)
    notes = [*volume.notes, *planes.notes, *_about_duplicates(volume), *about_files]
    header = volume.frames[0].header
    kind = _kind(header.modality, header.is_colour, values)
    limits: Limits | None = None
    if header.photometric != "MONOCHROME1":
        limits = _limits(values, kind, padding_of(planes.frames, values))
    upright = planes.geometry.to_stack(np.moveaxis(values, (0, 1, 2), (2, 1, 0))) if planes.geometry else values
    if len(planes.axes) == 2:
        upright = upright[0]
    personal = frozenset().union(*(frame.header.personal for frame in volume.frames))
    return ImageStack(
        (Modality(volume.info.label, upright, header.is_colour, kind, limits),),
        spacing=planes.spacing,
        units=planes.units,
        axis_names=planes.axes,
        source=without_patient(name, personal) or volume.info.label,
        metadata={"format": "dicom", "notes": notes, "dicom": _references(volume, planes.frames, personal)},
        geometry=planes.geometry,
    )


def geometry_of(volume: Volume) -> Geometry | None:
    """Where a volume lies, from its headers alone; None where it has no place or lies on no grid."""
    try:
        return _arranged(volume).geometry
    except InputError:
        return None


def source_headers(path: str | os.PathLike[str], stack: ImageStack) -> list[Any]:
    """The files a stack was read from, as a DICOM segmentation refers to them.

    Parameters
    ----------
    path : str or path-like
        What `read_dicom` was given.
    stack : ImageStack
        What it returned.

    Returns
    -------
    list of pydicom.Dataset
        Whole headers without pixels, each file once, in order of the slices; missing slices left out. They say who the
        patient is: only a DICOM file may take that over.

    Raises
    ------
    InputError
        If a file is gone, or several say that they are the same.
    """
    pydicom = pydicom_module()
    about = stack.metadata["dicom"]
    planes = [plane for plane in zip(about["sop_instance_uids"], about["frames"], strict=True) if plane[1]]
    wanted = list(dict.fromkeys(uid for uid, _ in planes))
    if len(set(planes)) < len(planes) or not all(wanted):
        raise InputError(
            "The source's files have no instance UIDs of their own, so nothing can refer to them: save as NIfTI."
        )
    at = {header.sop_uid: header.path for header in reversed(find_images(path).headers)}
    gone = sum(uid not in at for uid in wanted)
    if gone:
        raise InputError(
            f"{gone} of the {len(wanted)} DICOM files that the picture was read from are no longer there: "
            "put them back, or save as NIfTI instead."
        )
    with quiet():
        return [pydicom.dcmread(at[uid], stop_before_pixels=True, force=True) for uid in wanted]


@dataclass(frozen=True, eq=False)
class _Arranged:
    """Planes in the order of the array, and the axes that they span."""

    frames: tuple[Frame | None, ...]
    geometry: Geometry | None
    spacing: tuple[float, ...]
    units: str
    axes: tuple[str, ...]
    notes: tuple[str, ...]


def _arranged(volume: Volume) -> _Arranged:
    first = volume.frames[0]
    size = (first.header.rows, first.header.columns)
    if first.has_place:
        try:
            grid = grid_of(volume.frames)
        except InputError as error:
            raise InputError(f"{volume.info.label} cannot be read as a volume: {error}") from error
        geometry = Geometry.of_file((size[1], size[0], len(grid.planes)), grid.affine)
        return _Arranged(grid.planes, geometry, geometry.spacing, "mm", ("z", "y", "x"), grid.notes)
    spacing, units = (first.pixel_spacing, "mm") if first.pixel_spacing else ((1.0, 1.0), "pixel")
    if len(volume.frames) == 1:
        return _Arranged(volume.frames, None, spacing, units, ("y", "x"), ())
    if first.header.n_frames > 1 and first.header.modality in _MOVING:
        return _Arranged(volume.frames, None, (1.0, *spacing), units, ("t", "y", "x"), ())
    note = "The files do not say where in the patient their planes lie: they are shown as pages, in their own order."
    return _Arranged(volume.frames, None, (1.0, *spacing), units, ("plane", "y", "x"), (note,))


def _about_duplicates(volume: Volume) -> list[str]:
    if not volume.duplicates:
        return []
    differing = [kept for kept, other in volume.duplicates if not same_pixels(kept, other)]
    notes = []
    same = len(volume.duplicates) - len(differing)
    if same:
        notes.append(f"{same} {'slice is' if same == 1 else 'slices are'} there twice: the copies were dropped.")
    if differing:
        at = ", ".join(dict.fromkeys(place_of(frame) for frame in differing[:6]))
        notes.append(
            f"{len(differing)} {'slice was' if len(differing) == 1 else 'slices were'} taken again with another result "
            f"({at}): the first of each is shown."
        )
    return notes


def _kind(modality: str, colour: bool, values: npt.NDArray[Any]) -> ModalityKind:
    if colour:
        return "rgb"
    return _KINDS.get(modality, "grey" if values.dtype == np.uint8 else "auto")


def _limits(values: npt.NDArray[Any], kind: ModalityKind, padding: npt.NDArray[np.bool_] | None) -> Limits | None:
    """The soft-tissue window for CT; for others limits that padding has no part in, else None: measured when asked."""
    if kind == "ct" and values.min() < 0:
        return SOFT_TISSUE_WINDOW
    if padding is None or padding.all():
        return None
    imaged = values[~padding]
    return measure_limits(imaged[:: max(1, imaged.size // _SAMPLE), np.newaxis], kind)


def _references(volume: Volume, frames: Sequence[Frame | None], personal: frozenset[str]) -> dict[str, Any]:
    header = volume.frames[0].header
    return {
        "series_uid": header.series_uid,
        "study_uid": header.study_uid,
        "frame_of_reference": header.frame_of_reference,
        "sop_class": header.sop_class,
        "modality": header.modality,
        "series_key": volume.info.key,
        "sop_instance_uids": ["" if f is None else f.header.sop_uid for f in frames],
        "frames": [0 if f is None else f.index + 1 for f in frames],
        "files": ["" if f is None else without_patient(f.header.path.name, personal) for f in frames],
    }
