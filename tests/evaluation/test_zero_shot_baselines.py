"""What chance gives, worked out, is what drawing at random comes to."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from napari_promptseg.evaluation.metrics import class_iou, confusion_matrix, present
from napari_promptseg.evaluation.packs import DataPack


def test_baselines_against_drawing(tmp_path, repository, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(repository), *sys.path])
    from benchmarks.zero_shot import baselines

    rng = np.random.default_rng(0)
    mask = rng.choice([0, 1, 2, 3, 255], (300, 300), p=[0.2, 0.5, 0.2, 0.05, 0.05]).astype(np.uint8)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        Image.fromarray(mask).save(tmp_path / part / "a.png")
    (tmp_path / "classes.json").write_text(json.dumps({"1": "a", "2": "b", "3": "c", "4": "never there"}))
    found = baselines(DataPack.from_folder(tmp_path))
    truth = mask[(mask > 0) & (mask < 255)].astype(int) - 1
    drawn = confusion_matrix(truth, rng.integers(0, 4, truth.size), 4)
    assert found["random class"]["mean_iou"] == pytest.approx(class_iou(drawn)[present(drawn)].mean(), abs=0.01)
    always = confusion_matrix(truth, np.zeros_like(truth), 4)
    assert found["commonest class"]["mean_iou"] == pytest.approx(class_iou(always)[present(always)].mean())
