"""Which shape is which, through edits, deletions and undoing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import numpy as np
import numpy.typing as npt

#: What a shape looks like: its type and vertices.
Print = tuple[str, bytes]


def print_of(kind: str, vertices: npt.ArrayLike) -> Print:
    """By what a shape is known again; two shapes with the same one lie exactly on each other."""
    return kind, np.asarray(vertices, dtype=np.float32).tobytes()


class RegionKeys:
    """Gives each shape of one layer a key and keeps it.

    Notes
    -----
    napari's table of features follows most edits, but not all: a polygon that was given up or that lost its last
    vertices leaves its row, and new data leaves the rows as they were. So a row's key counts only where the shape's
    vertices do not say otherwise. Shapes that were removed are remembered, so that one that comes back has its key.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Print] = {}

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
        by_print = {mark: key for key, mark in self._seen.items() if key not in used}
        for i, mark in enumerate(prints):
            key = by_print.get(mark, "")
            if not keys[i] and key and key not in used:
                settle(i, key)
        for i, row in enumerate(padded):
            if not keys[i]:
                settle(i, row if row and row not in used else uuid4().hex[:12])
        self._seen.update(zip(keys, prints, strict=True))
        return keys
