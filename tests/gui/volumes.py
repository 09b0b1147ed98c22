"""A volume in a patient whose every voxel can be told apart, and what a person does to its planes."""

from __future__ import annotations

from typing import Any

import numpy as np
from correcting import settle

from napari_promptseg.images.geometry import Geometry

#: ``(z, y, x)``, all different.
SHAPE = (12, 20, 28)

#: Length of a step along each, in mm.
SPACING = (3.0, 2.0, 1.0)


def geometry(shape: tuple[int, int, int] = SHAPE, spacing: tuple[float, float, float] = SPACING) -> Geometry:
    """Upright, its first voxel at x = -10, y = -20, z = 30 mm."""
    z, y, x = shape
    affine = np.diag([spacing[2], spacing[1], spacing[0], 1.0])
    affine[:3, 3] = (-10.0, -20.0, 30.0)
    return Geometry.of_file((x, y, z), affine)


def volume() -> np.ndarray:
    """RGB: red and green halves along x, blue in a box that touches no side."""
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[:, :, :14, 0] = 255
    pixels[:, :, 14:, 1] = 255
    pixels[3:8, 4:10, 6:12] = (0, 0, 255)
    return pixels


def add_volume(viewer: Any, pixels: Any = None, *, placed: Geometry | None = None, **keywords: Any) -> Any:
    """A layer as the readers make it."""
    placed = placed or geometry()
    pixels = volume() if pixels is None else pixels
    return viewer.add_image(
        pixels,
        rgb=pixels.ndim == 4,
        name=keywords.pop("name", "head"),
        scale=placed.spacing,
        translate=placed.origin,
        units=("millimeter",) * 3,
        axis_labels=("z", "y", "x"),
        metadata={"geometry": placed},
        **keywords,
    )


def is_right_handed(viewer: Any) -> bool:
    """Whether the viewer shows ``(z, y, x)`` as they lie in space, and not their mirror image."""
    camera = getattr(viewer, "scene", viewer).camera
    # along the screen's right, up, and out of it
    ways = {"right": (1, 0, 0), "left": (-1, 0, 0), "up": (0, 1, 0), "down": (0, -1, 0)}
    ways |= {"towards": (0, 0, 1), "away": (0, 0, -1)}
    columns: dict[int, tuple[int, int, int]] = {}
    for axis, way in zip(viewer.dims.order[-3:], camera.orientation, strict=True):
        columns[axis - viewer.dims.ndim] = ways[str(getattr(way, "value", way))]
    return bool(np.linalg.det(np.array([columns[-1], columns[-2], columns[-3]])) > 0)


def painted(session: Any, qtbot: Any, at: tuple[int, int, int], value: int, size: int = 3) -> None:
    """A stroke of the brush, and what it sets off."""
    layer = session.result_layer
    layer.brush_size, layer.mode = size, "paint"
    layer.paint(at, value)
    settle(session, qtbot)
