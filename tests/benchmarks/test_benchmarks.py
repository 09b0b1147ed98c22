"""Benchmarks run and report what they promise; their times are never asserted."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as dispatcher
from benchmarks import refinement, speed


def test_benchmarks_are_found_by_name_and_have_both_functions():
    found = dispatcher.names()
    assert {"interaction", "speed", "refinement", "zero_shot"} <= set(found)
    for name in found:
        parser = dispatcher.parser(name)
        # some need to be told which pack
        needed = [word for action in parser._actions if action.required for word in (action.option_strings[0], "pack")]
        assert parser.parse_args(needed).threads == 2


def test_a_wrong_name_lists_the_right_ones(capsys):
    assert dispatcher.main(["nonsense"]) == 2
    assert "no benchmark 'nonsense'" in (said := capsys.readouterr().out)
    assert "speed" in said
    assert dispatcher.main(["--help"]) == 0


def test_results_are_printed_and_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(speed, "run", lambda args: {"size": args.size})
    out = tmp_path / "new" / "speed.json"
    assert dispatcher.main(["speed", "--size", "64", "--json", str(out), "--threads", "1"]) == 0
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written == json.loads(capsys.readouterr().out)
    assert written["size"] == 64
    assert written["environment"]["threads"] == 1


def test_the_command_line_starts(repository):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed", "--help"], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "--large" in done.stdout


def test_a_repeated_picture_is_read_in_parts():
    tile = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)
    made = speed.RepeatedPicture(tile, 12)
    whole = np.tile(tile, (3, 3, 1))[:12, :12]
    assert np.array_equal(made[3:9, 4:12], whole[3:9, 4:12])
    assert np.array_equal(made[3:9, 4:12, 0], whole[3:9, 4:12, 0])
    assert np.array_equal(made[2:4], whole[2:4])


def test_the_picture_has_the_size_asked_for():
    assert speed.photograph(40).shape == (40, 40, 3)
    assert speed.photograph(40).dtype == np.uint8


@pytest.mark.parametrize("count", [1, 3, 100])
def test_images_are_spread_evenly(count):
    chosen = refinement.spread(20, count)
    assert len(chosen) == min(count, 20)
    assert chosen[0] == 0
    assert count == 1 or chosen[-1] == 19


def test_the_band_lies_along_outlines_and_nowhere_else():
    truth = np.zeros((60, 80), int)
    truth[:, 40:] = 3
    band = refinement.outline_band(truth, share=0.03)  # 3 pixels
    assert np.flatnonzero(band[30]).tolist() == list(range(36, 44))
    assert not refinement.outline_band(np.ones((20, 20), int)).any()


def test_variants_keep_the_types_of_the_settings():
    made = refinement.settings_from("guided,guided_radius=6,guided_strength=0.01", "fine")
    assert (made.refinement, made.guided_radius, made.guided_strength, made.quality) == ("guided", 6, 0.01, "fine")


class ColourEncoder:
    """Knows red from black; enough to run a benchmark through."""

    name, fingerprint, embedding_dim = "colours", "colours", 3
    logit_scale, logit_bias, sigmoid = 20.0, 0.0, False

    def __init__(self):
        import torch

        self.device = torch.device("cpu")
        self.torch = torch

    def encode_plane(self, picture, *, quality="fast", progress=None):
        from napari_promptseg.encoders.features import DenseFeatures

        torch = self.torch
        cells = torch.as_tensor(picture[4::8, 4::8].copy()).float() / 255
        semantic = torch.stack([cells[..., 0], 1 - cells[..., 0], torch.zeros_like(cells[..., 0])], dim=-1)
        return DenseFeatures(semantic, semantic, semantic.mean((0, 1)), picture.shape[:2], self.fingerprint)

    def encode_texts(self, texts):
        return self.torch.stack([self.torch.eye(3)[0 if "red" in t else 1] for t in texts])

    def familiarity(self, names):
        return [("known", ()) for _ in names]

    def describe(self):
        return {"name": self.name}


@pytest.fixture
def _colours(monkeypatch):
    import napari_promptseg.encoders.loading as loading

    monkeypatch.setattr(loading, "load_encoder", lambda *args, **keywords: ColourEncoder())
    monkeypatch.setitem(sys.modules["napari_promptseg"].__dict__, "load_encoder", loading.load_encoder)


@pytest.mark.usefixtures("_colours")
def test_refinements_are_compared_on_a_pack(tmp_path):
    pack = tmp_path / "squares"
    (pack / "images").mkdir(parents=True)
    (pack / "masks").mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 1
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[mask == 1, 0] = 255
    Image.fromarray(picture).save(pack / "images" / "a.png")
    Image.fromarray(mask).save(pack / "masks" / "a.png")
    (pack / "classes.json").write_text('{"0": "background", "1": "red square"}', encoding="utf-8")
    args = argparse.Namespace(
        data=tmp_path, packs=["squares"], limit=5, model="embedded", quality="fast", variant=["none", "guided"]
    )
    figures = refinement.run(args)["packs"]["squares"]
    assert figures["images"] == 1
    assert figures["guided"]["mean_dice"] >= figures["none"]["mean_dice"] > 0.9
    assert not figures["guided"]["labelled_pixels_only"]


@pytest.mark.usefixtures("_colours")
def test_speed_reports_every_ratio_and_the_large_plane():
    args = argparse.Namespace(model="embedded", size=64, classes=3, repeats=2, refinement="guided", large=0, threads=1)
    result = speed.picture_to_mask(args)
    asked = {"first_mask", "segment_pressed", "renamed", "threshold"}
    assert set(result["ratio_to_library"]) == {"trunk", "encode", *asked}
    assert set(result["ratio_to_encode"]) == {"library", "trunk", *asked}
    assert set(result["ratio_to_trunk"]) == {"library", "encode", *asked}
    assert all(v["median"] > 0 for v in result["milliseconds"].values())
    large = speed.large_plane("embedded", 2500, 2)["large"]
    assert large["side"] == 2500
    assert large["label_map_mb"] == 38
    assert large["peak_mb"] is None or large["peak_mb"] > 25


def test_importing_the_package_is_timed():
    assert speed.import_seconds(rounds=1) > 0
