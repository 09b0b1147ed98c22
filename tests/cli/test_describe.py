"""``describe``: a picture and a mask in, a sentence out; every misuse is one sentence and code 2."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from pixel_encoder import PixelEncoder

from napari_promptseg.cli import main
from napari_promptseg.concepts.concept import Concept
from napari_promptseg.encoders import loading


@pytest.fixture
def files(tmp_path):
    """A bright disc in the upper left of a grey picture; returns paths of picture and mask."""
    y, x = np.mgrid[:90, :120]
    disc = (y - 18) ** 2 + (x - 20) ** 2 <= 9**2
    picture = np.full((90, 120), 60, np.uint8)
    picture[disc] = 200
    return _saved(tmp_path / "frame.png", picture), _saved(tmp_path / "mask.png", disc * np.uint8(255))


def _saved(path, array):
    Image.fromarray(array).save(path)
    return str(path)


def test_the_sentence_comes_first(files, capsys):
    image, mask = files
    assert main(["describe", image, "--mask", mask, "--name", "polyp", "--model", "none"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "one small round bright polyp, located in the upper left"
    assert any(line.startswith("shape") and "round" in line for line in lines)
    assert any("off" in line.split() and line.startswith("margin") for line in lines)
    assert any(line.startswith("colour") and "the picture is grey" in line for line in lines)


def test_json_is_a_concept(files, capsys):
    image, mask = files
    command = [
        "describe",
        image,
        "--mask",
        mask,
        "--name",
        "lesione",
        "--kind",
        "endoscopy",
        "--model",
        "none",
        "--json",
    ]
    assert main(command) == 0
    text = capsys.readouterr().out
    concept = Concept.from_json(text)
    assert concept.sentence() == json.loads(text)["sentence"]
    assert concept.image_kind == "endoscopy"
    assert json.loads(text)["made_by"]["model"] == "none"


def test_the_model_offers_names_from_a_vocabulary_of_the_user(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loading, "load_encoder", lambda *args, **keywords: PixelEncoder())
    words = tmp_path / "words.json"
    words.write_text('{"kind": "endoscopy", "names": ["green", "black"]}', encoding="utf-8")
    command = ["describe", *files[:1], "--mask", files[1], "--kind", "endoscopy", "--vocabulary", str(words)]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "names the model offers" in said.out
    assert "green" in said.out
    assert "knows 2 of the" in said.err


def test_several_labels_need_a_choice(files, tmp_path, capsys):
    labels = np.zeros((90, 120), np.uint8)
    labels[10:20, 10:20], labels[10:20, 20:30], labels[60:80, 80:100] = 1, 2, 7
    mask = _saved(tmp_path / "labels.png", labels)
    command = ["describe", files[0], "--mask", mask, "--model", "none"]
    assert main(command) == 2
    assert "3 labels (1, 2, 7): choose one with --label N" in capsys.readouterr().err
    assert main([*command, "--label", "7"]) == 0
    assert capsys.readouterr().out.startswith("one ")
    # parts that touch are counted apart
    assert main([*command, "--label", "all"]) == 0
    assert capsys.readouterr().out.startswith("several ")
    for label, words in (
        ("3", "no label 3 in this plane; it has 1, 2, 7"),
        ("x", "neither a number"),
        ("0", "neither"),
    ):
        assert main([*command, "--label", label]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda s: np.zeros(s, np.uint8), "The region is empty"),
        (lambda s: np.eye(*s, dtype=np.uint8) * (np.arange(s[1]) < 1), "only 1 pixel:"),
        (lambda s: np.ones(s, np.uint8), "whole image"),
        (lambda s: np.ones((s[0], s[1] + 1), np.uint8), "has the size (90, 121) but the image (90, 120)"),
    ],
)
def test_masks_that_are_no_region(files, tmp_path, capsys, make, words):
    mask = _saved(tmp_path / "bad.png", make((90, 120)).astype(np.uint8))
    assert main(["describe", files[0], "--mask", mask]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert len([line for line in said.err.splitlines() if line.strip()]) == 1
    assert said.out == ""


def test_missing_files_and_colours_instead_of_labels(files, tmp_path, capsys):
    image, mask = files
    assert main(["describe", "nowhere.png", "--mask", mask]) == 2
    assert "no file 'nowhere.png'" in capsys.readouterr().err
    assert main(["describe", image, "--mask", "nowhere.png"]) == 2
    assert "no file 'nowhere.png'" in capsys.readouterr().err
    coloured = np.zeros((90, 120, 3), np.uint8)
    coloured[5:20, 5:20, 0] = 255
    assert main(["describe", image, "--mask", _saved(tmp_path / "c.png", coloured)]) == 2
    assert "holds colours" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["describe", image, "--mask", mask, "--kind", "painting"])
    assert stopped.value.code == 2


def test_a_stack_is_described_where_most_is_marked(tmp_path, capsys):
    volume = np.full((3, 40, 60), 20, np.uint8)
    marked = np.zeros((3, 40, 60), np.uint8)
    marked[1, 30:36, 50:57] = 1
    marked[0, 3, 3:6] = 1
    volume[marked > 0] = 220
    image, mask, plane = (str(tmp_path / n) for n in ("v.tif", "m.tif", "p.tif"))
    tifffile.imwrite(image, volume, photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite(mask, marked, photometric="minisblack", metadata={"axes": "ZYX"})
    tifffile.imwrite(plane, marked[1])
    assert main(["describe", image, "--mask", mask, "--model", "none"]) == 0
    assert "lower right" in capsys.readouterr().out.splitlines()[0]
    assert main(["describe", image, "--mask", plane, "--model", "none"]) == 2
    assert "name its plane with --plane" in capsys.readouterr().err
    assert main(["describe", image, "--mask", plane, "--model", "none", "--plane", "1"]) == 0
    assert "lower right" in capsys.readouterr().out.splitlines()[0]
    assert main(["describe", image, "--mask", mask, "--model", "none", "--plane", "7"]) == 2
    assert "Plane 7 does not exist" in capsys.readouterr().err


def test_help_says_what_a_line_means(capsys):
    with pytest.raises(SystemExit):
        main(["describe", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("drawn a second time", "--label", "not the patient's", "exit codes"):
        assert words in text
