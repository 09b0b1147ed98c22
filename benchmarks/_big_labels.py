"""Whether label arrays of several runs are equal: by their chunks' files, and by values where bytes differ."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np


def chunk_digests(labels: Path) -> dict[str, str]:
    """Digest of every chunk file of the first level, by its name; chunks of background alone have no file."""
    level = labels / "0"
    files = [f for f in sorted(level.rglob("*")) if f.is_file() and not f.name.startswith((".z", "zarr.json"))]
    return {f.relative_to(level).as_posix(): hashlib.blake2b(f.read_bytes(), digest_size=16).hexdigest() for f in files}


def compared(first: Path, others: dict[str, Path]) -> dict[str, Any]:
    """Hold the labels of some runs against those of one.

    Parameters
    ----------
    first : pathlib.Path
    others : dict of str to pathlib.Path
        By the name of the run.

    Returns
    -------
    dict
        Whether all labels are equal, how many chunks were compared, and for each run how many differ.
    """
    import zarr

    own = chunk_digests(first)
    array = zarr.open_group(first, mode="r")["0"]
    differ, by_value = {}, 0
    for name, labels in others.items():
        theirs = chunk_digests(labels)
        other = zarr.open_group(labels, mode="r")["0"]
        odd = [key for key in sorted({*own, *theirs}) if own.get(key) != theirs.get(key)]
        by_value += len(odd)
        same = (array.shape, array.dtype, array.chunks) == (other.shape, other.dtype, other.chunks)
        differ[name] = sum(not _equal(array, other, key) for key in odd) if same else max(len(own), 1)
    return {
        "labels_equal_bit_for_bit": not any(differ.values()),
        "chunks_with_labels": len(own),
        "chunks_compared_by_value": by_value,
        "chunks_that_differ": differ,
    }


def _equal(array: Any, other: Any, key: str) -> bool:
    at = tuple(
        slice(int(place) * side, (int(place) + 1) * side)
        for place, side in zip(key.split("/")[-array.ndim :], array.chunks, strict=True)
    )
    return bool(np.array_equal(array[at], other[at]))
