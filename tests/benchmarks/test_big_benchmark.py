"""The benchmark of big pictures counts what the journal says; its times are never asserted."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from benchmarks import big
from napari_promptseg.images.readers import read_image


def options(*words):
    parser = argparse.ArgumentParser()
    big.add_arguments(parser)
    return parser.parse_args(words)


def test_the_slide_is_rgb_with_a_scale_and_without_repeats(tmp_path):
    big.make_slide(tmp_path / "slide.ome.zarr", 1500, 0)
    stack = read_image(tmp_path / "slide.ome.zarr")
    assert stack.grid == (1500, 1500)
    assert stack.spacing == (0.5, 0.5)
    corner, other = (stack.picture(0, slice(a, a + 200), slice(a, a + 200)) for a in (0, 1200))
    assert corner.std() > 5
    assert not np.array_equal(corner, other)


@pytest.mark.slow
def test_a_small_one_is_killed_and_goes_on(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(repository)
    words = ["--side", "1200", "--tile", "256", "--block-side", "224", "--workers", "2", "--agreement", "0"]
    measured = big.run(options(*words, "--keep", str(tmp_path / "kept")))
    killed = measured["killed_and_resumed"]
    assert killed["blocks_in_the_journal"] == measured["blocks"] == 36
    assert (killed["done_twice"], killed["lost"]) == (0, 0)
    assert killed["blocks_kept"] == killed["blocks_before_the_kill"] >= 18
    assert measured["labels_equal_bit_for_bit"]
    assert measured["runs"]["2"]["peak_mb"]["together"] > 100
