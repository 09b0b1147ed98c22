"""A scene refuses what does not fit together, and shows all its planes and tiles in the same greys."""

from __future__ import annotations

import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack, Modality


def test_planes_and_tiles_share_their_limits():
    volume = np.arange(4 * 20 * 30, dtype=np.float32).reshape(4, 20, 30)
    stack = ImageStack.from_array(volume)
    assert (stack.n_planes, stack.plane_shape) == (4, (20, 30))
    whole = stack.picture(1)
    np.testing.assert_array_equal(stack.picture(1, slice(5, 9), slice(3, 20)), whole[5:9, 3:20])
    assert whole.mean() < stack.picture(2).mean() < stack.picture(3).mean()


def test_given_limits_win():
    stack = ImageStack((Modality("ct", np.full((4, 4), 40, np.int16), kind="ct", limits=(0.0, 80.0)),))
    assert stack.picture()[0, 0, 0] == 128
    assert stack.picture(limits=(40.0, 80.0))[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((9, 9), (9, 9)), ((9, 9, 3), (9, 9)), ((9, 9, 4), (9, 9)), ((9, 9, 5), (9, 9, 5)), ((5, 9, 9, 3), (5, 9, 9))],
)
def test_trailing_colours_are_found(shape, grid):
    assert ImageStack.from_array(np.zeros(shape, np.uint8)).grid == grid


def test_what_does_not_fit_is_refused():
    plane = np.zeros((4, 5))
    with pytest.raises(InputError, match="no modality"):
        ImageStack(())
    with pytest.raises(InputError, match=r"\(4, 6\).*\(4, 5\)"):
        ImageStack((Modality("a", plane), Modality("b", np.zeros((4, 6)))))
    with pytest.raises(InputError, match="spatial axes"):
        ImageStack.from_array(np.zeros((2, 2, 4, 5)), channels=False)
    with pytest.raises(InputError, match="empty"):
        ImageStack.from_array(np.zeros((0, 5)))
    with pytest.raises(InputError, match="Plane 1 does not exist"):
        ImageStack.from_array(plane).region(1)
