"""Outlines become exactly the pixels whose centres they hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage.measure import points_in_poly

from napari_promptseg.errors import InputError
from napari_promptseg.images.outlines import MarkedPixels, ellipse_mask, polygon_mask

SHAPE = (40, 56)


def polygons(least=3, most=9):
    """No centre lies on a side, so that no rule for that matters."""
    whole = arrays.arrays(np.int64, st.tuples(st.integers(least, most), st.just(2)), elements=st.integers(-40, 260))
    return whole.map(lambda n: n * [np.sqrt(2) / 6, np.sqrt(3) / 7] + [0.11, 0.07])


def rectangle(top, left, bottom, right, shape=SHAPE):
    return polygon_mask([(top, left), (top, right), (bottom, right), (bottom, left)], shape)


def mask_or_nothing(vertices, shape=SHAPE):
    try:
        return polygon_mask(vertices, shape).mask
    except InputError:
        return np.zeros(shape, bool)


def shoelace(vertices):
    rows, columns = vertices.T
    return abs(np.dot(rows, np.roll(columns, -1)) - np.dot(columns, np.roll(rows, -1))) / 2


def convex(vertices):
    from scipy.spatial import ConvexHull, QhullError

    try:
        return vertices[ConvexHull(vertices).vertices]
    except QhullError:
        assume(False)


@given(polygons())
@settings(max_examples=150, deadline=None)
def test_even_odd_as_another_implementation_finds_it(vertices):
    centres = np.argwhere(np.ones(SHAPE, bool))
    expected = points_in_poly(centres, vertices).reshape(SHAPE)
    assert np.array_equal(mask_or_nothing(vertices), expected)


@given(polygons(3, 12))
@settings(max_examples=100, deadline=None)
def test_area_is_the_shoelace_area_within_the_perimeter(vertices):
    around = convex(np.clip(vertices, 0.11, [SHAPE[0] - 0.61, SHAPE[1] - 0.61]))
    perimeter = np.linalg.norm(around - np.roll(around, 1, axis=0), axis=1).sum()
    assert abs(mask_or_nothing(around).sum() - shoelace(around)) <= perimeter + 1


@given(polygons(), st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=80, deadline=None)
def test_moved_and_mirrored_outlines_hold_moved_and_mirrored_pixels(vertices, down, right):
    large = (140, 140)
    around = vertices + 40
    mask = mask_or_nothing(around, large)
    moved = around + np.array([down, right])
    assert np.array_equal(mask_or_nothing(moved, large), np.roll(mask, (down, right), (0, 1)))
    assert np.array_equal(mask_or_nothing([139, 0] + around * [-1, 1], large), mask[::-1])
    assert np.array_equal(mask_or_nothing([0, 139] + around * [1, -1], large), mask[:, ::-1])
    assert np.array_equal(mask_or_nothing(around[:, ::-1], large), mask.T)
    assert np.array_equal(mask_or_nothing(around[::-1], large), mask)


@given(arrays.arrays(np.int64, st.tuples(st.integers(4, 10), st.just(2)), elements=st.integers(0, 40)), st.data())
@settings(max_examples=150, deadline=None)
def test_two_halves_share_no_pixel_and_make_the_whole_also_with_centres_on_their_sides(vertices, data):
    around = convex(vertices.astype(float))
    assume(len(around) >= 4)
    cut = data.draw(st.integers(2, len(around) - 2))
    whole = mask_or_nothing(around)
    one, other = mask_or_nothing(around[: cut + 1]), mask_or_nothing(np.concatenate([around[cut:], around[:1]]))
    assert not (one & other).any()
    assert np.array_equal(one | other, whole)


def test_rectangles_are_exact():
    marked = rectangle(3, 5, 9, 20)
    assert (marked.corner, marked.crop.shape, marked.n_pixels) == ((3, 5), (6, 15), 90)
    assert np.array_equal(rectangle(9, 20, 3, 5).mask, marked.mask)
    around_centres = rectangle(2.5, 4.5, 8.5, 19.5)
    assert np.array_equal(around_centres.mask, marked.mask)
    whole = rectangle(-0.5, -0.5, 39.5, 55.5)
    assert whole.mask.all()


@pytest.mark.parametrize("turn", [0.0, 0.4, 2.1])
@pytest.mark.parametrize("shear", [0.0, 0.5])
def test_ellipses_have_their_area_and_their_equation(turn, shear):
    a, b = 12.3, 7.1
    frame = np.array([[-a, -b], [-a, b], [a, b], [a, -b]]) @ np.array([[1, shear], [0, 1]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    frame = frame @ rotation.T + [24.2, 26.7]
    mask = ellipse_mask(frame, (50, 60)).mask
    assert mask.sum() == pytest.approx(np.pi * a * b, rel=0.02)
    angles = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    centre, half = frame.mean(axis=0), np.stack([frame[1] - frame[0], frame[2] - frame[1]]) / 2
    many_sided = centre + np.stack([np.cos(angles), np.sin(angles)], axis=1) @ half
    assert (mask ^ polygon_mask(many_sided, (50, 60)).mask).sum() <= 1


def test_a_figure_of_eight_has_two_parts_and_a_star_an_open_middle():
    eight = polygon_mask([(5, 5), (25, 25), (5, 25), (25, 5)], SHAPE).mask
    assert eight[15, 6:12].all()
    assert eight[15, 19:24].all()
    assert not eight[6:12, 15].any()
    assert not eight[19:24, 15].any()
    assert eight.sum() == pytest.approx(200, abs=30)
    angles = np.arange(5) * 4 * np.pi / 5
    star = polygon_mask(np.stack([20 + 15 * np.sin(angles), 28 + 15 * np.cos(angles)], axis=1), SHAPE).mask
    assert not star[20, 28]
    assert star[20, 40]


def test_what_reaches_beyond_the_image_is_cut_off():
    mask = polygon_mask([(-20, -30), (-20, 10), (10, 10), (10, -30)], SHAPE).mask
    assert mask[:10, :10].all()
    assert mask.sum() == 100
    ellipse = ellipse_mask([(-10.2, -10.2), (-10.2, 10.2), (10.2, 10.2), (10.2, -10.2)], SHAPE)
    assert ellipse.corner == (0, 0)
    assert ellipse.n_pixels == pytest.approx(np.pi * 10.2**2 / 4 + 10.2, abs=3)  # and half a pixel beyond the axes
    assert polygon_mask([(-1e12, -1e12), (-1e12, 1e12), (1e12, 1e12), (1e12, -1e12)], SHAPE).mask.all()


@pytest.mark.parametrize(
    ("vertices", "words"),
    [
        ([(50, 3), (50, 9), (60, 9)], "outside the image"),
        ([(3, -9), (9, -9), (9, -2)], "outside the image"),
        ([(3, 3), (9, 9), (20, 20), (5, 5)], "no area"),
        ([(3, 3), (3, 3), (3, 3)], "no area"),
        ([(3, 3), (9, 9)], "no area"),
        (np.empty((0, 2)), "no area"),
        ([(3.1, 3.1), (3.1, 3.9), (3.9, 3.9)], "no pixel's centre"),
        ([(-0.4, -0.4), (-0.4, -0.1), (-0.1, -0.1)], "no pixel's centre"),
        ([(3, 3), (3, np.nan), (9, 9)], "finite"),
        ([(3, 3, 3), (3, 9, 3), (9, 9, 3)], "rows and columns"),
    ],
)
def test_what_is_no_outline_is_said_in_one_sentence(vertices, words):
    with pytest.raises(InputError, match=words) as caught:
        polygon_mask(vertices, SHAPE)
    assert str(caught.value).count(".") == 1


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ([(50, 3), (50, 9), (60, 9), (60, 3)], "outside the image"),
        ([(3, 3), (9, 9), (20, 20), (14, 14)], "no area"),
        ([(3.1, 3.1), (3.1, 3.9), (3.9, 3.9), (3.9, 3.1)], "no pixel's centre"),
        ([(3, 3), (3, 9), (np.inf, 9), (np.inf, 3)], "finite"),
        ([(3, 3), (3, 9), (9, 9)], "3 corners"),
    ],
)
def test_what_is_no_ellipse_is_said_in_one_sentence(frame, words):
    with pytest.raises(InputError, match=words) as caught:
        ellipse_mask(frame, SHAPE)
    assert str(caught.value).count(".") == 1


def test_one_pixel_is_kept_here_and_refused_where_regions_are_described():
    marked = rectangle(3.5, 4.5, 4.5, 5.5)
    assert (marked.corner, marked.n_pixels) == ((4, 5), 1)


def test_only_the_box_is_kept_of_a_huge_plane():
    marked = rectangle(50_000, 70_000, 50_040, 70_010, (100_000, 100_000))
    assert marked.crop.shape == (40, 10)
    assert marked.box == (slice(50_000, 50_040), slice(70_000, 70_010))


def test_marked_pixels_of_a_mask_come_back():
    mask = np.zeros(SHAPE, bool)
    mask[4, 5] = mask[9, 30] = True
    marked = MarkedPixels.from_mask(mask)
    assert marked.crop.shape == (6, 26)
    assert np.array_equal(marked.mask, mask)
    with pytest.raises(InputError, match="no pixel's centre"):
        MarkedPixels.from_mask(np.zeros(SHAPE, bool))
