"""Number, size, shape and place of a mask by other formulae than the package's own.

Parts by a graph of neighbouring pixels instead of scanning; areas by the shoelace formula along pixel edges instead of
counting; places by the middle pixel of each axis instead of the centre of gravity; axes by the narrowest and widest
Feret diameter instead of moments; hulls by pixels instead of polygons; the smallest rectangle by turning instead of
along the hull's sides. The words' definitions, borders included, are the documented ones.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_NINTHS = {
    (0, 0): "upper left",
    (0, 1): "upper centre",
    (0, 2): "upper right",
    (1, 0): "centre left",
    (1, 1): "centre",
    (1, 2): "centre right",
    (2, 0): "lower left",
    (2, 1): "lower centre",
    (2, 2): "lower right",
}
_ACROSS = ("spread across the upper part", "spread across the middle", "spread across the lower part")
_DOWN = ("spread down the left side", "spread down the middle", "spread down the right side")


def words_of(mask: npt.NDArray[Any]) -> dict[str, str]:
    """The four words for a mask ``(Y, X)``: bool, or integers of which every value is a part."""
    parts = _graph_parts(mask) if mask.dtype == np.bool_ else [mask == v for v in np.unique(mask) if v]
    areas = np.array([shoelace_area(p) for p in parts])
    counted = [p for p, a in zip(parts, areas, strict=True) if a >= 0.02 * areas.max()]
    return {
        "number": _number(len(counted)),
        "size": _size(float(np.median([shoelace_area(p) for p in counted])) / mask.size),
        "shape": _shape(counted),
        "location": _location(counted),
    }


def shoelace_area(part: Mask) -> float:
    """Area inside the pixel edges: the sum of ``x dy`` over every edge between inside and outside."""
    wide = np.pad(part, 1).astype(np.int8)
    # each vertical edge at x between two pixels counts x, up or down by which side is inside
    steps = np.diff(wide, axis=1)
    x = np.arange(1, wide.shape[1])
    return float(-(steps * x).sum())


def _graph_parts(mask: Mask) -> list[Mask]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = np.full(mask.shape, -1)
    place[mask] = np.arange(np.count_nonzero(mask))
    joined = []
    for one, other in (
        (place[:, :-1], place[:, 1:]),
        (place[:-1], place[1:]),
        (place[:-1, :-1], place[1:, 1:]),
        (place[:-1, 1:], place[1:, :-1]),
    ):
        both = (one >= 0) & (other >= 0)
        joined.append(np.stack([one[both], other[both]]))
    a, b = np.concatenate(joined, axis=1)
    n = np.count_nonzero(mask)
    count, of = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(n, n)), directed=False)
    found = []
    for i in range(count):
        part = np.zeros(mask.shape, bool)
        part[mask] = of == i
        found.append(part)
    return found


def _number(count: int) -> str:
    return {1: "one", 2: "two"}.get(count, "several" if count <= 9 else "many")


def _size(share: float) -> str:
    return "tiny" if share < 0.0025 else "small" if share < 0.05 else "medium-sized" if share < 0.2 else "large"


def _location(parts: list[Mask]) -> str:
    """Third of the middle pixel; of several parts a third must hold half of the pixels, or the axis says nothing."""
    whole = np.any(parts, axis=0)
    thirds: list[int | None] = []
    for axis in (1, 0):
        along = whole.sum(axis=axis)
        total = np.cumsum(along)
        third = int((np.searchsorted(total, total[-1] / 2) + 0.5) * 3 / len(along))
        low, high = np.searchsorted((np.arange(len(along)) + 0.5) * 3 / len(along), [third, third + 1])
        thirds.append(third if len(parts) == 1 or along[low:high].sum() >= 0.5 * total[-1] else None)
    row, column = thirds
    if row is None and column is None:
        return "spread over the whole image"
    if row is None:
        return _DOWN[column or 0]
    return _ACROSS[row] if column is None else _NINTHS[row, column]


def _shape(parts: list[Mask]) -> str:
    """Word of most parts; empty where they are too small or no word is that of half of them."""
    ordered = sorted(parts, key=lambda p: int(p.sum()))
    if len(ordered) > 48:
        ordered = [ordered[i] for i in np.linspace(0, len(ordered) - 1, 48).round().astype(int)]
    words = [shape_word(p) for p in ordered if p.sum() >= 24]
    if 2 * len(words) < len(ordered) or not words:
        return ""
    word, count = Counter(words).most_common(1)[0]
    return word if count >= 0.5 * len(words) else ""


def shape_word(part: Mask) -> str:
    """The word for one part."""
    from scipy import ndimage
    from skimage.measure import perimeter
    from skimage.morphology import convex_hull_image

    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    part = part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = max(1, round(96 / max(part.shape)))
    # small parts are looked at through a magnifying glass, so that a hull of pixels is not all border
    seen = np.pad(np.kron(part, np.ones((scale, scale), bool)), 12)
    outside, _ = ndimage.label(~seen)
    outer = outside == outside[0, 0]
    filled = ~outer
    if 1 - seen.sum() / filled.sum() >= 0.08:
        return "ring-shaped"
    sigma = 0.04 * 2 * np.sqrt(filled.sum() / np.pi)
    smooth = ndimage.gaussian_filter(np.pad(filled, 40).astype(float), sigma) > 0.5
    hull = convex_hull_image(smooth, offset_coordinates=False)
    solidity = smooth.sum() / hull.sum()
    roughness = perimeter(smooth, 8) / perimeter(hull, 8)
    if roughness >= 1.3:
        return "irregular"
    if solidity < 0.88:
        if roughness >= 1.18:
            return "irregular"
        pieces, _ = ndimage.label(hull & ~smooth)
        largest = np.bincount(pieces.ravel())[1:].max() / (hull & ~smooth).sum()
        return "curved" if solidity < 0.75 and largest >= 0.75 else "lobed"
    filling, aspect = _turned(smooth)
    if filling >= 0.92 and aspect >= 0.25:
        return "rectangular"
    if filling < 0.62:
        return "triangular"
    return "elongated" if aspect < 0.5 else "oval" if aspect < 0.8 else "round"


def _turned(part: Mask) -> tuple[float, float]:
    """Share of the smallest rectangle around a part that it fills, and narrowest over widest diameter, by turning."""
    y, x = np.nonzero(part)
    turns = np.deg2rad(np.arange(0, 180, 1.0))
    widths = np.ptp(y[:, None] * np.cos(turns) + x[:, None] * np.sin(turns), axis=0) + 1
    return float(part.sum() / (widths * np.roll(widths, 90)).min()), float(widths.min() / widths.max())
