"""``--modality``: how it is read, which file belongs to which image, and what the commands make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg import cli
from napari_promptseg.encoders import loading
from napari_promptseg.errors import InputError
from napari_promptseg.evaluation import pack_tuning
from napari_promptseg.images.modality_files import ModalityFiles
from napari_promptseg.images.readers import read_image
from napari_promptseg.learning.modalities import ModalityResult
from napari_promptseg.learning.validation import Verdict
from napari_promptseg.prompts.modality_notes import modality_notes
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts


@pytest.fixture(autouse=True)
def pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: PixelEncoder())


def run(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


def write(path: Path, left: str, right: str) -> Path:
    """Two colours side by side, 32 x 32."""
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, :16], picture[:, 16:] = COLOURS[left], COLOURS[right]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Three images that show red on the left only; another sensor shows green on the right; one image lacks it."""
    for i in range(3):
        write(tmp_path / "images" / f"{i}.png", "red", "black")
        if i < 2:
            write(tmp_path / "lamp" / f"{i}.png", "black", "green")
        mask = np.full((32, 32), 2, np.uint8)
        mask[:, :16] = 1
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "classes.json").write_text(json.dumps({"0": "unlabelled", "1": "red", "2": "green"}))
    return tmp_path


def labels(folder: Path, number: int) -> np.ndarray:
    return np.asarray(read_image(folder / f"{number}_labels.tif").region())


def legend(folder: Path, number: int) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / f"{number}_labels.json").read_text())["provenance"]
    return made


SEGMENT = ("--classes", "red, green", "--background", "black", "--edges", "none")


def test_whose_modality_is_missing_is_told_where_all_images_have_one_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for patient in ("p1", "p2"):
        write(tmp_path / patient / "rgb.png", "red", "black")
    write(tmp_path / "p1" / "lamp.png", "black", "green")
    lamp = f"lamp={tmp_path}/*/lamp.png:thermal"
    assert run("segment", f"{tmp_path}/*/rgb.png", *SEGMENT, "-o", tmp_path / "out", "--modality", lamp) == 0
    said = capsys.readouterr().err
    assert f"1 of 2 images have no 'lamp' and go without it: {Path('p2', 'rgb.png')}" in said


def test_segment_weighs_the_modalities_and_goes_on_without_a_missing_one(
    pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, alone = pack / "out", pack / "alone"
    lamp = f"lamp={pack / 'lamp'}:thermal"
    assert run("segment", pack / "images", *SEGMENT, "-o", alone) == 0
    assert run("segment", pack / "images", *SEGMENT, "-o", out, "--modality", lamp, "--modality-weight", "lamp=4") == 0
    said = capsys.readouterr().err
    assert "1 of 3 images have no 'lamp' and go without it: 2.png" in said
    assert (labels(alone, 0) == 2).sum() == 0
    assert (labels(out, 0)[:, 16:] == 2).all()
    assert np.array_equal(labels(out, 2), labels(alone, 2))
    told = {m["name"]: m for m in legend(out, 0)["modalities"]}
    assert told["lamp"] == {"name": "lamp", "kind": "thermal", "weight": 4.0, "present": True}
    assert told["image"]["weight"] == 1.0
    assert "modalities" not in legend(out, 2)
    none = pack / "none"
    assert run("segment", pack / "images", *SEGMENT, "-o", none, "--modality", lamp, "--modality-weight", "lamp=0") == 0
    for number in range(3):
        assert np.array_equal(labels(none, number), labels(alone, number))


def test_evaluate_measures_them_together(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {}
    where = ("--images", pack / "images", "--labels", pack / "masks", "--classes", pack / "classes.json")
    for name, more in (("single", ()), ("fused", ("--modality", f"lamp={pack / 'lamp'}"))):
        assert run("evaluate", *where, *more, "--edges", "none", "--json", "-") == 0
        figures[name] = json.loads(capsys.readouterr().out)
    single, fused = (figures[n]["foreground"]["mean_iou"] for n in ("single", "fused"))
    assert fused > single + 0.1


def test_tune_learns_live_weights_on_all_of_them_side_by_side(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = pack / "two.promptseg"
    where = ("--images", pack / "images", "--labels", pack / "masks", "--classes", pack / "classes.json")
    lamp = ("--modality", f"lamp={pack / 'lamp'}:thermal", "--modality-weight", "lamp=0.5")
    assert run("tune", *where, *lamp, "--method", "live", "--shots", 3, "-o", target) == 0
    saved = load_prompts(target)
    assert [(n.name, n.kind, n.weight) for n in modality_notes(saved.prompts.metadata)] == [
        ("image", "rgb", 1.0),
        ("lamp", "thermal", 0.5),
    ]
    assert saved.provenance["modalities"][1]["name"] == "lamp"
    # by another name, and without saying the kind's weight again: the file knows
    out = pack / "out"
    other = f"night={pack / 'lamp'}:thermal"
    assert run("segment", pack / "images", "--prompts", target, "--modality", other, "-o", out) == 0
    assert [(m["name"], m["weight"]) for m in legend(out, 0)["modalities"]] == [("image", 1.0), ("lamp", 0.5)]
    capsys.readouterr()
    run("tune", *where, *lamp, "--method", "prompts", "--steps", 1, "-o", pack / "b.promptseg")
    assert "--method prompts learns on the images themselves; masks weigh all modalities." in capsys.readouterr().err


def test_tune_by_grouping_writes_what_was_learned_and_says_how_much(
    pack: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def tune(segmenter: Any, samples: Any, prompts: Any, *, settings: Any, progress: Any) -> ModalityResult:
        asked.extend([samples, settings])
        progress(1, settings.steps, "loss 0.5")
        verdict = Verdict(0.25, 0.75, 6)
        return ModalityResult(
            given=prompts,
            candidate=prompts,
            verdict=verdict,
            without_prompters=0.5,
            prompters_kept=True,
            n_trained=1234,
            share=0.005,
        )

    monkeypatch.setattr(pack_tuning, "tune_modalities", tune)
    target = pack / "two.promptseg"
    where = ("--images", pack / "images", "--labels", pack / "masks", "--classes", pack / "classes.json")
    how = ("--method", "modalities", "--shots", 3, "--steps", 7, "--modality", f"lamp={pack / 'lamp'}:thermal")
    assert run("tune", *where, *how, "-o", target) == 0
    said = capsys.readouterr()
    assert "held-out Dice 0.25 → 0.75 from 6 strokes, kept" in said.out
    assert "Trained: 1,234 numbers, 0.50% of the model." in said.err
    assert [len(s.stack.present) for s in asked[0]] == [2, 2, 1]
    assert asked[1].steps == 7
    saved = load_prompts(target)
    assert saved.validation["trained_share"] == 0.005
    assert [n.name for n in modality_notes(saved.prompts.metadata)] == ["image", "lamp"]
    assert run("tune", *where, "--method", "modalities", "-o", pack / "b.promptseg") == 2
    assert "add --modality NAME=FOLDER" in capsys.readouterr().err


def test_a_file_made_with_other_modalities_works_with_one(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from napari_promptseg import PromptSet
    from napari_promptseg.prompts.modality_notes import ModalityNote, with_modality_notes

    notes = [ModalityNote("field", "rgb"), ModalityNote("field nir", "nir", 2.0)]
    prompts = replace(PromptSet.from_text("red"), metadata=with_modality_notes({}, notes))
    path = save_prompts(pack / "a", SavedPrompts(prompts, PixelEncoder.name, PixelEncoder.fingerprint))
    assert run("segment", pack / "images", "--prompts", path, "-o", pack / "out") == 0
    assert "The prompts were made with 'field nir' too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nir", "is no modality: write NAME=FOLDER"),
        ("=x", "is no modality: write NAME=FOLDER"),
        ("nir=nowhere", "There is no folder 'nowhere' for the modality 'nir'"),
        ("nir=nowhere:smell", "'smell' is no kind of modality: use one of rgb"),
        ("nir=*.tif", "'*.tif' holds no image for the modality 'nir'"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        ModalityFiles.parse(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--modality-weight", "lamp=1"), "There is no modality 'lamp' to weigh: the names are image."),
        (("--modality", "lamp={0}", "--modality-weight", "lamp=-1"), "is no weight: write NAME=W"),
        (("--modality", "image={0}"), "Two modalities are called 'image'"),
        (("--modality", "lamp={1}"), "No image has a file of the modality 'lamp'"),
        (("--modality", "lamp={2}"), "All images named are files of a --modality"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    more: tuple[str, ...], words: str, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(pack / "other" / "x.png", "red", "red")
    asked = [m.format(pack / "lamp", pack / "other", pack / "images") for m in more]
    assert run("segment", pack / "images", *SEGMENT, "-o", pack / "out", *asked) == 2
    assert words in capsys.readouterr().err


def test_files_of_another_size_are_named_and_not_resampled(pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = pack / "small" / "0.png"
    small.parent.mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(small)
    code = run("segment", pack / "images" / "0.png", *SEGMENT, "-o", pack / "out", "--modality", f"nir={small.parent}")
    assert code == 1
    assert "'0.png' has the size (16, 16) and '0.png' (32, 32): resample one" in capsys.readouterr().err


def test_files_find_their_image_by_name_beginning_or_folder(tmp_path: Path) -> None:
    for patient in ("pat1", "pat2"):
        for name in ("flair", "t1c"):
            write(tmp_path / patient / f"{name}.png", "red", "red")
    for name in ("a_rgb", "a_nir", "b_rgb", "b_nir"):
        write(tmp_path / "flat" / f"{name}.png", "red", "red")
    scans = ModalityFiles.parse(f"t1c={tmp_path}/*/t1c.png")
    assert scans.kind == "t1c"
    assert scans.partner(tmp_path / "pat2" / "flair.png") == tmp_path / "pat2" / "t1c.png"
    assert scans.partner(tmp_path / "pat3" / "flair.png") is None
    flat = ModalityFiles.parse(f"second={tmp_path}/flat/*_nir.png:nir")
    assert flat.kind == "nir"
    assert flat.partner(tmp_path / "flat" / "b_rgb.png") == tmp_path / "flat" / "b_nir.png"
    folder = ModalityFiles.parse(f"nir={tmp_path}/flat")
    assert folder.partner(tmp_path / "in" / "a_rgb.png") == tmp_path / "flat" / "a_rgb.png"
    assert folder.partner(tmp_path / "flat" / "a_rgb.png") == tmp_path / "flat" / "a_nir.png"
    single = ModalityFiles.parse(f"depth={tmp_path}/flat/a_nir.png")
    assert single.partner(tmp_path / "x.png") == tmp_path / "flat" / "a_nir.png"


def test_images_beside_their_modalities_are_not_segmented_twice(pack: Path) -> None:
    for i in range(2):
        write(pack / "flat" / f"{i}_rgb.png", "red", "black")
        write(pack / "flat" / f"{i}_ir.png", "black", "green")
    out = pack / "out"
    code = run("segment", pack / "flat", *SEGMENT, "-o", out, "--modality", f"ir={pack / 'flat'}/*_ir.png")
    assert code == 0
    assert sorted(p.name for p in out.glob("*.tif")) == ["0_rgb_labels.tif", "1_rgb_labels.tif"]


def test_a_numbered_image_without_a_partner_does_not_get_that_of_another(tmp_path: Path) -> None:
    write(tmp_path / "ir" / "FLIR_0211.png", "red", "black")
    write(tmp_path / "ir" / "walk_3.png", "red", "black")
    thermal = ModalityFiles.parse(f"thermal={tmp_path / 'ir'}")
    assert thermal.partner(tmp_path / "rgb" / "FLIR_0211.png") == tmp_path / "ir" / "FLIR_0211.png"
    assert thermal.partner(tmp_path / "rgb" / "FLIR_1463.png") is None
    assert thermal.partner(tmp_path / "rgb" / "walk_4.png") is None
    write(tmp_path / "mr" / "pat1_t1.png", "red", "black")
    assert ModalityFiles.parse(f"t1={tmp_path / 'mr'}").partner(tmp_path / "pat1_t2.png") is not None
