"""The benchmarks of prompt tuning run through on a small pack and report what they promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS
from tower_encoder import TowerEncoder

from benchmarks import __main__ as dispatcher
from benchmarks import tuning_speed


@pytest.fixture(autouse=True)
def _tower(use_encoder: Callable[[type], None]) -> None:
    use_encoder(TowerEncoder)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Bands of three colours, of which the names of two are swapped."""
    folder = tmp_path / "bands"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(5):
        picture = np.zeros((30, 48, 3), np.uint8)
        mask = np.zeros((30, 48), np.uint8)
        for value, colour in enumerate(("red", "green", "blue"), start=1):
            area = (slice(2 + i, 24 + i), slice(16 * value - 14, 16 * value - 2))
            picture[area], mask[area] = COLOURS[colour], value
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    names = {"0": "background", "1": "green", "2": "red", "3": "blue"}
    (folder / "classes.json").write_text(json.dumps(names), encoding="utf-8")
    return folder


def run(tmp_path: Path, *words: Any) -> dict[str, Any]:
    out = tmp_path / "out.json"
    assert dispatcher.main([*map(str, words), "--json", str(out), "--threads", "1"]) == 0
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_ablation_has_a_row_for_every_part(pack: Path, tmp_path: Path) -> None:
    rows = ("full method", "without views", "without orthogonal loss")
    found = run(
        tmp_path, "prompt-ablation", "--pack", pack, "--shots", 1, "--steps", 3, "--edges", "none", "--rows", *rows
    )
    assert set(found["rows"]) == {"words, not tuned", *rows}
    assert found["test_images"] == 4
    assert len(found["unseen_classes"]) == 2
    for name in rows:
        row = found["rows"][name]
        assert 0 <= row["mean_iou"] <= 1
        assert 0 <= row["unseen_iou"] <= 1
        assert (row["view_correlation"] is None) == (name == "without views")
    assert found["tuned_on"][0] not in ("", None)


def test_across_images_measures_unseen_classes_and_the_forest(pack: Path, tmp_path: Path) -> None:
    words = ("--shots", "1,2", "--steps", 3, "--edges", "none", "--unseen", 0.3, "--forest-pixels", 200)
    found = run(tmp_path, "across-images", "--pack", pack, *words)
    assert set(found["shots"]) == {"1", "2"}
    assert found["test_images"] == 3
    for row in found["shots"].values():
        drop = row["before"]["all_pixels"]["unseen_iou"] - row["after"]["all_pixels"]["unseen_iou"]
        assert row["unseen_drop"]["all_pixels"] == pytest.approx(drop)
        assert row["random_forest"]["unseen_iou"] == 0
        assert row["random_forest"]["seen_iou"] > 0.9
    # the same order of images, so that more shots hold the fewer
    assert found["shots"]["2"]["pixels"] > found["shots"]["1"]["pixels"]


def test_tuning_speed_reports_seconds(tmp_path: Path) -> None:
    found = run(tmp_path, "tuning-speed", "--size", 64, "--classes", 2, "--steps", 2, "--repeats", 2)
    assert found["tuning_seconds"]["best"] <= found["tuning_seconds"]["median"]
    assert found["goal_seconds"] == 10
    labels = tuning_speed.painted(64, 2)
    assert set(np.unique(labels)) == {0, 1, 2, 255}
