"""The benchmark of big pictures counts what the journal says; its times are never asserted."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from benchmarks import _big_labels, big
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
@pytest.mark.timeout(900)  # three programs with workers, one after the other
def test_a_small_one_is_killed_and_goes_on(tmp_path, monkeypatch, repository):
    monkeypatch.chdir(repository)
    words = ["--side", "1200", "--tile", "256", "--block-side", "224", "--workers", "2", "--agreement", "0"]
    asked = options(*words, "--keep", str(tmp_path / "kept"))
    asked.json = tmp_path / "figures.json"
    measured = big.run(asked)
    killed = measured["killed_and_resumed"]
    assert killed["blocks_in_the_journal"] == measured["blocks"] == 36
    assert (killed["done_twice"], killed["lost"], killed["finished_chunks_written_again"]) == (0, 0, 0)
    assert killed["blocks_kept"] == killed["blocks_before_the_kill"] >= 18
    assert measured["labels_equal_bit_for_bit"]
    assert measured["runs"]["2"]["peak_mb"]["together"] > 100
    assert set(measured["block"]["shares"]) == {"reading", "encoding", "blending", "deciding", "writing"}
    assert all(share > 0 for share in measured["block"]["shares"].values())
    assert json.loads(asked.json.read_text()) == {"unfinished": True, **measured}


def labels(path, values, **options):
    import zarr

    array = zarr.open_group(path, mode="w").create_array(
        "0", shape=(5, 7), chunks=(2, 3), dtype="uint8", fill_value=0, **options
    )
    array[...] = values


def test_labels_are_compared_by_files_and_where_these_differ_by_values(tmp_path):
    values = np.arange(35, dtype=np.uint8).reshape(5, 7) % 5
    values[:2, :3] = 0
    changed = values.copy()
    changed[4, 6] += 1
    labels(tmp_path / "a", values)
    labels(tmp_path / "b", values)
    labels(tmp_path / "packed", values, compressors=None)
    labels(tmp_path / "changed", changed)
    same = _big_labels.compared(tmp_path / "a", {"b": tmp_path / "b", "packed": tmp_path / "packed"})
    assert same == {
        "labels_equal_bit_for_bit": True,
        "chunks_with_labels": 8,
        "chunks_compared_by_value": 8,
        "chunks_that_differ": {"b": 0, "packed": 0},
    }
    other = _big_labels.compared(tmp_path / "a", {"changed": tmp_path / "changed"})
    assert not other["labels_equal_bit_for_bit"]
    assert other["chunks_that_differ"] == {"changed": 1}


def test_labels_of_another_shape_are_not_equal(tmp_path):
    import zarr

    labels(tmp_path / "a", 1)
    array = zarr.open_group(tmp_path / "other", mode="w").create_array("0", shape=(5, 9), chunks=(2, 3), dtype="uint8")
    array[...] = 1
    assert not _big_labels.compared(tmp_path / "a", {"other": tmp_path / "other"})["labels_equal_bit_for_bit"]


def test_figures_are_in_the_file_as_soon_as_they_are_known(tmp_path):
    report = big.Report(tmp_path / "new" / "figures.json")
    report.take(one=1)
    report.take(two={"a": 2})
    assert json.loads((tmp_path / "new" / "figures.json").read_text()) == {
        "unfinished": True,
        "one": 1,
        "two": {"a": 2},
    }
