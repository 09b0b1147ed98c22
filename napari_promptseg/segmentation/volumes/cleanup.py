"""Labels of a volume put right in three dimensions: smooth from plane to plane, in one piece, without holes.

All functions are pure. `keep` marks voxels that the user painted: they stay as they are whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_promptseg.errors import InputError

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: Voxels that share a corner are connected.
_ALL_NEIGHBOURS = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Cleanup:
    """What to put right.

    Parameters
    ----------
    smooth : float
        Standard deviation of the Gaussian that labels are smoothed with from plane to plane, in the spacing's units;
        0 leaves them.
    keep_largest : bool
        Of every class keep its largest connected part.
    fill_holes : bool
        Give background that a class encloses on all sides to it; other classes inside it stay.
    smallest : float
        Connected parts below this volume are removed, in the spacing's units cubed (mm³ of a medical volume).
    keep_marked : bool
        Of every class that was marked somewhere keep the connected parts that hold a mark.

    Raises
    ------
    InputError
        If a size is negative.
    """

    smooth: float = 0.0
    keep_largest: bool = False
    fill_holes: bool = False
    smallest: float = 0.0
    keep_marked: bool = False

    def __post_init__(self) -> None:
        if not self.smooth >= 0 or not self.smallest >= 0:
            raise InputError("Smoothing and the smallest size of a clean-up cannot be negative.")

    @property
    def changes_nothing(self) -> bool:
        """Whether all of it is off."""
        return self == Cleanup()


def cleaned(
    labels: Labels,
    cleanup: Cleanup | Mapping[int, Cleanup],
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    voxel_volume: float | None = None,
    axis: int = 0,
    keep: Mask | None = None,
    marks: Labels | None = None,
) -> Labels:
    """Labels after smoothing, the choice of marked, of large enough and of the largest parts, and filling of holes.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(z, y, x)`` or ``(y, x)`` integers, 0 for background.
    cleanup : Cleanup or mapping of int to Cleanup
        For all classes, or by class value; classes that are not named stay as they are.
    spacing : sequence of float
        Step along each axis.
    voxel_volume : float, optional
        Where axes are not at right angles; the product of the steps where not given.
    axis : int
        That planes follow each other along.
    keep : numpy.ndarray, optional
        Bool of the same shape: voxels that stay. A connected part with such a voxel of its class is kept whole.
    marks : numpy.ndarray, optional
        Integers of the same shape, what a user marked as which class, 0 elsewhere: for `Cleanup.keep_marked`. A class
        none of whose voxels is marked stays whole.

    Returns
    -------
    numpy.ndarray
        A new array of the same type; the steps follow in that order. Without smoothing a second clean-up changes
        nothing more.

    Raises
    ------
    InputError
        If `keep` or `marks` has another shape or `labels` other than two or three axes.
    """
    if labels.ndim not in (2, 3):
        raise InputError(f"Labels of shape {labels.shape} cannot be cleaned up: a plane or a volume is needed.")
    if keep is not None and keep.shape != labels.shape:
        raise InputError(f"The mask of painted voxels has the shape {keep.shape}, the labels {labels.shape}.")
    if marks is not None and marks.shape != labels.shape:
        raise InputError(f"The marked voxels have the shape {marks.shape}, the labels {labels.shape}.")
    out = labels.copy()
    steps = [float(s) for s in spacing][-labels.ndim :]
    volume = float(np.prod(steps)) if voxel_volume is None else voxel_volume
    values = [int(v) for v in np.unique(labels) if v]
    rules = dict(cleanup) if isinstance(cleanup, Mapping) else dict.fromkeys(values, cleanup)
    smoothings = {v: rules[v].smooth / steps[axis] for v in values if v in rules and rules[v].smooth > 0}
    if smoothings and labels.ndim == 3:
        out = smoothed(out, smoothings, axis=axis)
        out = out if keep is None else np.where(keep, labels, out).astype(labels.dtype)
    for value in values:
        rule = rules.get(value)
        marked = rule is not None and rule.keep_marked and marks is not None
        if rule is None or not (rule.keep_largest or rule.smallest > 0 or marked):
            continue
        at, mask = _boxed(out, value)
        if at is not None and marked and marks is not None:
            with_mark = connected_with(mask, marks[at] == value)
            if with_mark.any():
                out[at][mask & ~with_mark] = 0
                if keep is not None:
                    out[at][keep[at]] = labels[at][keep[at]]
                mask = out[at] == value
        if at is not None:
            painted = None if keep is None else keep[at] & mask
            fewest = int(np.ceil(rule.smallest / volume)) if rule.smallest > 0 else 1
            out[at][mask & ~parts_kept(mask, fewest=fewest, largest=rule.keep_largest, painted=painted)] = 0
            if keep is not None:
                out[at][keep[at]] = labels[at][keep[at]]
    for value in values:
        if value in rules and rules[value].fill_holes:
            at, mask = _boxed(out, value)
            if at is not None:
                holes = filled(mask) & (out[at] == 0)
                out[at][holes if keep is None else holes & ~keep[at]] = value
    return out


def smoothed(labels: Labels, spreads: Mapping[int, float], *, axis: int = 0) -> Labels:
    """The most frequent label around each voxel along an axis, near ones counting more.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(z, y, x)``.
    spreads : mapping of int to float
        Standard deviation of the Gaussian by class value, in voxels; other classes stay, and only give way.
    axis : int

    Returns
    -------
    numpy.ndarray
        Where two are as frequent the voxel's own label stays.
    """
    touched = np.isin(labels, list(spreads))
    if not touched.any():
        return labels.copy()
    reach = int(np.ceil(4 * max(spreads.values())))
    at = _box_of(touched, reach)
    part = labels[at]
    usual = max(spreads.values())
    values = np.unique(part)
    best = np.full(part.shape, -1.0, np.float32)
    own = np.zeros(part.shape, np.float32)
    winner = part.copy()
    for value in values:
        mask = part == value
        sigma = spreads.get(int(value), usual if value == 0 else 0.0)
        share = mask.astype(np.float32)
        if sigma > 0:
            share = ndimage.gaussian_filter1d(share, sigma, axis=axis, mode="nearest")
        own[mask] = share[mask]
        ahead = share > best
        best[ahead], winner[ahead] = share[ahead], value
    out = labels.copy()
    # sums of rounded shares may differ in the last place
    out[at] = np.where(own >= best - 1e-6, part, winner)
    return out


def parts_kept(mask: Mask, *, fewest: int = 1, largest: bool = False, painted: Mask | None = None) -> Mask:
    """Connected parts of a mask that are large enough; voxels that share a corner are connected.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(z, y, x)`` or ``(y, x)`` bool.
    fewest : int
        Voxels that a part must have.
    largest : bool
        Of those, only the largest; of equal ones the first.
    painted : numpy.ndarray, optional
        Parts with such a voxel stay in any case.
    """
    parts, n = ndimage.label(mask, _ALL_NEIGHBOURS if mask.ndim == 3 else _ALL_NEIGHBOURS[0])
    sizes = np.bincount(parts.ravel(), minlength=n + 1)
    sizes[0] = 0
    stay = sizes >= max(1, fewest)
    if largest and n:
        first = int(sizes.argmax())
        stay &= np.arange(n + 1) == first
    if painted is not None:
        stay[np.unique(parts[painted])] = True
    stay[0] = False
    kept: Mask = stay[parts]
    return kept


def connected_with(mask: Mask, seed: Mask) -> Mask:
    """The connected parts of a mask that a seed touches: what was drawn on one plane is one object in the volume."""
    return parts_kept(mask, fewest=mask.size + 1, painted=seed & mask)


def filled(mask: Mask) -> Mask:
    """The mask with what it encloses on all sides; in a volume of one plane, what it encloses in the plane."""
    flat = mask.ndim == 3 and 1 in mask.shape
    if flat:
        thin = mask.shape.index(1)
        return np.expand_dims(ndimage.binary_fill_holes(mask.squeeze(thin)), thin) if mask.squeeze(thin).ndim else mask
    found: Mask = ndimage.binary_fill_holes(mask)
    return found


def _boxed(labels: Labels, value: int) -> tuple[tuple[slice, ...] | None, Mask]:
    """Where a class lies, and its mask there."""
    mask = labels == value
    if not mask.any():
        return None, mask
    at = _box_of(mask, 0)
    return at, mask[at]


def _box_of(mask: Mask, reach: int) -> tuple[slice, ...]:
    """Smallest box around a mask that is not empty, and so many voxels more on all sides."""
    found = []
    for axis, length in enumerate(mask.shape):
        across = tuple(a for a in range(mask.ndim) if a != axis)
        places = np.flatnonzero(mask.any(axis=across))
        found.append(slice(max(0, int(places[0]) - reach), min(length, int(places[-1]) + 1 + reach)))
    return tuple(found)
