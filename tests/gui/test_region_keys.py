"""Shapes keep their keys, whatever napari's table does."""

from __future__ import annotations

import pytest

from napari_promptseg.gui.region_keys import RegionKeys, print_of

A, B, C, D = (print_of("polygon", [[n, n], [n, 9], [9, 9]]) for n in range(4))


@pytest.fixture
def keys():
    return RegionKeys()


@pytest.fixture
def three(keys):
    return keys.match(["", "", ""], [A, B, C])


def test_new_shapes_get_keys_of_their_own(three):
    assert len(set(three)) == 3


def test_edited_and_removed_shapes_leave_the_others_as_they_were(keys, three):
    assert keys.match(three, [A, D, C]) == three
    assert keys.match([three[0], three[2]], [A, C]) == [three[0], three[2]]


def test_a_row_that_napari_left_behind_moves_no_key(keys, three):
    assert keys.match(three, [A, C]) == [three[0], three[2]]
    more = keys.match([*three, "", ""], [A, B, C, D])
    assert more[:3] == three
    assert more[3] not in three


def test_a_shape_that_comes_back_has_its_key(keys, three):
    keys.match([three[0]], [A])
    assert keys.match([three[0], "", ""], [A, C, B]) == [three[0], three[2], three[1]]
    keys.match([], [])
    assert keys.match(["", "", ""], [C, B, A]) == three[::-1]


def test_an_edit_that_is_undone_together_with_a_removal(keys, three):
    keys.match(three, [A, D, C])
    keys.match(three[1:], [D, C])
    assert keys.match([*three[1:], ""], [A, B, C]) == three


def test_a_copy_is_another_shape(keys, three):
    pasted = keys.match([*three, three[1]], [A, B, C, B])
    assert pasted[:3] == three
    assert pasted[3] not in three
    moved = keys.match([*three, pasted[3]], [A, B, C, D])
    assert moved == pasted


def test_the_type_of_a_shape_counts():
    assert print_of("ellipse", [[0, 0]]) != print_of("rectangle", [[0, 0]])
