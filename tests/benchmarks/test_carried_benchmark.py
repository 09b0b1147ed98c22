"""The benchmark of what strokes on one picture do to others."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import PixelEncoder

import napari_promptseg
from benchmarks import __main__ as dispatcher
from napari_promptseg.encoders import loading


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """Red squares on green, which the class file calls by a word that names no colour."""
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: PixelEncoder())
    monkeypatch.setitem(sys.modules[napari_promptseg.__name__].__dict__, "load_encoder", loading.load_encoder)
    folder = tmp_path / "squares"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(4):
        mask = np.zeros((32, 32), np.uint8)
        mask[4 + i : 16 + i, 6:18] = 1
        colours = np.where(mask[..., None] == 1, (255, 0, 0), (0, 255, 0)).astype(np.uint8)
        Image.fromarray(colours).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.json").write_text('{"0": "background", "1": "gizmo"}', encoding="utf-8")
    return folder


def test_what_one_picture_taught_is_measured_on_others(pack, tmp_path, capsys):
    out = tmp_path / "carried.json"
    asked = ["--sources", "1", "--others", "3", "--rounds", "1", "--json", str(out)]
    assert dispatcher.main(["carried", "--pack", str(pack), *asked]) == 0
    capsys.readouterr()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert (found["sources"], found["others"]) == (1, 3)
    assert found["names"] == {"gizmo": "unknown"}
    assert found["others_dice"]["words"] == 0
    assert found["others_dice"]["carried"] > 0.9
    assert found["sources_dice"]["carried"] > 0.9
    assert found["worse_share"] == 0
