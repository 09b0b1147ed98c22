"""Masks and pictures whose words can be told by eye."""

from __future__ import annotations

import numpy as np

SIDE = 120


def grid(shape=(SIDE, SIDE)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return y + 0.5, x + 0.5


def ellipse(centre=(60, 60), radii=(15, 15), turn=0.0, shape=(SIDE, SIDE)):
    y, x = grid(shape)
    down, across = y - centre[0], x - centre[1]
    a = across * np.cos(turn) + down * np.sin(turn)
    b = down * np.cos(turn) - across * np.sin(turn)
    return (b / radii[0]) ** 2 + (a / radii[1]) ** 2 <= 1


def star(centre=(60, 60), inner=13, outer=34, points=9):
    y, x = grid()
    angle = np.arctan2(y - centre[0], x - centre[1])
    saw = np.abs((angle * points / (2 * np.pi)) % 1 - 0.5) * 2
    return np.hypot(y - centre[0], x - centre[1]) <= inner + (outer - inner) * saw


def on_ground(mask, thing=(200, 200, 200), ground=(90, 90, 90)):
    picture = np.empty((*mask.shape, 3), np.uint8)
    picture[...] = ground
    picture[mask] = thing
    return picture
