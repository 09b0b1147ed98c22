"""What tests of the benchmarks share: an encoder in the model's place, and a small pack."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

import napari_promptseg
from napari_promptseg.encoders import loading


@pytest.fixture
def use_encoder(monkeypatch):
    """Call it with a class of encoders: every model that is loaded is one of them."""

    def use(kind):
        monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: kind())
        monkeypatch.setitem(sys.modules[napari_promptseg.__name__].__dict__, "load_encoder", loading.load_encoder)

    return use


@pytest.fixture
def squares(tmp_path):
    """Red squares on green, which the class file calls by a word that names no colour."""
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
