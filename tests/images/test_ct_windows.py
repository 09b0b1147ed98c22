"""CT windows by name and by numbers."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.images.normalisation import SOFT_TISSUE_WINDOW, measure_limits
from napari_promptseg.images.windows import CT_WINDOWS, parse_window


def test_the_presets_are_those_of_radiology():
    # centre and width, as they stand on a viewer's buttons
    stands = {name: ((low + high) / 2, high - low) for name, (low, high) in CT_WINDOWS.items()}
    assert stands == {
        "soft tissue": (40, 400),
        "lung": (-600, 1500),
        "bone": (400, 2000),
        "brain": (40, 80),
        "liver": (60, 150),
    }
    assert CT_WINDOWS["soft tissue"] == SOFT_TISSUE_WINDOW


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("lung", (-1350, 150)),
        (" Soft-Tissue ", (-160, 240)),
        ("soft_tissue", (-160, 240)),
        ("BRAIN", (0, 80)),
        ("-160,240", (-160, 240)),
        (" -160.5 , 2.4e2", (-160.5, 240)),
        ("[-160, 240]", (-160, 240)),
        ("-160 240", (-160, 240)),
        ("-160 to 240", (-160, 240)),
    ],
)
def test_a_window_is_read_as_people_write_it(text, window):
    assert parse_window(text) == window


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lungs", "'lungs' is no window: name one of soft tissue, lung, bone, brain, liver, or give its ends"),
        ("", "'' is no window"),
        ("1,2,3", "no window"),
        ("nan,4", "no window"),
        ("40", "no window"),
        ("1e999,4", "finite"),
        ("240,-160", "240,-160 is empty: its first number must be the smaller one"),
        ("5,5", "empty"),
    ],
)
def test_what_is_no_window_is_refused_in_one_sentence(text, reason):
    with pytest.raises(InputError, match=re.escape(reason)):
        parse_window(text)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_numbers_come_through_unchanged(low, width):
    high = low + width
    assert parse_window(f"{low!r},{high!r}") == (low, high)


def test_ct_without_a_choice_is_shown_in_the_soft_tissue_window():
    assert measure_limits(np.array([[-1000.0, 40.0]]), "ct") == CT_WINDOWS["soft tissue"]
