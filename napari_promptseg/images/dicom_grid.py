"""The planes of one volume put in order by where they lie, and the grid that they make: gaps, tilt, single planes.

No voxel is moved and no plane is made up from its neighbours. Where the planes do not lie on one grid, saying so is
all that is right: an average step would put every structure in the wrong place.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_headers import Frame

#: Closer than this, in mm, two planes lie at the same place.
SAME_PLACE = 0.01

#: Planes of a volume, most of which are left out, beyond which its header means nothing.
_MOST_PLANES = 10_000
#: Parts of the smallest gap that are tried as the step, where such a file does not state it.
_PARTS = 4


@dataclass(frozen=True, eq=False)
class Grid:
    """Planes in order along their normal, and where they lie.

    Parameters
    ----------
    planes : tuple of Frame or None
        One for each step of the grid; None where the series lacks a slice.
    affine : numpy.ndarray
        ``(4, 4)``, from ``(column, row, plane, 1)`` to millimetres in LPS. Of a tilted gantry it is sheared.
    notes : tuple of str
        A sentence for each thing that a reader of the pictures should know.
    """

    planes: tuple[Frame | None, ...]
    affine: npt.NDArray[np.float64]
    notes: tuple[str, ...]


def normal_of(frame: Frame) -> npt.NDArray[np.float64]:
    """Direction of growing plane number, as ITK and highdicom have it: row direction times column direction."""
    normal = np.cross(frame.orientation[:3], frame.orientation[3:])
    unit: npt.NDArray[np.float64] = normal / np.linalg.norm(normal)
    return unit


def place_of(frame: Frame) -> str:
    """Where a plane lies, for people: ``"z = -12.5 mm"``."""
    return _place(normal_of(frame), np.asarray(frame.position))


def grid_of(frames: Sequence[Frame], *, sparse: bool = False, step: float | None = None) -> Grid:
    """Sort planes by geometry and find the grid they lie on.

    Parameters
    ----------
    frames : sequence of Frame
        Parallel planes of one size and pixel spacing, at least one, no two at the same place; in any order.
    sparse : bool
        Whether most planes of the grid may be left out, as segmentations leave out what is empty.
    step : float, optional
        Their distance as such a file states it, in mm; what it left out may be all between two planes.

    Raises
    ------
    InputError
        If the slices are unevenly spaced, so that no grid holds them; the odd gap is named.
    """
    normal = normal_of(frames[0])
    ordered = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    places = np.array([frame.position for frame in ordered], dtype=float)
    first = ordered[0]
    notes: list[str] = []
    planes: tuple[Frame | None, ...]
    if len(ordered) == 1:
        along = normal * (step or first.step or 1.0)
        planes = (first,)
        if not step and not first.step:
            notes.append("The slice's thickness is not given: 1 mm was taken.")
    else:
        at = _sparse_steps(places, normal, step) if sparse else _steps(places, normal)
        along = (places[-1] - places[0]) / at[-1]
        lacking = np.setdiff1d(np.arange(at[-1] + 1), at)
        if len(lacking) and not sparse:
            where = [_place(normal, places[0] + k * along) for k in lacking]
            notes.append(
                f"{_counted(len(lacking), 'slice is', 'slices are')} missing ({_listed(where)}): "
                f"{'an empty plane stands' if len(lacking) == 1 else 'empty planes stand'} there."
            )
        by_step = dict(zip(at.tolist(), ordered, strict=True))
        planes = tuple(by_step.get(k) for k in range(int(at[-1]) + 1))
        tilt = float(np.degrees(np.arccos(np.clip(along @ normal / np.linalg.norm(along), -1, 1))))
        if tilt > 0.1:
            notes.append(f"The gantry was tilted by {tilt:.1f}°: the volume is sheared, and its geometry says so.")
    affine = np.eye(4)
    affine[:3, 0] = np.asarray(first.orientation[:3]) * first.pixel_spacing[1]
    affine[:3, 1] = np.asarray(first.orientation[3:]) * first.pixel_spacing[0]
    affine[:3, 2] = along
    affine[:3, 3] = places[0]
    return Grid(planes, affine, tuple(notes))


def even_runs(frames: Sequence[Frame]) -> list[tuple[Frame, ...]]:
    """Split unevenly spaced planes into runs that each lie on a grid, as scans of two slice distances do.

    Returns
    -------
    list of tuple of Frame
        In order along the normal; one run with all planes where they lie on one grid, or where splitting would leave
        crumbs.
    """
    whole = [tuple(frames)]
    normal = normal_of(frames[0])
    ordered = sorted(frames, key=lambda frame: float(np.dot(frame.position, normal)))
    if stated := _stated_runs(ordered, normal):
        return stated
    if _lies_on_grid(frames):
        return whole
    # the slice between two distances may count to either side: the shorter runs are those that belong together
    both = (_runs(ordered, normal), [run[::-1] for run in _runs(ordered[::-1], -normal)][::-1])
    runs = min(both, key=lambda found: (len(found), sum(_length(run) for run in found)))
    sensible = len(runs) == 2 or len(runs) * 3 <= len(ordered)
    return [tuple(run) for run in runs] if sensible and all(map(_lies_on_grid, runs)) else whole


def _stated_runs(ordered: Sequence[Frame], normal: npt.NDArray[np.float64]) -> list[tuple[Frame, ...]]:
    """Runs of planes that state another thickness than those before and lie another distance apart; else none.

    Of two distances one may be twice the other, which by places alone is every second slice missing.
    """
    runs = [tuple(run) for _, run in itertools.groupby(ordered, key=lambda frame: frame.step)]
    if len(runs) < 2 or min(map(len, runs)) < 3:
        return []
    gaps = [np.diff([float(np.dot(frame.position, normal)) for frame in run]) for run in runs]
    steps = [float(own.mean()) for own in gaps]
    even = all(float(np.ptp(own)) <= _tolerance(step) for own, step in zip(gaps, steps, strict=True))
    changing = all(abs(one - other) > _tolerance(min(one, other)) for one, other in itertools.pairwise(steps))
    return runs if even and changing and all(map(_lies_on_grid, runs)) else []


def _runs(ordered: Sequence[Frame], along: npt.NDArray[np.float64]) -> list[list[Frame]]:
    """Sorted planes, parted wherever the step from one to the next is no longer that of the run."""
    runs = [[ordered[0]]]
    step: npt.NDArray[np.float64] | None = None
    for before, frame in itertools.pairwise(ordered):
        gap = np.subtract(frame.position, before.position)
        if step is None:
            step = gap
        times = max(1, round(float(gap @ along) / float(step @ along)))
        # a slice that is missing is no end of a run
        if times <= 3 and np.linalg.norm(gap - times * step) <= _tolerance(float(step @ along)):
            runs[-1].append(frame)
        else:
            runs.append([frame])
            step = None
    return runs


def _length(run: Sequence[Frame]) -> float:
    return float(np.linalg.norm(np.subtract(run[-1].position, run[0].position)))


def _lies_on_grid(frames: Sequence[Frame]) -> bool:
    try:
        grid_of(frames)
    except InputError:
        return False
    return True


def _steps(places: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Which step of the finest grid each sorted place lies on, from 0."""
    along = (places - places[0]) @ normal
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    # the step is the smallest gap, averaged over all that are like it so that rounded headers do not matter
    small = gaps[gaps <= gaps.min() + _tolerance(float(gaps.min()))]
    step = float(small.mean())
    at = np.concatenate([[0], np.cumsum(np.rint(gaps / step))]).astype(np.int64)
    off = np.linalg.norm(places - (places[0] + at[:, None] * (places[-1] - places[0]) / at[-1]), axis=1)
    if (off <= _tolerance(step)).all() and at[-1] + 1 <= 2 * len(places):
        return at
    odd = int(np.argmax(np.abs(gaps - usual)))
    one, other = (_place(normal, places[k]) for k in (odd, odd + 1))
    if abs(gaps[odd] - usual) > _tolerance(usual):
        raise InputError(
            f"The slices are unevenly spaced: those at {one} and {other} are {gaps[odd]:.4g} mm apart, the others "
            f"mostly {usual:.4g} mm; put the files of one evenly spaced part into a folder of their own."
        )
    raise InputError(
        "The slices are evenly spaced but shifted against each other sideways, so that no volume holds them: "
        "put the files of one aligned part into a folder of their own."
    )


def _sparse_steps(
    places: npt.NDArray[np.float64], normal: npt.NDArray[np.float64], stated: float | None
) -> npt.NDArray[np.int64]:
    """The same for planes of which most may be left out: by the stated step, else the longest that fits them all."""
    gaps = np.diff((places - places[0]) @ normal)
    for step in (*([stated] if stated else []), *(float(gaps.min()) / n for n in range(1, _PARTS + 1))):
        counts = np.rint(gaps / step)
        # over many steps what headers round adds up, so the step is that of the whole
        at = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        if counts.min() < 1 or at[-1] >= _MOST_PLANES:
            continue
        off = np.linalg.norm(places - (places[0] + at[:, None] * (places[-1] - places[0]) / at[-1]), axis=1)
        if (off <= _tolerance(step)).all() and abs(gaps.sum() / at[-1] - step) <= _tolerance(step):
            return at
    raise InputError("The planes are unevenly spaced, so that no volume holds them.")


def _tolerance(step: float) -> float:
    """How far a plane may lie from its place on the grid: headers round, to 0.1 mm at the worst."""
    return min(max(0.05, 0.02 * step), 0.1 * step)


def _place(normal: npt.NDArray[np.float64], position: npt.NDArray[Any]) -> str:
    axis = int(np.argmax(np.abs(normal)))
    return f"{'xyz'[axis]} = {position[axis]:.4g} mm"


def _counted(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


def _listed(items: list[str], most: int = 6) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
