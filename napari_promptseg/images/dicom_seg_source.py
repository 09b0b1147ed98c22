"""The series that a DICOM segmentation was drawn on, if it lies in the same folder or in one beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.dicom_headers import ImageHeader, NoImageError, read_header
from napari_promptseg.images.dicom_series import Volume, volumes_of
from napari_promptseg.images.dicom_values import pydicom_module, quiet, text_of, value_of
from napari_promptseg.progress import Progress, silent

#: Folders that are looked into, and files of each until one is DICOM.
_FOLDERS, _FILES = 200, 20


def volumes_beside(data: Any, file: Path, progress: Progress = silent) -> list[Volume]:
    """The volumes of the series that a segmentation refers to.

    Parameters
    ----------
    data : pydicom.Dataset
        The segmentation.
    file : pathlib.Path
        Where it lies: that folder is searched, then those in it and those beside it whose first file is of the series.
    progress : Progress
        Told of each file.

    Returns
    -------
    list of Volume
        Their headers only; none where the series is not found.
    """
    series = {text_of(item, "SeriesInstanceUID") for item in value_of(data, "ReferencedSeriesSequence") or []} - {""}
    if not series:
        return []
    folder = file.resolve().parent
    for place in itertools.chain([folder], _folders_in(folder), _folders_in(folder.parent)):
        if place != folder and not _begins_with(place, series):
            continue
        headers = _headers(place, series, progress)
        if headers:
            return volumes_of(headers)
    return []


def _folders_in(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError:  # not ours to look into
        found = []
    yield from found[:_FOLDERS]


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    except OSError:
        return []


def _begins_with(folder: Path, series: set[str]) -> bool:
    first = next((f for f in _files_in(folder)[:_FILES] if is_dicom(f)), None)
    return first is not None and _series_of(first) in series


def _headers(folder: Path, series: set[str], progress: Progress) -> list[ImageHeader]:
    files = [f for f in _files_in(folder) if is_dicom(f)]
    found = []
    for done, file in enumerate(files):
        progress(done, len(files), "Looking for the series of the segmentation")
        if _series_of(file) not in series:
            continue
        try:
            found.append(read_header(file))
        except NoImageError:
            continue
        # a broken file makes pydicom raise anything, and is told of where the series itself is opened
        except Exception:
            continue
    return found


def _series_of(file: Path) -> str:
    try:
        pydicom = pydicom_module()
        with quiet():
            data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=["SeriesInstanceUID"])
        return text_of(data, "SeriesInstanceUID")
    # as above
    except Exception:
        return ""
