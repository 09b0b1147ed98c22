"""Any pixels become an 8-bit RGB picture: never a warning, never a wrong type, the same value the same grey."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_promptseg.errors import InputError
from napari_promptseg.images.normalisation import SOFT_TISSUE_WINDOW, measure_limits, to_rgb8

KINDS = ("auto", "rgb", "grey", "fluorescence", "thermal", "depth", "nir", "ct", "mr")
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "int32", "uint64", "float16", "float32", "float64")

planes = st.sampled_from(DTYPES).flatmap(
    lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=7))
)


@settings(max_examples=300, deadline=None)
@given(planes, st.sampled_from(KINDS))
def test_every_plane_becomes_a_picture(plane, kind):
    picture = to_rgb8(plane, kind)
    assert picture.dtype == np.uint8
    assert picture.shape == (*plane.shape[:2], 3)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, st.tuples(st.integers(1, 6), st.integers(1, 6)))),
    st.sampled_from(KINDS),
)
def test_brighter_stays_brighter(plane, kind):
    grey = to_rgb8(plane, kind)[..., 0].ravel().astype(int)
    values = plane.ravel()
    if values.dtype.kind == "f":
        keep = np.isfinite(values)
        grey, values = grey[keep], values[keep]
    assert np.all(np.diff(grey[np.argsort(values, kind="stable")]) >= 0)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays("float32", (6, 5), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from(KINDS))
def test_a_part_with_the_shared_limits_looks_like_the_part_of_the_whole(plane, kind):
    limits = measure_limits(plane, kind)
    whole = to_rgb8(plane, kind, limits)
    np.testing.assert_array_equal(to_rgb8(plane[2:4, 1:3], kind, limits), whole[2:4, 1:3])
    np.testing.assert_array_equal(whole, to_rgb8(plane, kind))


def test_8_bit_pictures_stay_as_they_are():
    rng = np.random.default_rng(0)
    rgb = rng.integers(40, 90, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb8(rgb), rgb)
    opaque = np.dstack([rgb, np.full((5, 6), 255, np.uint8)])
    np.testing.assert_array_equal(to_rgb8(opaque), rgb)
    np.testing.assert_array_equal(to_rgb8(rgb[..., 0]), np.repeat(rgb[..., :1], 3, axis=-1))
    np.testing.assert_array_equal(to_rgb8(rgb[..., :1]), np.repeat(rgb[..., :1], 3, axis=-1))


def test_transparent_pixels_are_black():
    rgba = np.full((2, 2, 4), 200, np.uint8)
    rgba[0, 0, 3] = 0
    rgba[1, 1, 3] = 255
    picture = to_rgb8(rgba)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[1, 1].tolist() == [200, 200, 200]
    assert picture[0, 1].tolist() == [157, 157, 157]  # 200 * 200 / 255


def test_float_rgb_between_0_and_1_keeps_its_colours():
    rgb = np.random.default_rng(1).uniform(0.2, 0.6, (8, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(to_rgb8(rgb), rgb * 255, atol=0.51)
    np.testing.assert_array_equal(to_rgb8(np.round(rgb * 255)), np.round(rgb * 255))


def test_16_bit_is_cut_at_percentiles_so_a_hot_pixel_does_not_blacken_the_rest():
    plane = np.random.default_rng(2).integers(1000, 1500, (100, 100)).astype(np.uint16)
    plane[3, 4] = 65535
    picture = to_rgb8(plane)
    assert picture.min() == 0
    assert picture.max() == 255
    assert 100 < np.median(picture) < 155


def test_sparse_spots_on_a_flat_ground_are_still_seen():
    plane = np.zeros((100, 100), np.uint16)
    plane[50, 50] = 900
    picture = to_rgb8(plane)
    assert picture[50, 50, 0] == 255
    assert picture[0, 0, 0] == 0


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_picture_is_safe(value):
    assert len(np.unique(to_rgb8(np.full((4, 4), value, np.uint16)))) == 1
    assert len(np.unique(to_rgb8(np.full((4, 4), value, np.float64), "mr"))) == 1


def test_nan_is_black_and_infinity_white():
    plane = np.linspace(0, 1, 100).reshape(10, 10)
    plane[0, 0], plane[0, 1], plane[0, 2] = np.nan, np.inf, -np.inf
    picture = to_rgb8(plane)[..., 0]
    assert picture[0, :3].tolist() == [0, 255, 0]
    assert not to_rgb8(np.full((3, 3), np.nan)).any()


def test_huge_values_do_not_overflow():
    picture = to_rgb8(np.array([[-1.7e308, 0.0, 1.7e308]]))[..., 0]
    assert picture[0].tolist() == [0, 128, 255]


def test_ct_in_hounsfield_units_gets_the_soft_tissue_window():
    ct = np.array([[-1000, -160, 40, 240, 3000]], np.int16)
    assert measure_limits(ct, "ct") == SOFT_TISSUE_WINDOW
    assert to_rgb8(ct, "ct")[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert measure_limits(np.arange(400, dtype=np.uint16).reshape(20, 20), "ct") != SOFT_TISSUE_WINDOW


@pytest.mark.parametrize("kind", ["mr", "depth"])
def test_zero_means_nothing_measured_and_is_left_out_of_the_limits(kind):
    plane = np.zeros((100, 100), np.float32)
    plane[:20] = np.random.default_rng(3).uniform(500, 600, (20, 100))
    low, high = measure_limits(plane, kind)
    assert 500 <= low < 515
    assert 585 < high <= 600


def test_two_channels_are_green_and_magenta_each_by_its_own_limits():
    pair = np.zeros((10, 10, 2), np.uint16)
    pair[:5, :, 0] = 100
    pair[5:, :, 1] = 60000
    picture = to_rgb8(pair)
    assert picture[0, 0].tolist() == [0, 255, 0]
    assert picture[9, 9].tolist() == [255, 0, 255]


def test_many_channels():
    five = np.zeros((4, 4, 5), np.uint8)
    five[..., 3:] = 200
    assert not to_rgb8(five).any()  # the first three as RGB
    five[0, 0, 3:] = 0
    assert to_rgb8(five, "fluorescence")[1, 1].any()  # merged
    assert not to_rgb8(five, "fluorescence")[0, 0].any()


def test_limits_are_those_of_the_whole_stack_and_cheap_on_a_lazy_one():
    reads = []

    class Lazy:
        shape = (40, 3000, 3000)
        dtype = np.dtype("uint16")

        def __getitem__(self, at):
            if isinstance(at, (int, np.integer)):
                return LazyPlane(int(at))
            raise AssertionError("only planes are read")

    class LazyPlane:
        shape = (3000, 3000)
        dtype = np.dtype("uint16")

        def __init__(self, z):
            self.z = z

        def __getitem__(self, at):
            rows, columns = at
            part = np.full((rows.stop - rows.start, columns.stop - columns.start), 100 + self.z, np.uint16)
            reads.append(part.size)
            return part

    assert measure_limits(Lazy()) == (100.0, 139.0)
    assert sum(reads) <= 1_000_000


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros(5), "shape \\(5,\\)"),
        (np.zeros((2, 2, 2, 2)), "shape"),
        (np.zeros((0, 4)), "empty"),
        (np.zeros((2, 2), complex), "complex"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_what_is_no_plane_is_refused(bad, words):
    with pytest.raises(InputError, match=words):
        to_rgb8(bad)


def test_limits_must_be_finite():
    with pytest.raises(InputError, match="finite"):
        to_rgb8(np.zeros((2, 2)), limits=(float("nan"), 1.0))
