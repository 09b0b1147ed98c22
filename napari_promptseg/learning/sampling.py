"""Which pixels of which strokes are learned from: few, spread over strokes, and always the same ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_promptseg.learning.corrections import Corrections

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Points:
    """Pixels to learn from.

    Parameters
    ----------
    planes, rows, columns, values, strokes : numpy.ndarray
        ``(n,)`` int64 each; `strokes` counts the strokes of the corrections they were drawn from.
    """

    planes: Ints
    rows: Ints
    columns: Ints
    values: Ints
    strokes: Ints

    def __len__(self) -> int:
        return int(self.rows.size)

    def where(self, keep: npt.NDArray[np.bool_]) -> Points:
        """Those that a ``(n,)`` mask keeps."""
        return Points(self.planes[keep], self.rows[keep], self.columns[keep], self.values[keep], self.strokes[keep])


def sample_points(
    corrections: Corrections,
    shape: tuple[int, int],
    *,
    per_stroke: int = 20,
    per_class: int = 300,
    seed: int = 0,
) -> Points:
    """Draw pixels of every stroke, as many of a long scribble as of a blot.

    Parameters
    ----------
    corrections : Corrections
    shape : tuple of int
        ``(Y, X)`` of the planes.
    per_stroke : int
        At most so many of one stroke.
    per_class : int
        At most so many of one class; where strokes are many, each gives fewer, but at least one.
    seed : int

    Returns
    -------
    Points
        Pixels that a later stroke painted over count for that one only. What is drawn from a stroke depends on its
        id and the seed, so that a new stroke elsewhere leaves it as it was.

    Notes
    -----
    All pixels of a brush at once are nearly copies of each other: they cost the prototypes up to .06 Dice.
    """
    owned: dict[int, tuple[int, Ints, Ints]] = {}
    for plane in corrections.planes:
        owner = corrections.owners(plane, shape).ravel()
        places = np.flatnonzero(owner >= 0)
        order = np.argsort(owner[places], kind="stable")
        places = places[order]
        indices, starts = np.unique(owner[places], return_index=True)
        for index, part in zip(indices.tolist(), np.split(places, starts[1:]), strict=True):
            rows, columns = np.divmod(part, shape[1])
            owned[index] = (plane, rows, columns)
    found: list[tuple[int, int, Ints, Ints, int]] = []
    for value in corrections.values:
        members = [i for i in sorted(owned) if corrections.strokes[i].value == value]
        shares = _shares([len(owned[i][1]) for i in members], per_stroke, per_class)
        for index, share in zip(members, shares, strict=True):
            plane, rows, columns = owned[index]
            pick = _pick(len(rows), share, corrections.strokes[index].id, seed)
            found.append((plane, value, rows[pick], columns[pick], index))
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return Points(nothing, nothing, nothing, nothing, nothing)
    return Points(
        np.concatenate([np.full(len(rows), plane) for plane, _, rows, _, _ in found]),
        np.concatenate([rows for _, _, rows, _, _ in found]),
        np.concatenate([columns for _, _, _, columns, _ in found]),
        np.concatenate([np.full(len(rows), value) for _, value, rows, _, _ in found]),
        np.concatenate([np.full(len(rows), index) for _, _, rows, _, index in found]),
    )


def looks_of(points: Points, corrections: Corrections) -> Ints:
    """``(n,)``: number of the look that each point is part of: a stroke, but each pixel of a set of points by itself.

    Parameters
    ----------
    points : Points
    corrections : Corrections
        That they were drawn from.
    """
    single = np.array([s.kind == "point" for s in corrections.strokes], dtype=bool)[points.strokes]
    keys = np.where(single, len(corrections) + np.arange(len(points)), points.strokes)
    looks: Ints = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return looks


def _shares(sizes: Sequence[int], per_stroke: int, per_class: int) -> list[int]:
    """Pixels per stroke: level with each other, within both limits."""
    level = per_stroke
    while level > 1 and sum(min(level, n) for n in sizes) > per_class:
        level -= 1
    return [min(level, n) for n in sizes]


def _pick(n: int, share: int, stroke_id: str, seed: int) -> Ints:
    """`share` of `n` places, one in each of as many equal parts, so that a stroke is covered from end to end."""
    if share >= n:
        return np.arange(n)
    rng = np.random.default_rng((seed, zlib.crc32(stroke_id.encode("utf-8"))))
    picked: Ints = ((np.arange(share) + rng.random(share)) * (n / share)).astype(np.int64)
    return np.minimum(picked, n - 1)
