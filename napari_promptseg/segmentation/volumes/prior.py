"""Planes that the user has corrected, carried across the volume by the shape of what they show.

Between two planes a structure's outline passes from one to the other: signed distances to it are interpolated
(shape-based interpolation: Raya & Udupa, IEEE Trans. Med. Imaging 1990; Herman, Zheng & Bucholtz, IEEE CG&A 1992).
The further away the nearest corrected plane is, the less sure the outline, and the more the plane's own look decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from napari_promptseg.errors import InputError
from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, PlaneAxis

Floats = npt.NDArray[np.float32]


#: Beyond the last plane a structure shrinks at most by this share of how unsure its outline is: far away looks decide.
_MOST_TAPER = 1.0


@dataclass(frozen=True, eq=False)
class CorrectedPlane:
    """A plane whose labels stand as right.

    Parameters
    ----------
    axis : PlaneAxis
    plane : int
        Its number along the axis.
    labels : numpy.ndarray
        ``(rows, columns)`` class values of its voxels, 0 for background; not turned for display. Without any class in
        it, structures end before it.
    """

    axis: PlaneAxis
    plane: int
    labels: npt.NDArray[Any]


@dataclass(frozen=True)
class PlaceSettings:
    """How far corrected planes reach.

    Lengths are in voxel steps, the smallest of the three, so that they mean the same for a mouse and a man. The values
    were chosen on volumes number 1, 3, 5, ... of the labelled packs only (`benchmarks/volume_dice.py`).

    Parameters
    ----------
    blur : float
        How unsure an outline is on its own plane.
    growth : float
        How much more for every step away from it, where planes have not shown otherwise (`learning.place_growth`).
    taper : float
        How much a structure shrinks on each side for every step beyond the last plane that shows it.
    absent : float
        How far outside a structure a plane counts that does not show it, where no plane near it does.
    most : float
        Most that place adds to or takes from a logit.
    weight : float
        Of place beside looks; 0 leaves it out.
    """

    blur: float = 0.5
    growth: float = 0.2
    taper: float = 0.3
    absent: float = 10.0
    most: float = 6.0
    weight: float = 2.0

    def __post_init__(self) -> None:
        if not self.blur > 0 or min(self.growth, self.taper, self.absent, self.most, self.weight) < 0:
            raise InputError("The settings of place must not be negative, and its blur above 0.")


class ByPlace:
    """What corrected planes say of every other voxel; implements `run.PlacePrior`.

    Parameters
    ----------
    shape : tuple of int
        ``(z, y, x)``.
    spacing : sequence of float
        Step along each axis.
    values : sequence of int
        Class values in the order of the maps, 0 (background) first.
    corrected : sequence of CorrectedPlane
        Of one axis or several; of two that are the same plane the later counts.
    settings : PlaceSettings, optional

    Raises
    ------
    InputError
        If a plane does not exist or has another shape.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        spacing: Sequence[float],
        values: Sequence[int],
        corrected: Sequence[CorrectedPlane],
        settings: PlaceSettings | None = None,
    ) -> None:
        self.settings = settings or PlaceSettings()
        self.shape = shape
        least = min(abs(float(s)) for s in spacing)
        self._steps = tuple(abs(float(s)) / least for s in spacing)
        self._values = tuple(int(v) for v in values)
        kept = {(c.axis, c.plane): c for c in corrected}
        for c in kept.values():
            self._check(c)
        self._planes: dict[int, list[_Outlines]] = {}
        for (axis, _), c in sorted(kept.items(), key=lambda item: item[0][1]):
            number = PLANE_AXES.index(axis)
            steps = tuple(self._steps[a] for a in range(3) if a != number)
            self._planes.setdefault(number, []).append(_Outlines.of(c, self._values, steps))
        self._settled = kept

    def grown(self, factor: float) -> ByPlace:
        """The same with outlines that grow unsure so many times as fast; nothing is measured again."""
        other = copy(self)
        other.settings = replace(self.settings, growth=factor * self.settings.growth)
        return other

    def without(self, axis: PlaneAxis, plane: int) -> ByPlace:
        """What the other planes say; nothing is measured again."""
        other = copy(self)
        number = PLANE_AXES.index(axis)
        kept = {a: [p for p in planes if a != number or p.plane != plane] for a, planes in self._planes.items()}
        other._planes = {a: planes for a, planes in kept.items() if planes}
        other._settled = {key: c for key, c in self._settled.items() if key != (axis, plane)}
        return other

    def adjusted(self, axis: PlaneAxis, plane: int, chances: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(C + 1, rows, columns)`` at a plane's voxels, with what place says; they add up to 1."""
        if not self._planes or self.settings.weight == 0:
            return chances
        places = torch.from_numpy(self.logits(axis, plane)).to(chances)
        return torch.softmax(chances.clamp_min(1e-4).log() + places, dim=0)

    def logits(self, axis: PlaneAxis, plane: int) -> Floats:
        """``(C + 1, rows, columns)`` float32: how far inside or outside each class place puts the plane's voxels.

        Notes
        -----
        Planes of each axis give a signed distance with an uncertainty of its own; several are joined as independent
        measurements are, each by its precision.
        """
        number = PLANE_AXES.index(axis)
        total: Floats | float = 0.0
        precision: Floats | float = 0.0
        for own, planes in self._planes.items():
            distance, gap = self._on_plane(planes, own, number, plane)
            share = 1 / np.square(self.settings.blur + self.settings.growth * gap)
            total, precision = total + share * distance, precision + share
        found = np.asarray(total / np.sqrt(precision), np.float32)
        # the first was all classes together
        found[0] = -found[0]
        most = self.settings.most
        return np.asarray(self.settings.weight * np.clip(found, -most, most), np.float32)

    def imposed(self, axis: PlaneAxis, plane: int, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels of a plane's voxels with those of corrected planes as they were given, also where they cross it."""
        out = labels.copy()
        number = PLANE_AXES.index(axis)
        for (own, place), c in self._settled.items():
            other = PLANE_AXES.index(own)
            if other == number:
                if place == plane:
                    out[...] = c.labels
                continue
            at = [a for a in range(3) if a != number].index(other)
            along = [a for a in range(3) if a != other].index(number)
            out[(place, slice(None)) if at == 0 else (slice(None), place)] = np.take(c.labels, plane, along)
        return out

    def _on_plane(self, planes: list[_Outlines], own: int, number: int, plane: int) -> tuple[Floats, Floats]:
        """Signed distances ``(C + 1, rows, columns)`` by the planes of one axis, and how far those are.

        The second is broadcast over classes.
        """
        places = np.array([p.plane for p in planes])
        if own == number:
            distance, gap = self._between(planes, places, plane, None, self._steps[own])
            return distance, np.float32(gap).reshape(1, 1, 1)
        # they cross the plane in lines: along their axis it is another place between them at every step
        along = [a for a in range(3) if a != own].index(number)
        lines, gaps = zip(
            *(self._between(planes, places, q, (along, plane), self._steps[own]) for q in range(self.shape[own])),
            strict=True,
        )
        at = 1 + [a for a in range(3) if a != number].index(own)
        side = [1, 1, 1]
        side[at] = -1
        return np.stack(lines, axis=at), np.array(gaps, np.float32).reshape(side)

    def _between(
        self, planes: list[_Outlines], places: npt.NDArray[Any], q: int, cut: tuple[int, int] | None, step: float
    ) -> tuple[Floats, float]:
        """Distances at a place on the axis of some planes, in between or beyond, and the gap to the nearest."""
        after = int(np.searchsorted(places, q))
        if after < len(places) and places[after] == q:
            return self._alone(planes[after], cut), 0.0
        if after == 0 or after == len(places):
            near = planes[min(after, len(places) - 1)]
            gap = abs(near.plane - q) * step
            beyond = self._alone(near, cut)
            unsure = self.settings.blur + self.settings.growth * gap
            return beyond - np.float32(min(self.settings.taper * gap, _MOST_TAPER * unsure)), gap
        low, high = planes[after - 1], planes[after]
        share = np.float32((q - low.plane) / (high.plane - low.plane))
        one, other = self._pair(low, high, cut)
        return (1 - share) * one + share * other, min(q - low.plane, high.plane - q) * step

    def _alone(self, plane: _Outlines, cut: tuple[int, int] | None) -> Floats:
        found = plane.at(cut).copy()
        found[~plane.shown] = -self.settings.absent
        return found

    def _pair(self, low: _Outlines, high: _Outlines, cut: tuple[int, int] | None) -> tuple[Floats, Floats]:
        """Of two planes; one that does not show a class is as far outside it as the other is deep: it ends halfway."""
        one, other = self._alone(low, cut), self._alone(high, cut)
        for i in np.flatnonzero(low.shown != high.shown):
            shown, ended = (one, other) if low.shown[i] else (other, one)
            deep = (low if low.shown[i] else high).depth[i]
            ended[i] = np.minimum(shown[i], 0) - deep
        return one, other

    def _check(self, c: CorrectedPlane) -> None:
        number = PLANE_AXES.index(c.axis)
        own = tuple(n for a, n in enumerate(self.shape) if a != number)
        if not 0 <= c.plane < self.shape[number]:
            raise InputError(f"The corrected {c.axis} plane {c.plane} does not exist: there are {self.shape[number]}.")
        if c.labels.shape != own:
            raise InputError(f"The corrected {c.axis} plane has the shape {c.labels.shape}, its voxels {own}.")


@dataclass(frozen=True, eq=False)
class _Outlines:
    """Signed distances of one corrected plane: ``(C + 1, rows, columns)``, positive inside.

    In the place of background are all classes together: background has no outline of its own, and ends nowhere.
    """

    plane: int
    distances: Floats
    shown: npt.NDArray[np.bool_]
    depth: Floats

    @classmethod
    def of(cls, corrected: CorrectedPlane, values: tuple[int, ...], steps: tuple[float, ...]) -> _Outlines:
        known = np.isin(corrected.labels, values)
        # a class that is no longer in the list leaves background
        labels = np.where(known, corrected.labels, 0)
        distances = np.zeros((len(values), *labels.shape), np.float32)
        masks = [labels != 0, *(labels == value for value in values[1:])]
        for i, mask in enumerate(masks):
            distances[i] = signed_distance(mask, steps)
        shown = np.array([bool(mask.any()) for mask in masks])
        return cls(corrected.plane, distances, shown, distances.max(axis=(1, 2)).clip(min=0))

    def at(self, cut: tuple[int, int] | None) -> Floats:
        """All of it, or the line ``(C + 1, n)`` where its axis (0 or 1) has a number."""
        if cut is None:
            return self.distances
        line: Floats = np.take(self.distances, cut[1], 1 + cut[0])
        return line


def signed_distance(mask: npt.NDArray[np.bool_], steps: Sequence[float]) -> Floats:
    """Distance to a mask's outline, positive inside: 0 lies between pixels in and out of it.

    Where nothing is inside (or outside), all is as far outside (or inside) as the plane is wide.
    """
    wide = float(np.linalg.norm([n * s for n, s in zip(mask.shape, steps, strict=True)]))
    if not mask.any():
        return np.full(mask.shape, -wide, np.float32)
    if mask.all():
        return np.full(mask.shape, wide, np.float32)
    half = min(steps) / 2
    inside = ndimage.distance_transform_edt(mask, sampling=steps)
    outside = ndimage.distance_transform_edt(~mask, sampling=steps)
    found: Floats = np.where(mask, inside - half, half - outside).astype(np.float32)
    return found
