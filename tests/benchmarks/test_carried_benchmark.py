"""The benchmark of what strokes on one picture do to others."""

from __future__ import annotations

import json

import pytest
from pixel_encoder import PixelEncoder

from benchmarks import __main__ as dispatcher


@pytest.fixture
def pack(squares, use_encoder):
    use_encoder(PixelEncoder)
    return squares


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
