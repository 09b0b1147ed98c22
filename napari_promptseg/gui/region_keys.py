"""Which shape is which, through edits, deletions and undoing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import numpy as np
import numpy.typing as npt

#: What a shape looks like: its type and vertices.
Print = tuple[str, bytes]

#: So many places of shapes are remembered, the newest.
REMEMBERED = 2000


def print_of(kind: str, vertices: npt.ArrayLike) -> Print:
    """By what a shape is known again; two shapes with the same one lie exactly on each other."""
    return kind, np.asarray(vertices, dtype=np.float32).tobytes()


class RegionKeys:
    """Gives each shape of one layer a key and keeps it.

    Notes
    -----
    napari's table of features follows most edits, but not all: a polygon that was given up or that lost its last
    vertices leaves its row, and new data leaves the rows as they were. So a row's key counts only where the shape's
    vertices do not say otherwise. Vertices that a shape had before, and those of removed ones, are remembered, so that
    what is undone by whatever means has its key again.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Print] = {}
        self._had: dict[Print, str] = {}

    def match(self, rows: Sequence[str], prints: Sequence[Print]) -> list[str]:
        """Keys of the shapes as they are now.

        Parameters
        ----------
        rows : sequence of str
            Keys in the layer's table; ``""`` for new ones. There may be too many or too few.
        prints : sequence of Print
            Of the layer's shapes.
        """
        keys = [""] * len(prints)
        padded = [*rows, *[""] * len(prints)][: len(prints)]
        used: set[str] = set()

        def settle(i: int, key: str) -> None:
            keys[i] = key
            used.add(key)

        for i, (row, mark) in enumerate(zip(padded, prints, strict=True)):
            if row and row not in used and self._seen.get(row) == mark:
                settle(i, row)
        seen = {mark: key for key, mark in self._seen.items() if key not in used}
        for known in (seen, self._had):
            for i, mark in enumerate(prints):
                key = known.get(mark, "")
                if not keys[i] and key and key not in used:
                    settle(i, key)
        for i, row in enumerate(padded):
            if not keys[i]:
                settle(i, row if row and row not in used else uuid4().hex[:12])
        self._seen.update(zip(keys, prints, strict=True))
        for key, mark in zip(keys, prints, strict=True):
            self._had.pop(mark, None)
            self._had[mark] = key
        for mark in list(self._had)[: max(0, len(self._had) - REMEMBERED)]:
            del self._had[mark]
        return keys
