"""From what a person did to a label layer to strokes: an edit adds some, undoing it takes them away again.

Only planes of numbers are compared, so that brush, fill, polygon, eraser, undo, redo and direct writes are all one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.learning.corrections import Corrections, Stroke, StrokeKind
from napari_promptseg.learning.strokes import difference

Ints = npt.NDArray[np.int64]

#: What a difference between two looks turned out to be.
Taken = Literal["edit", "undo", "redo"]

#: Edits that can be recognised when they are undone; napari itself keeps as many steps.
MOST_EDITS = 100

#: Memory for them, in pixels.
MOST_PIXELS = 16_000_000


@dataclass(frozen=True, eq=False)
class Edit:
    """One thing a person did.

    Parameters
    ----------
    plane : int
    at : numpy.ndarray
        ``(n,)`` sorted places in the ravelled plane.
    before, after : numpy.ndarray
        ``(n,)`` labels there.
    strokes : tuple of Stroke
        What it became.
    """

    plane: int
    at: Ints
    before: npt.NDArray[Any]
    after: npt.NDArray[Any]
    strokes: tuple[Stroke, ...]

    @property
    def confirms(self) -> bool:
        """Whether it changed no label: a point that says a pixel is right. napari has no step to undo it with."""
        return bool(np.array_equal(self.before, self.after))


class EditLog:
    """The corrections of one image, and the edits they came from."""

    def __init__(self) -> None:
        self.corrections = Corrections()
        self._done: list[Edit] = []
        self._undone: list[Edit] = []

    def take(
        self, plane: int, seen: npt.NDArray[Any], now: npt.NDArray[Any], *, kind: StrokeKind | None = None
    ) -> Taken | None:
        """Account for the difference between two looks at a plane; gives what it was, None where there was none.

        Parameters
        ----------
        plane : int
        seen, now : numpy.ndarray
            ``(Y, X)`` labels at the last look and now.
        kind : StrokeKind, optional
            The tool that painted. Without one it may have been an undo or a redo, or a direct write.
        """
        changed = np.flatnonzero(seen != now)
        if not changed.size:
            return None
        flat = now.ravel()
        # An edit undone whole comes first, then one done again, which may look as another one undone in part.
        if kind is None and self._undo(plane, changed, flat, now.shape[1], whole=True):
            return "undo"
        if kind is None and self._redo(plane, changed, flat):
            return "redo"
        if kind is None and self._undo(plane, changed, flat, now.shape[1], whole=False):
            return "undo"
        strokes = difference(seen, now, plane, kind=kind)
        if kind in ("brush", "erase", "polygon"):
            strokes = _joined(strokes)
        elif kind is None:
            strokes = difference(seen, now, plane, kind="edit")
        self.add(Edit(plane, changed, seen.ravel()[changed], flat[changed], tuple(strokes)))
        return "edit"

    def step_back(self, plane: int, seen: npt.NDArray[Any], now: npt.NDArray[Any]) -> Taken | None:
        """As `take`, for a difference that is accounted for only if it is an edit undone whole, or one done again."""
        changed = np.flatnonzero(seen != now)
        if not changed.size:
            return None
        flat = now.ravel()
        if self._undo(plane, changed, flat, now.shape[1], whole=True):
            return "undo"
        return "redo" if self._redo(plane, changed, flat) else None

    @property
    def planes(self) -> tuple[int, ...]:
        """Planes of the edits that can be undone or done again, the newest first."""
        return tuple(dict.fromkeys(edit.plane for edit in (*reversed(self._done), *reversed(self._undone))))

    def add(self, edit: Edit) -> None:
        """Take in the strokes of an edit, and remember it."""
        self.corrections = self.corrections.with_added(edit.strokes)
        self._done.append(edit)
        self._undone.clear()
        while len(self._done) > MOST_EDITS or (
            len(self._done) > 1 and sum(e.at.size for e in self._done) > MOST_PIXELS
        ):
            self._done.pop(0)

    def reset(self, corrections: Corrections) -> None:
        """Begin anew from other corrections, as when a state is returned to."""
        self.corrections = corrections
        self._done.clear()
        self._undone.clear()

    def delete(self, ids: Sequence[str], plane: npt.NDArray[Any], number: int) -> npt.NDArray[Any]:
        """Remove strokes; gives the plane `number` with what stood under them where that is known."""
        gone = {s.id: s for s in self.corrections if s.id in ids}
        self.corrections = self.corrections.without(*gone)
        out = plane.copy()
        flat = out.ravel()
        for edit in reversed(self._done):
            for stroke in edit.strokes:
                if stroke.id in gone and edit.plane == number:
                    at = _places(stroke, plane.shape[1])
                    found = np.searchsorted(edit.at, at)
                    found = np.minimum(found, edit.at.size - 1)
                    known = edit.at[found] == at
                    flat[at[known]] = edit.before[found[known]]
        return self.corrections.impose(out, number)

    def _undo(self, plane: int, changed: Ints, flat: npt.NDArray[Any], width: int, *, whole: bool) -> bool:
        """Whether all changed places went back to what stood before the newest edits; then their strokes go too.

        With `whole` only if nothing is left of these edits.
        """
        left, matched = changed, []
        for edit in reversed(self._done):
            if edit.plane != plane or edit.confirms:
                continue
            where = np.minimum(np.searchsorted(edit.at, left), edit.at.size - 1)
            inside = edit.at[where] == left
            if not np.array_equal(flat[left[inside]], edit.before[where[inside]]) or not inside.any():
                break
            matched.append(edit)
            left = left[~inside]
            if not left.size:
                break
        if left.size or (whole and any((flat[e.at] != e.before).any() for e in matched)):
            return False
        strokes = {s.id: s for s in self.corrections}
        for edit in matched:
            at = self._done.index(edit)
            back = flat[edit.at] == edit.before
            ids = {s.id for s in edit.strokes}
            if back.all():
                self._done.pop(at)
                self._undone.append(edit)
                strokes = {i: s for i, s in strokes.items() if i not in ids}
                continue
            # Only a part went back: its strokes become smaller.
            reverted = edit.at[back]
            smaller = {s.id: _without(s, reverted, width) for s in edit.strokes}
            strokes = {i: new for i, s in strokes.items() if (new := smaller.get(i, s)) is not None}
            kept = tuple(s for s in smaller.values() if s is not None)
            self._done[at] = Edit(plane, edit.at[~back], edit.before[~back], edit.after[~back], kept)
        self.corrections = Corrections(tuple(strokes.values()))
        return True

    def _redo(self, plane: int, changed: Ints, flat: npt.NDArray[Any]) -> bool:
        """Whether the edits last undone stand again; then their strokes are back."""
        left, matched = changed, []
        for edit in reversed(self._undone):
            if edit.plane != plane or not np.array_equal(flat[edit.at], edit.after):
                break
            matched.append(edit)
            left = left[~np.isin(left, edit.at)]
            if not left.size:
                break
        if left.size or not matched:
            return False
        for edit in matched:
            self._undone.remove(edit)
            self._done.append(edit)
            self.corrections = self.corrections.with_added(edit.strokes)
        return True


def _joined(strokes: Sequence[Stroke]) -> list[Stroke]:
    """One stroke per class: a drag that crosses pixels which were right already is still one stroke."""
    joined = []
    for value in sorted({s.value for s in strokes}):
        mine = [s for s in strokes if s.value == value]
        if len(mine) == 1:
            joined += mine
            continue
        rows, columns = (np.concatenate(parts) for parts in zip(*(s.pixels for s in mine), strict=True))
        joined.append(Stroke.from_pixels(rows, columns, value, plane=mine[0].plane, kind=mine[0].kind))
    return joined


def _places(stroke: Stroke, width: int) -> Ints:
    rows, columns = stroke.pixels
    places: Ints = rows * width + columns
    return places


def _without(stroke: Stroke, places: Ints, width: int) -> Stroke | None:
    """The stroke less some pixels; itself if it has none of them, None if nothing is left."""
    own = _places(stroke, width)
    keep = ~np.isin(own, places)
    if keep.all():
        return stroke
    if not keep.any():
        return None
    rows, columns = np.divmod(own[keep], width)
    return Stroke.from_pixels(rows, columns, stroke.value, plane=stroke.plane, kind=stroke.kind, time=stroke.time)
