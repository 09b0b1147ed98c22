"""Simulated regions and simulated hands: the same region drawn twice is never the same mask."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

#: How far a hand strays from an outline, one standard deviation: in diameters, and in pixels.
STRAY, STRAY_PIXELS = 0.015, 0.5


def random_region(rng: np.random.Generator, diameter: float, shape: tuple[int, int]) -> Mask:
    """A blob of about that diameter in pixels: an ellipse with bulges and notches, anywhere that it fits.

    Parameters
    ----------
    rng : numpy.random.Generator
    diameter : float
        Of a disc with the blob's area, before bulges.
    shape : tuple of int
        ``(Y, X)`` of the mask.
    """
    aspect = rng.uniform(0.3, 1.0)
    turn = rng.uniform(0, np.pi)
    half = diameter / 2 / np.sqrt(aspect)
    room = [max(n / 2 - half * 1.2, 1.0) for n in shape]
    centre = [n / 2 + rng.uniform(-r, r) for n, r in zip(shape, room, strict=True)]
    y, x = np.mgrid[: shape[0], : shape[1]]
    down, across = y + 0.5 - centre[0], x + 0.5 - centre[1]
    along = (across * np.cos(turn) + down * np.sin(turn)) / half
    aside = (down * np.cos(turn) - across * np.sin(turn)) / (half * aspect)
    angle, radius = np.arctan2(aside, along), np.hypot(along, aside)
    edge = np.ones(shape)
    strength = rng.choice([0.0, 0.05, 0.15, 0.3])
    for order in range(2, 9):
        edge += strength / np.sqrt(order) * rng.normal() * np.cos(order * angle + rng.uniform(0, 2 * np.pi)) / 2
    found: Mask = radius < np.maximum(edge, 0.25)
    return found if np.count_nonzero(found) >= 4 else radius < 1.2


def redrawn(mask: Mask, rng: np.random.Generator) -> Mask:
    """The same region as another hand would draw it: the outline strays, smoothly along its length.

    Parameters
    ----------
    mask : numpy.ndarray
        ``(Y, X)`` bool.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` bool; the mask itself where nothing would be left.
    """
    _, parts = ndimage.label(mask, structure=np.ones((3, 3)))
    diameter = 2 * np.sqrt(np.count_nonzero(mask) / max(parts, 1) / np.pi)
    stray = np.hypot(STRAY * diameter, STRAY_PIXELS)
    smooth = max(1.0, diameter / 6)
    reach = int(np.ceil(4 * stray)) + 2
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    window = (
        slice(max(0, rows[0] - reach), rows[-1] + reach + 1),
        slice(max(0, columns[0] - reach), columns[-1] + reach + 1),
    )
    part = mask[window]
    field = ndimage.gaussian_filter(rng.normal(size=part.shape), smooth, mode="reflect")
    field *= stray / max(float(field.std()), 1e-9)
    depth = ndimage.distance_transform_edt(part) - ndimage.distance_transform_edt(~part)
    depth -= 0.5 * np.sign(depth)
    drawn = mask.copy()
    drawn[window] = depth + field > 0
    return drawn if np.count_nonzero(drawn) >= 4 else mask
