from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_promptseg.errors import InputError
from napari_promptseg.learning.corrections import UNPAINTED, Corrections, Stroke
from napari_promptseg.learning.strokes import difference

SMALL = hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def some() -> Corrections:
    return Corrections().with_added(
        [
            Stroke.from_pixels([1, 1, 2], [3, 4, 9], 2, plane=0, kind="point"),
            Stroke.from_mask(np.ones((2, 2), bool), 0, plane=3, offset=(1, 3), kind="erase"),
            Stroke.from_mask(np.eye(4, dtype=bool), 5, plane=0, offset=(0, 2)),
        ]
    )


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(lambda m: m.any()), st.integers(0, 50))
def test_stroke_keeps_exactly_its_pixels(mask: np.ndarray, offset: int) -> None:
    stroke = Stroke.from_mask(mask, 1, offset=(offset, 2))
    rows, columns = np.nonzero(mask)
    assert np.array_equal(stroke.pixels[0], rows + offset)
    assert np.array_equal(stroke.pixels[1], columns + 2)
    again = Stroke.from_record(stroke.to_record())
    assert again.to_record() == stroke.to_record()
    assert stroke.size == mask.sum()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_difference_turns_prediction_into_edited(data: st.DataObject) -> None:
    prediction = data.draw(SMALL)
    edited = data.draw(hnp.arrays(np.uint8, prediction.shape, elements=st.integers(0, 3)))
    strokes = difference(prediction, edited, plane=4)
    corrections = Corrections().with_added(strokes)
    assert np.array_equal(corrections.impose(prediction, 4), edited)
    assert sum(s.size for s in strokes) == np.count_nonzero(prediction != edited)
    assert all(s.plane == 4 for s in strokes)


def test_difference_parts_pieces_by_class_and_connection() -> None:
    prediction = np.zeros((6, 6), np.uint8)
    prediction[5] = 1
    edited = prediction.copy()
    edited[0, 0] = edited[1, 1] = 2
    edited[0, 5] = 2
    edited[5, 2:4] = 0
    strokes = difference(prediction, edited)
    assert [(s.value, s.size, s.kind) for s in strokes] == [(0, 2, "erase"), (2, 2, "brush"), (2, 1, "brush")]
    assert difference(edited, edited) == []
    with pytest.raises(InputError, match="cannot be compared"):
        difference(prediction, edited[:4])


def test_later_stroke_wins_and_undo_brings_the_earlier_back() -> None:
    first = Stroke.from_mask(np.ones((3, 3), bool), 1)
    second = Stroke.from_pixels([1], [1], 0)
    both = Corrections().with_added([first, second])
    painted = both.painted(0, (4, 4))
    assert painted[1, 1] == 0
    assert painted[0, 0] == 1
    assert painted[3, 3] == UNPAINTED
    assert both.without(second.id).painted(0, (4, 4))[1, 1] == 1
    assert len(both) == 2, "an older state must stay as it was"
    assert both.counts() == {0: (1, 1), 1: (1, 9)}
    assert both.without(first.id).values == (0,)
    with pytest.raises(InputError, match="deleted before"):
        both.without("nobody")


def test_stroke_of_another_image_is_refused() -> None:
    outside = Corrections().with_added(Stroke.from_pixels([10], [0], 1))
    with pytest.raises(InputError, match="another image"):
        outside.painted(0, (5, 5))


def test_file_round_trip_and_damage(tmp_path) -> None:
    path = tmp_path / "strokes.npz"
    corrections = some()
    corrections.save(path)
    again = Corrections.load(path)
    assert [s.to_record() for s in again] == [s.to_record() for s in corrections]
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="no readable file"):
        Corrections.load(path)
    with pytest.raises(InputError, match="no readable file"):
        Corrections.load(tmp_path / "missing.npz")


def test_damaged_record_is_named() -> None:
    record = some().strokes[0].to_record()
    for change in ({"extent": [400, 400]}, {"packed": "?"}, {"plane": -1}, {"kind": "magic"}):
        with pytest.raises(InputError, match="damaged"):
            Stroke.from_record({**record, **change})
