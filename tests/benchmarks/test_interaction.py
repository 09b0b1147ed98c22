"""The two benchmarks of corrections run on small pictures and report what they promise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pixel_encoder import PixelEncoder

from benchmarks import __main__ as dispatcher
from benchmarks import correction_speed, interaction
from napari_promptseg.errors import ModelError


@pytest.fixture
def _pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_promptseg.load_encoder", lambda *args, **keywords: PixelEncoder(), raising=False)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Two pictures with a red square, and one with nothing to find."""
    folder = tmp_path / "squares"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for name, corner in (("a", 10), ("b", 20), ("empty", None)):
        mask = np.zeros((48, 64), np.uint8)
        if corner is not None:
            mask[corner : corner + 16, 12:40] = 1
        picture = np.full((48, 64, 3), 40, np.uint8)
        picture[mask == 1, 0] = 255
        Image.fromarray(picture).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "classes.json").write_text('{"0": "background", "1": "red"}', encoding="utf-8")
    return folder


def played(pack: Path, *words: str) -> dict[str, Any]:
    args = dispatcher.parser("interaction").parse_args(["--pack", str(pack), "--rounds", "0,1,2", *words])
    return interaction.run(args)


@pytest.mark.usefixtures("_pixels")
def test_rounds_of_corrections_find_the_squares(pack: Path) -> None:
    result = played(pack, "--peers", "random_forest", "--per-image")
    assert (result["images"], result["left_out"]["images"]) == (2, 1)
    assert result["rounds"]["2"]["dice"] > 0.95
    assert result["rounds"]["2"]["random_forest"] > 0.8
    assert result["rounds"]["2"]["convpaint"] is None
    assert result["rounds_to_085"]["reached_share"] == 1
    assert [sorted(entry) for entry in result["per_image"]] == [["0", "1", "2", "image"]] * 2


@pytest.mark.usefixtures("_pixels")
def test_a_peer_that_is_not_there_is_named_once_and_has_no_figures(
    pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(picture: Any) -> Any:
        raise ModelError("napari-convpaint cannot be imported: pip install napari-convpaint.")

    monkeypatch.setattr("napari_promptseg.evaluation.baselines.Convpaint", missing)
    result = played(pack, "--peers", "convpaint")
    assert capsys.readouterr().err.count("Without convpaint, whose figures will be null") == 1
    assert result["rounds"]["1"]["convpaint"] is None
    assert "pip install" in result["unavailable"]["convpaint"]


@pytest.mark.usefixtures("_pixels")
def test_the_time_limit_ends_after_an_image(pack: Path) -> None:
    result = played(pack, "--peers", "--minutes", "1e-9")
    assert (result["images"], result["images_wanted"]) == (1, 2)


def test_a_pack_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTSEG_DATA", str(tmp_path))
    assert interaction.folder_of(Path("squares")) == tmp_path / "squares"
    assert interaction.folder_of(tmp_path) == tmp_path


@pytest.mark.usefixtures("_pixels")
def test_correction_speed_reports_every_round_and_the_ratio() -> None:
    args = argparse.Namespace(model="embedded", size=64, classes=2, rounds=3, repeats=2, seed=0, window=False)
    result = correction_speed.run(args)
    assert list(result["rounds"]) == ["1", "2", "3"]
    assert all(0 < f["best"] <= f["median"] for f in [result["milliseconds"], *result["rounds"].values()])
    assert result["ratio_to_forward"]["best"] > 0
    assert "window" not in result


def test_strokes_are_painted_where_the_mask_is_wrong() -> None:
    truth = np.zeros((64, 64), int)
    truth[:, 32:] = 1
    labels = truth.copy()
    labels[10:20, 40:50] = 0
    background, other = correction_speed.Painter(truth, 0).strokes(labels)
    assert (background.value, other.value) == (0, 1)
    rows, columns = other.pixels
    assert (truth[rows, columns] == 1).all()
    assert (labels[rows, columns] == 0).any()


def test_the_truth_to_paint_by_has_parts_of_one_size() -> None:
    picture = torch.arange(64 * 64 * 3).view(64, 64, 3).remainder(255).to(torch.uint8).numpy()
    shares = np.bincount(correction_speed.regions(picture, 4).ravel()) / 64**2
    assert np.allclose(shares, 0.25, atol=0.02)


def test_a_name_may_be_written_with_a_hyphen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        dispatcher.main(["correction-speed", "--help"])
    assert stop.value.code == 0
    assert "--classes" in capsys.readouterr().out
