"""``tune``, and what ``segment`` and ``evaluate`` do with the file it writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pixel_encoder import COLOURS
from tower_encoder import TowerEncoder

from napari_promptseg import cli, tune_command
from napari_promptseg.encoders import loading
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.evaluation.few_shot import draw, encode_shots, unlabelled_planes
from napari_promptseg.evaluation.packs import DataPack, zero_is_background
from napari_promptseg.evaluation.pairing import pair_by_name
from napari_promptseg.images.readers import read_image
from napari_promptseg.learning import student, teaching
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

HERE = Path(__file__).resolve().parent
METHODS = {
    "live": ("--method", "live", "--shots", "3"),
    "prompts": ("--method", "prompts", "--shots", "3"),
    "student": ("--method", "student", "--shots", "3", "--student-steps", "20"),
}
CLASSES = {"0": "unlabelled", "1": "blue", "2": "green"}


@pytest.fixture(autouse=True)
def tower(monkeypatch):
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: TowerEncoder())


def write_pack(folder, classes=CLASSES, images=3):
    """Red, which the classes call blue, beside green; annotated in a few places only."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(images):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:, :16], picture[:, 16:] = COLOURS["red"], COLOURS["green"]
        mask = np.full((32, 32), 255, np.uint8)
        mask[4 * i : 4 * i + 16, 2:12], mask[4 * i : 4 * i + 16, 20:30] = 1, 2
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.json").write_text(json.dumps(classes))
    return folder


@pytest.fixture
def pack(tmp_path):
    return write_pack(tmp_path / "pack")


def folders(pack):
    return ("--images", pack / "images", "--labels", pack / "masks", "--classes", pack / "classes.json")


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def tuned(pack, path, *more):
    code = run("tune", *folders(pack), "-o", path, "--edges", "none", *more)
    return code, path if path.suffix else path.with_suffix(".promptseg")


def test_tune_says_what_it_gained_and_writes_the_file(pack, tmp_path, capsys):
    code, path = tuned(pack, tmp_path / "mine", "--shots", "2", "--seed", "1")
    said = capsys.readouterr()
    assert code == 0
    assert said.out.startswith(f"{path}\theld-out Dice ")
    assert said.out.endswith(" strokes, kept\n")
    saved = load_prompts(path)
    assert saved.prompts.names == ("blue", "green")
    assert saved.prompts.learned is not None
    assert saved.validation["held_out_dice_after"] > saved.validation["held_out_dice_before"]
    assert len(saved.provenance["images"]) == 2
    assert saved.provenance["zero_is"] == "unlabelled"


@pytest.mark.parametrize("method", METHODS)
def test_the_file_gives_the_same_mask_in_a_fresh_process(pack, tmp_path, capsys, method):
    _, path = tuned(pack, tmp_path / "a.promptseg", *METHODS[method])
    image = pack / "images" / "0.png"
    saved = load_prompts(path)
    assert saved.validation["method"] == method
    assert saved.prompts.learned.taught >= {1, 2}
    assert run("segment", image, "--prompts", path, "-o", tmp_path / "here", "--edges", "none") == 0
    said = capsys.readouterr().err
    assert "unknown to this model" not in said
    assert "fewer than 4 labelled images" in said
    code = f"""
        import sys
        sys.path.insert(0, {str(HERE.parent)!r})
        from tower_encoder import TowerEncoder
        from napari_promptseg.encoders import loading
        from napari_promptseg.cli import main
        loading.load_encoder = lambda *arguments, **keywords: TowerEncoder()
        sys.exit(main(sys.argv[1:]))
    """
    arguments = ["segment", str(image), "--prompts", str(path), "-o", str(tmp_path / "there"), "--edges", "none"]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    here = read_image(tmp_path / "here" / "0_labels.tif").region()
    there = read_image(tmp_path / "there" / "0_labels.tif").region()
    assert np.array_equal(here, there)
    assert set(np.unique(here)) == {1, 2}


@pytest.mark.parametrize(("given", "used"), [((), "fast"), (("--quality", "fine"), "fine")])
def test_pictures_are_read_as_they_were_when_it_was_learned(pack, tmp_path, capsys, given, used):
    code, path = tuned(pack, tmp_path / "a.promptseg", *METHODS["live"], *given)
    assert code == 0
    assert load_prompts(path).normalisation["quality"] == used
    assert run("segment", pack / "images" / "0.png", "--prompts", path, "-o", tmp_path / "out") == 0
    made = json.loads((tmp_path / "out" / "0_labels.json").read_text(encoding="utf-8"))["provenance"]
    assert made["settings"]["quality"] == used
    capsys.readouterr()


@pytest.mark.parametrize("method", METHODS)
def test_pixels_that_nobody_labelled_teach_nothing(pack, tmp_path, capsys, method):
    more = METHODS[method]
    _, one = tuned(pack, tmp_path / "one", *more)
    for file in (pack / "masks").iterdir():
        mask = np.array(Image.open(file))
        mask[:, ::2][mask[:, ::2] == 255] = 0  # which the class file calls unlabelled
        Image.fromarray(mask).save(file)
    _, two = tuned(pack, tmp_path / "two", *more)
    assert load_prompts(one).prompts == load_prompts(two).prompts
    capsys.readouterr()


def test_a_student_learns_from_images_without_labels(pack, tmp_path, capsys):
    (pack / "masks" / "1.png").unlink()
    code, path = tuned(pack, tmp_path / "a", *METHODS["student"])
    said = capsys.readouterr()
    assert code == 0
    assert "prompts: held-out Dice " in said.out
    assert "student of 1 image: held-out Dice " in said.out
    saved = load_prompts(path)
    assert saved.provenance["unlabelled"] == ["1.png"]
    assert saved.validation["prompts"]["method"] == "prompts"
    other = write_pack(tmp_path / "other")
    _, path = tuned(pack, tmp_path / "b", *METHODS["student"], "--unlabelled", other / "images")
    assert "student of 3 images" in capsys.readouterr().out


def test_a_worse_student_leaves_the_prompts(pack, tmp_path, capsys, monkeypatch):
    def spoil(decoder, *arguments, **keywords):
        decoder.out.weight.data.normal_(std=100.0, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(student, "train", spoil)
    _, path = tuned(pack, tmp_path / "a", *METHODS["student"])
    _, alone = tuned(pack, tmp_path / "b", "--method", "prompts", "--shots", "3")
    assert ", kept; student of 0 images" in (said := capsys.readouterr()).out
    assert "not kept" in said.out
    assert "No image is without labels" in said.err
    learned = load_prompts(path).prompts.learned
    assert learned.tensors == {}
    assert set(learned.views) == set(load_prompts(alone).prompts.learned.views)


def test_ctrl_c_while_images_are_labelled_keeps_the_prompts(pack, tmp_path, capsys, monkeypatch):
    def interrupted(*arguments, progress, **keywords):
        signal.raise_signal(signal.SIGINT)
        progress(0, 0, "labelling")

    monkeypatch.setattr(teaching, "train_student", interrupted)
    code, path = tuned(pack, tmp_path / "a", *METHODS["student"])
    assert code == 130
    assert load_prompts(path).validation["method"] == "prompts"
    assert "Stopped early" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--method", "live", "--steps", "3"), "leave --steps out"),
        (("--unlabelled", "."), "--unlabelled belongs to --method student"),
        (("--method", "live", "--student-steps", "3"), "--student-steps belongs to --method student"),
        (("--method", "student", "--unlabelled", "nowhere"), "There is no folder 'nowhere'"),
    ],
)
def test_options_that_a_method_does_not_have_are_refused(pack, tmp_path, capsys, more, words):
    assert tuned(pack, tmp_path / "a", *more)[0] == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "a.promptseg").exists()


def test_unlabelled_planes_are_those_without_annotation(tmp_path, pack):
    parts = DataPack.from_folder(pack)
    rng = np.random.default_rng(0)
    pixels, mask = rng.integers(0, 255, (3, 16, 16), np.uint8), np.zeros((3, 16, 16), np.uint8)
    mask[1, :4], mask[2] = 1, 255
    for folder, values in (("images", pixels), ("masks", mask)):
        tifffile.imwrite(pack / folder / "stack.tif", values, photometric="minisblack")
    parts = DataPack.from_folder(pack)
    pairs = [p for p in parts if p.name == "stack.tif"]

    def planes(background):
        given = unlabelled_planes(parts, pairs, [pack / "images" / "0.png"], zero_is_background=background)
        return [plane for _, plane in given]

    assert planes(False) == [0, 2, 0]
    assert planes(True) == [2, 0]


def test_tuning_twice_with_a_seed_is_the_same(pack, tmp_path, capsys):
    _, one = tuned(pack, tmp_path / "one", "--seed", "4", "--steps", "8")
    _, two = tuned(pack, tmp_path / "two", "--seed", "4", "--steps", "8")
    assert load_prompts(one).prompts == load_prompts(two).prompts
    capsys.readouterr()


def test_no_better_means_the_original_prompts_and_says_so(pack, tmp_path, capsys, monkeypatch):
    tune = teaching.tune_prompts

    def worse(encoder, prompts, samples, **keywords):
        result = tune(encoder, prompts, samples, **keywords)
        return replace(result, verdict=replace(result.verdict, after=0.0))

    monkeypatch.setattr(teaching, "tune_prompts", worse)
    code, path = tuned(pack, tmp_path / "a", "--steps", "2")
    said = capsys.readouterr()
    assert code == 0
    assert "not kept" in said.out
    assert "holds the prompts as they were" in said.err
    assert load_prompts(path).prompts.learned is None


def test_ctrl_c_keeps_the_best_so_far(pack, tmp_path, capsys, monkeypatch):
    tune = teaching.tune_prompts

    def interrupted(encoder, prompts, samples, *, options, progress):
        def listen(done, total, description):
            if done == 12:
                signal.raise_signal(signal.SIGINT)
            progress(done, total, description)

        return tune(encoder, prompts, samples, options=options, progress=listen)

    monkeypatch.setattr(teaching, "tune_prompts", interrupted)
    before = signal.getsignal(signal.SIGINT)
    code, path = tuned(pack, tmp_path / "a")
    assert code == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert load_prompts(path).validation["cancelled"] is True
    assert "Stopped early" in capsys.readouterr().err


def test_a_second_ctrl_c_interrupts_at_once():
    with tune_command.interruptions() as check:
        check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(CancelledError):
            check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_evaluate_pairs_classes_by_name_whatever_their_ids(pack, tmp_path, capsys):
    _, path = tuned(pack, tmp_path / "a.promptseg")
    other = write_pack(tmp_path / "other", {"0": "background", "2": "Blue", "1": "green"})
    for file in (other / "masks").iterdir():
        ids = np.asarray(Image.open(file))
        Image.fromarray(np.where(ids == 255, 255, 3 - ids).astype(np.uint8)).save(file)
    capsys.readouterr()
    assert run("evaluate", *folders(other), "--prompts", path, "--json", "-", "--edges", "none") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["full"]["mean_iou"] > 0.95
    (other / "classes.json").write_text('{"1": "green", "2": "sky"}')
    assert run("evaluate", *folders(other), "--prompts", path, "--json", "-") == 0
    said = capsys.readouterr().err
    assert "The pack does not have 'blue' of a.promptseg: left out." in said
    assert "a.promptseg does not have 'sky' of the pack: measured by name alone." in said
    (other / "classes.json").write_text('{"1": "cat", "2": "dog"}')
    assert run("evaluate", *folders(other), "--prompts", path) == 2
    assert "None of the classes of a.promptseg (blue, green) is in the pack (cat, dog)" in capsys.readouterr().err


def test_pairing_moves_what_was_learned_with_its_class(pack, tmp_path):
    _, path = tuned(pack, tmp_path / "a.promptseg")
    prompts = load_prompts(path).prompts
    paired, notices = pair_by_name(prompts, PromptSet.from_text("green, sky"))
    assert paired.names == ("green", "sky")
    assert len(notices) == 2
    assert set(prompts.learned.views) == {1, 2}
    assert set(paired.learned.views) == {1}
    assert np.array_equal(paired.learned.views[1], prompts.learned.views[2])


def test_a_file_of_another_model_is_refused_with_the_reason(pack, tmp_path, capsys):
    path = save_prompts(tmp_path / "x.promptseg", SavedPrompts(PromptSet.from_text("red"), "RN50/openai", "0" * 32))
    image = pack / "images" / "0.png"
    for command in (
        ("segment", image, "--prompts", path, "-o", tmp_path / "out"),
        ("evaluate", *folders(write_pack(tmp_path / "red", {"1": "red", "2": "green"})), "--prompts", path),
    ):
        assert run(*command) == 2
        assert "was made with the model 'RN50/openai'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    save_prompts(path, SavedPrompts(PromptSet.from_text("red"), "pixels", "0" * 32))
    assert run("segment", image, "--prompts", path, "-o", tmp_path / "out") == 2
    assert "another version of the model 'pixels'" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:-20])
    assert run("segment", image, "--prompts", path, "-o", tmp_path / "out") == 2
    assert "truncated" in capsys.readouterr().err


def test_options_that_a_prompt_file_settles_are_refused(pack, tmp_path, capsys):
    path = save_prompts(
        tmp_path / "x.promptseg", SavedPrompts(PromptSet.from_text("red"), "pixels", TowerEncoder.fingerprint)
    )
    image = pack / "images" / "0.png"
    for more in (("--background", "sky"), ("--image-kind", "ct")):
        assert run("segment", image, "--prompts", path, "-o", tmp_path / "out", *more) == 2
        assert f"{more[0]} is part of the prompt file 'x.promptseg'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run("segment", image, "--prompts", path, "--classes", "red", "-o", tmp_path / "out")
    capsys.readouterr()


def test_what_would_stop_the_file_is_said_before_any_work(pack, tmp_path, capsys, monkeypatch):
    def never(*arguments, **keywords):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(loading, "load_encoder", never)
    (tmp_path / "there.promptseg").write_bytes(b"x")
    assert tuned(pack, tmp_path / "there")[0] == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert tuned(pack, tmp_path / "no" / "folder" / "x.promptseg")[0] == 2
    assert "a folder that exists" in capsys.readouterr().err


def test_images_without_a_mask_are_left_out_of_tuning_only(pack, tmp_path):
    (pack / "masks" / "1.png").unlink()
    parts = (pack / "images", pack / "masks", pack / "classes.json")
    with pytest.raises(InputError, match="no mask"):
        DataPack.from_folders(*parts)
    assert [p.name for p in DataPack.from_folders(*parts, all_labelled=False)] == ["0.png", "2.png"]
    for file in (pack / "masks").iterdir():
        file.rename(file.with_name("x" + file.name))
    with pytest.raises(InputError, match="no mask"):
        DataPack.from_folders(*parts, all_labelled=False)


@pytest.mark.parametrize(
    ("name", "background"),
    [("background", True), ("Background (skin)", True), ("other / unlabelled", False), (None, False)],
)
def test_what_zero_means_is_read_from_the_class_file(tmp_path, name, background):
    file = tmp_path / "classes.json"
    file.write_text(json.dumps({"1": "cat"} if name is None else {"0": name, "1": "cat"}))
    assert zero_is_background(file) is background


def test_samples_hold_only_what_is_annotated(pack):
    parts = DataPack.from_folder(pack)
    mask = np.asarray(Image.open(pack / "masks" / "0.png"))
    Image.fromarray(np.where(mask == 255, 0, mask)).save(pack / "masks" / "0.png")
    first = parts.pairs[:1]
    segmenter = Segmenter(TowerEncoder())
    (sparse,) = encode_shots(segmenter, parts, first, zero_is_background=False)
    (full,) = encode_shots(segmenter, parts, first, zero_is_background=True)
    assert set(sparse.values) == {1, 2}
    assert set(full.values) == {0, 1, 2}
    assert (sparse.complete, full.complete) == (False, True)
    assert (mask[sparse.rows, sparse.columns] == sparse.values).all()
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(pack / "masks" / "0.png")
    with pytest.raises(InputError, match="annotated"):
        encode_shots(segmenter, parts, first, zero_is_background=True)


def test_shots_are_drawn_by_the_seed(pack):
    parts = DataPack.from_folder(pack)
    assert draw(parts, 2, 3) == draw(parts, 2, 3)
    assert len(draw(parts, 2, 3)) == 2
    assert {tuple(draw(parts, 1, s)) for s in range(20)} == {(p,) for p in parts}
    assert draw(parts, 9) == draw(parts, None) == list(parts.pairs)
