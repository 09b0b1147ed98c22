"""The stroke that a pixel looks most like."""

from __future__ import annotations

import numpy as np
from pixel_encoder import PixelEncoder

from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.likeness import most_alike


def halves(first: tuple[int, int, int], second: tuple[int, int, int]) -> np.ndarray:
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16], picture[:, 16:] = first, second
    return picture


def test_a_pixel_looks_like_the_stroke_on_its_own_colour() -> None:
    features = PixelEncoder().encode_plane(halves((255, 0, 0), (0, 255, 0)))
    red, green = (Stroke.from_pixels([2, 3], [c, c], 1) for c in (4, 20))
    corrections = Corrections((red, green))
    found = most_alike({0: features}, corrections, 0, (10, 10))
    assert found is not None
    assert found.stroke is red
    assert found.similarity > 0.99
    assert most_alike({0: features}, corrections, 0, (10, 30)).stroke is green


def test_strokes_of_other_planes_count_where_their_features_are_there() -> None:
    encoder = PixelEncoder()
    here = encoder.encode_plane(halves((255, 0, 0), (0, 255, 0)))
    there = encoder.encode_plane(halves((0, 255, 0), (255, 0, 0)))
    far = Stroke.from_pixels([2], [4], 1, plane=3)
    assert most_alike({0: here}, Corrections((far,)), 0, (5, 20)) is None
    found = most_alike({0: here, 3: there}, Corrections((far,)), 0, (5, 20))
    assert found is not None
    assert found.stroke is far
