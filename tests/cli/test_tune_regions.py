"""``tune --method roi``: masks as drawn regions, and what ``segment`` and ``evaluate`` do with the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS
from tower_encoder import TowerEncoder

from napari_promptseg import cli, command_options
from napari_promptseg.concepts.concept import Concept
from napari_promptseg.encoders import loading
from napari_promptseg.evaluation import region_shots
from napari_promptseg.evaluation.region_shots import RegionParts, masks_of
from napari_promptseg.images.readers import read_image
from napari_promptseg.prompts.prompt_file import load_prompts
from napari_promptseg.prompts.region_concepts import INFERENCES, inference_of
from napari_promptseg.prompts.region_notes import notes_of

CLASSES = {"0": "background", "1": "blob"}
PLACES = ((4, 4), (8, 16), (14, 8))


@pytest.fixture(autouse=True)
def _tower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: TowerEncoder())


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Red squares on green, called by a word that the model does not know."""
    folder = tmp_path / "pack"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i, (y, x) in enumerate(PLACES):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:] = COLOURS["green"]
        mask = np.zeros((32, 32), np.uint8)
        for top, left, side in ((y, x, 10), (26, 26, 5)):
            picture[top : top + side, left : left + side] = COLOURS["red"]
            mask[top : top + side, left : left + side] = 1
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def folders(pack: Path) -> tuple[Any, ...]:
    return ("--images", pack / "images", "--labels", pack / "masks", "--classes", pack / "classes.json")


def run(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


def tuned(pack: Path, path: Path, *more: str) -> tuple[int, Path]:
    return run("tune", *folders(pack), "-o", path, "--edges", "none", "--method", "roi", *more), path


def truth(pack: Path, number: int) -> np.ndarray:
    return np.asarray(Image.open(pack / "masks" / f"{number}.png"))


def test_a_region_of_an_unknown_word_is_found_in_other_images(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, path = tuned(pack, tmp_path / "blob.promptseg", "--shots", "1")
    said = capsys.readouterr()
    assert code == 0
    assert "held-out Dice" in said.out
    assert said.out.endswith("from 1 region, kept\n")
    assert "its own parts judge" in said.err
    saved = load_prompts(path)
    learned_from = saved.provenance["images"]
    assert (saved.validation["method"], saved.provenance["method"]) == ("roi", "roi")
    assert saved.validation["held_out_dice_after"] > saved.validation["held_out_dice_before"]
    other = next(i for i in range(3) if f"{i}.png" not in learned_from)
    assert run("segment", pack / "images" / f"{other}.png", "--prompts", path, "-o", tmp_path, "--edges", "none") == 0
    assert "unknown to this model" not in capsys.readouterr().err
    assert np.array_equal(read_image(tmp_path / f"{other}_labels.tif").region(), truth(pack, other))
    assert run("evaluate", *folders(pack), "--prompts", path, "--json", "-", "--edges", "none") == 0
    assert json.loads(capsys.readouterr().out)["full"]["mean_dice"] > 0.95


def test_the_file_carries_what_was_said_of_the_regions(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = tuned(pack, tmp_path / "a.promptseg", "--shots", "2", "--regions", "parts", "--steps", "2")
    prompts = load_prompts(path).prompts
    notes = notes_of(prompts.metadata, 1)
    concepts = [Concept.from_dict(note["concept"]) for note in notes]
    assert len(notes) == 4  # two squares in each of two images
    assert {c.word("shape") for c in concepts} == {"rectangular"}
    assert set(prompts.classes[0].sentences) == {c.sentence() for c in concepts}
    assert all("blob" in s for s in prompts.classes[0].sentences)
    _, path = tuned(pack, tmp_path / "b.promptseg", "--shots", "2", "--steps", "2")
    said = [Concept.from_dict(note["concept"]).word("number") for note in notes_of(load_prompts(path).prompts.metadata)]
    assert said == ["two", "two"]
    capsys.readouterr()


def test_the_inference_asked_for_is_the_one_in_use(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, path = tuned(pack, tmp_path / "a.promptseg", "--shots", "2", "--steps", "5", "--inference", "pseudo-text")
    assert code == 0
    assert capsys.readouterr().out.split("\t")[1].startswith("pseudo-text: ")
    assert inference_of(load_prompts(path).prompts, 1) == "pseudo-text"


def test_the_same_seed_gives_the_same_file(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, one = tuned(pack, tmp_path / "one.promptseg", "--shots", "2", "--steps", "3", "--seed", "4")
    _, two = tuned(pack, tmp_path / "two.promptseg", "--shots", "2", "--steps", "3", "--seed", "4")
    assert load_prompts(one).prompts == load_prompts(two).prompts
    capsys.readouterr()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--method", "live", "--inference", "words"), "--inference belongs to --method roi"),
        (("--method", "prompts", "--regions", "parts"), "--regions belongs to --method roi"),
        (("--unlabelled", "."), "--unlabelled belongs to --method student"),
    ],
)
def test_options_of_other_methods_are_refused(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    assert tuned(pack, tmp_path / "a.promptseg", *more)[0] == 2
    assert words in capsys.readouterr().err


def test_masks_that_show_nothing_or_everything_are_refused(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, words in ((0, "None of the images has a marked region"), (1, "is the whole image")):
        for file in (pack / "masks").iterdir():
            Image.fromarray(np.full((32, 32), value, np.uint8)).save(file)
        assert tuned(pack, tmp_path / "a.promptseg")[0] == 2
        assert words in (said := capsys.readouterr().err)
        assert value == 0 or "0.png: " in said
    assert not (tmp_path / "a.promptseg").exists()


def test_parts_are_the_largest_and_no_specks(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = np.zeros((40, 40), bool)
    marked[1:6, 1:6] = marked[6:10, 6:10] = True  # touch at a corner: one part
    marked[20:25, 20:25] = True
    marked[30:33, 30:33] = True  # a speck
    assert [int(m.sum()) for m in masks_of(marked, "parts")] == [41, 25]
    assert [int(m.sum()) for m in masks_of(marked)] == [75]
    assert list(masks_of(np.zeros((4, 4), bool))) == []
    monkeypatch.setattr(region_shots, "MOST_PARTS", 1)
    assert [int(m.sum()) for m in masks_of(marked, "parts")] == [41]


def test_choices_of_the_command_line_are_those_of_the_modules() -> None:
    assert ("auto", *INFERENCES) == command_options.INFERENCES
    assert get_args(RegionParts) == command_options.REGION_PARTS
