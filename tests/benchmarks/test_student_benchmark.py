"""The benchmark of the ways to learn from a few labelled images."""

from __future__ import annotations

import json

import pytest
from tower_encoder import TowerEncoder

from benchmarks import __main__ as dispatcher


@pytest.fixture
def pack(squares, use_encoder):
    use_encoder(TowerEncoder)
    return squares


def test_every_method_is_measured_on_images_it_was_not_shown(pack, tmp_path, capsys):
    out = tmp_path / "student.json"
    asked = ["--shots", "1", "--images", "2", "--edges", "none", "--steps", "4", "--student-steps", "6"]
    assert dispatcher.main(["student", "--pack", str(pack), "--json", str(out), *asked]) == 0
    capsys.readouterr()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["test_images"], found["unlabelled_images"]) == (2, 2)
    assert found["text"]["mean_dice"] < 0.1
    assert set(found["shots"]) == {"1"}
    for figures in found["shots"].values():
        assert set(figures) == {"live", "prompts", "teacher", "student"}
        assert figures["student"]["teacher"] == "prompts"  # one image is not enough for a live teacher
        assert figures.pop("teacher")["mean_dice"] == figures["prompts"]["mean_dice"]
        assert figures["live"]["mean_dice"] > 0.9
        for of_method in figures.values():
            assert of_method["kept"] is (of_method["held_out_dice"][1] > of_method["held_out_dice"][0])
            assert not of_method["kept"] or of_method["delivered_dice"] == of_method["mean_dice"]
    assert set(found["mean_over_shots"]) == {"live", "prompts", "teacher", "student"}
