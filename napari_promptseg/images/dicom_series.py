"""DICOM images to volumes: by series, and by size, direction, echo or time where one series mixes them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_folders import find_images
from napari_promptseg.images.dicom_grid import SAME_PLACE, even_runs, grid_of, normal_of, place_of
from napari_promptseg.images.dicom_headers import TRAITS, Frame, ImageHeader
from napari_promptseg.images.dicom_patient import without_patient
from napari_promptseg.images.geometry import PLANES, Geometry, PlaneName
from napari_promptseg.progress import Progress, silent


@dataclass(frozen=True)
class SeriesInfo:
    """One volume, picture or cine that can be read from a DICOM folder; nothing in it says who the patient is.

    Parameters
    ----------
    key : str
        What `read_dicom` takes as `series`: the series number, or its UID where several share the number; with
        ``":2"`` behind it for the second of the volumes that one series mixes.
    uid : str
        SeriesInstanceUID.
    number : int, optional
        Series number.
    part : int
        Which of the volumes that the series mixes, from 1; 0 where it is one volume.
    description : str
        Series description; empty where there is none or it names the patient.
    modality : str
        ``"CT"``, ``"MR"``, ``"US"`` ...
    count : int
        Planes that are there.
    shape : tuple of int
        Upright ``(z, y, x)``, planes that are missing counted; ``(y, x)`` for a single picture without a place.
    spacing : tuple of float
        In mm along the same axes; empty where the files do not say.
    plane : PlaneName, optional
        That of the slices, as nearly as can be named.
    frame_of_reference : str
        Series that share it lie in the same coordinates.
    problem : str
        Why it cannot be read as a volume; empty if it can.
    """

    key: str
    uid: str
    number: int | None
    part: int
    description: str
    modality: str
    count: int
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    plane: PlaneName | None
    frame_of_reference: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """Name for a layer: ``"T1 axial (series 3)"``."""
        number = "" if self.number is None else f"series {self.number}"
        if self.part:
            number = f"{number}:{self.part}" if number else f"part {self.part}"
        return f"{self.description or self.modality}{f' ({number})' if number else ''}"

    @property
    def summary(self) -> str:
        """One line for a person who has to choose: ``"3 = T1 axial, MR, 24 axial planes 5 mm apart"``."""
        what = f"{self.description}, {self.modality}" if self.description else self.modality
        planes = f"{self.count} {f'{self.plane} ' if self.plane else ''}plane{'s' if self.count != 1 else ''}"
        if self.plane and self.count > 1:
            planes += f" {self.spacing[PLANES.index(self.plane)]:.3g} mm apart"
        return f"{self.key} = {what}, {planes}"


@dataclass(frozen=True, eq=False)
class Volume:
    """Planes that belong together.

    Parameters
    ----------
    frames : tuple of Frame
        No two at the same place; in no order that counts where they have places, else in that of the pages.
    info : SeriesInfo
        What it is.
    duplicates : tuple of (Frame, Frame)
        The plane that was kept, and another one that says to lie at the same place.
    notes : tuple of str
        What else a reader of the pictures should know.
    """

    frames: tuple[Frame, ...]
    info: SeriesInfo
    duplicates: tuple[tuple[Frame, Frame], ...] = ()
    notes: tuple[str, ...] = ()


def list_series(path: str | os.PathLike[str], progress: Progress = silent) -> list[SeriesInfo]:
    """List what DICOM images lie in a folder, below it, or in the files that a DICOMDIR names.

    Parameters
    ----------
    path : str or path-like
        Folder, DICOMDIR or a single file. Only headers are read.
    progress : Progress
        Told of each file.

    Returns
    -------
    list of SeriesInfo
        By series number.

    Raises
    ------
    InputError
        If there is no DICOM image, or pydicom is not installed.
    """
    return [volume.info for volume in volumes_of(find_images(path, progress).headers)]


def volumes_of(headers: Sequence[ImageHeader]) -> list[Volume]:
    """Sort images into volumes; neither names nor order of the files matter."""
    by_series: dict[str, list[Frame]] = {}
    for header in headers:
        # a file without a series is one by itself
        by_series.setdefault(header.series_uid or f"file {header.path}", []).extend(header.frames)
    found = [
        _volume(part, number if len(parts) > 1 else 0)
        for parts in map(_parts, by_series.values())
        for number, part in enumerate(parts, start=1)
    ]
    found.sort(key=lambda v: (v.info.number is None, v.info.number or 0, v.info.uid, v.info.part))
    return _with_keys(found)


def choose(volumes: Sequence[Volume], series: int | str, name: str) -> Volume:
    """The volume that a person asked for, by number, key or UID.

    Raises
    ------
    InputError
        If none or several are meant; they are listed.
    """
    wanted = str(series).strip()
    meant = [v for v in volumes if v.info.key == wanted]
    meant = meant or [v for v in volumes if wanted in (str(v.info.number), v.info.uid)]
    if len(meant) == 1:
        return meant[0]
    if not meant:
        raise InputError(f"{name!r} has no series {wanted!r}; it holds: {_list(volumes)}.")
    raise InputError(f"Series {wanted!r} of {name!r} stands for {len(meant)} volumes, choose one: {_list(meant)}.")


def only(volumes: Sequence[Volume], name: str) -> Volume:
    """The one volume there is.

    Raises
    ------
    InputError
        If there are several; they are listed, with how to choose.
    """
    if len(volumes) == 1:
        return volumes[0]
    what = "image series"
    if len({v.info.uid for v in volumes}) == 1:
        what = "volumes in one series, which differ in direction, size, spacing, echo or time"
    raise InputError(
        f"{name!r} holds {len(volumes)} {what}; choose one with series=..., on the command line --series: "
        f"{_list(volumes)}."
    )


def _list(volumes: Sequence[Volume], most: int = 12) -> str:
    shown = "; ".join(v.info.summary for v in volumes[:most])
    return f"{shown}; and {len(volumes) - most} more" if len(volumes) > most else shown


def _with_keys(volumes: list[Volume]) -> list[Volume]:
    """Each with what it is asked for by: its number, where no other series has the same."""
    owners: dict[int | None, set[str]] = {}
    for v in volumes:
        owners.setdefault(v.info.number, set()).add(v.info.uid)
    out = []
    for place, v in enumerate(volumes, start=1):
        alone = v.info.number is not None and len(owners[v.info.number]) == 1
        header = v.frames[0].header
        # a careless header may hold anything where the UID is due
        uid = v.info.uid if re.fullmatch(r"[\d.]+", v.info.uid) else ""
        named = without_patient(header.path.name, header.personal) or f"file {place}"
        key = str(v.info.number) if alone else uid or named
        out.append(replace(v, info=replace(v.info, key=f"{key}:{v.info.part}" if v.info.part else key)))
    return out


@dataclass(frozen=True, eq=False)
class _Part:
    """Planes of a series that make a volume, the copies that were left out, and what is to be said."""

    frames: tuple[Frame, ...]
    duplicates: tuple[tuple[Frame, Frame], ...] = ()
    notes: tuple[str, ...] = ()


def _volume(part: _Part, number: int) -> Volume:
    frames = part.frames
    header = frames[0].header
    size = (header.rows, header.columns)
    plane: PlaneName | None = None
    spacing: tuple[float, ...] = ()
    shape: tuple[int, ...] = size if len(frames) == 1 else (len(frames), *size)
    problem = ""
    if frames[0].has_place:
        try:
            grid = grid_of(frames)
        except InputError as error:
            problem = str(error)
        else:
            geometry = Geometry.of_file((size[1], size[0], len(grid.planes)), grid.affine)
            shape, spacing, plane = geometry.shape, geometry.spacing, geometry.acquired
    info = SeriesInfo(
        key="",
        uid=header.series_uid,
        number=header.number,
        part=number,
        # one file may name a patient whom another file's description holds
        description=without_patient(header.description, frozenset().union(*(f.header.personal for f in frames))),
        modality=header.modality,
        count=len(frames),
        shape=shape,
        spacing=spacing,
        plane=plane,
        frame_of_reference=header.frame_of_reference,
        problem=problem,
    )
    return Volume(frames, info, part.duplicates, part.notes)


def _parts(frames: Iterable[Frame]) -> list[_Part]:
    """The volumes that one series holds, in an order that the files' names have no part in."""
    ordered = sorted(frames, key=_in_time)
    parts: list[_Part] = []
    for alike in _grouped(ordered, lambda f: (f.header.rows, f.header.columns, f.header.is_colour, f.has_place)):
        if not alike[0].has_place:
            # a cine is a picture that moves; single pictures of one size are pages
            cines = [f for f in alike if f.header.n_frames > 1]
            pages = _paged([f for f in alike if f.header.n_frames == 1])
            parts += [_Part(tuple(cine)) for cine in _grouped(cines, lambda f: f.header)]
            parts += [_Part(pages)] if pages else []
            continue
        for group in parallel(alike):
            for part in _apart(group):
                parts += _evenly_spaced(part)
    return parts


def _evenly_spaced(part: _Part) -> list[_Part]:
    """The part, or its runs where the distance of its slices changes on the way."""
    runs = even_runs(part.frames)
    if len(runs) == 1:
        return [part]
    starts = ", ".join(place_of(run[0]) for run in runs[1:])
    note = f"The series is unevenly spaced and was split at {starts}: this is one of its {len(runs)} even parts."
    return [_Part(run, tuple(d for d in part.duplicates if d[0] in run), (note,)) for run in runs]


def _paged(frames: list[Frame]) -> tuple[Frame, ...]:
    """By slice location where each has its own, which is less than a place but more than a number."""
    locations = [f.location for f in frames if f.location is not None]
    if len(set(locations)) < len(frames):
        return tuple(frames)
    return tuple(sorted(frames, key=lambda f: f.location or 0.0))


def _in_time(frame: Frame) -> tuple[bool, int, str, int, str]:
    """Order of acquisition; the last entry only decides between copies of one file."""
    instance = frame.instance
    return instance is None, instance or 0, frame.header.sop_uid, frame.index, frame.header.path.as_posix()


def _grouped(frames: Iterable[Frame], key: Callable[[Frame], Hashable]) -> list[list[Frame]]:
    groups: dict[Hashable, list[Frame]] = {}
    for frame in frames:
        groups.setdefault(key(frame), []).append(frame)
    return list(groups.values())


def parallel(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Groups of the same direction and pixel spacing, to what headers round off."""
    groups: list[list[Frame]] = []
    for frame in frames:
        for group in groups:
            first = group[0]
            if _apart_by(frame.orientation, first.orientation) <= 2e-3 and (
                _apart_by(frame.pixel_spacing, first.pixel_spacing) <= 1e-3 * min(first.pixel_spacing)
            ):
                group.append(frame)
                break
        else:
            groups.append([frame])
    return groups


def _apart_by(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The largest difference; in plain Python, since a turning projection has hundreds of directions to compare."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _apart(frames: list[Frame]) -> list[_Part]:
    """Separate images that lie at the same places: by what tells them apart, else by the order they were taken in."""
    places = by_place(frames)
    most = max(map(len, places))
    if most == 1:
        return [_Part(tuple(frames))]
    for trait in TRAITS:
        groups = _grouped(frames, lambda f, name=trait: f.traits.get(name))  # type: ignore[misc]
        # volumes, not the odd slice that was taken again
        if len(groups) > 1 and min(len(by_place(group)) for group in groups) * 2 > len(places):
            return [part for group in groups for part in _apart(group)]
    copies = all(len({_identity(f) for f in place}) == 1 for place in places)
    if not copies and all(len(place) == most for place in places):
        return [_Part(tuple(place[k] for place in places)) for k in range(most)]
    copies_of = tuple((place[0], other) for place in places for other in place[1:])
    return [_Part(tuple(place[0] for place in places), copies_of)]


def _identity(frame: Frame) -> Hashable:
    """The same for copies of one image, also where an export gave them new UIDs."""
    return frame.header.sop_uid if frame.instance is None else frame.instance, frame.index


def by_place(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames that lie at the same place, in the order given; places in order along the normal."""
    normal = normal_of(frames[0])
    at = np.array([f.position for f in frames], dtype=float)
    along = at @ normal
    groups: list[list[int]] = []
    recent: list[list[int]] = []
    for k in np.argsort(along, kind="stable").tolist():
        recent = [g for g in recent if along[k] - along[g[0]] <= SAME_PLACE]
        for group in recent:
            if np.linalg.norm(at[k] - at[group[0]]) <= SAME_PLACE:
                group.append(k)
                break
        else:
            groups.append([k])
            recent.append(groups[-1])
    return [[frames[k] for k in sorted(group)] for group in groups]
