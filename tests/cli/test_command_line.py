"""What a person sees: exit codes, one sentence per error, results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS, PixelEncoder

import napari_promptseg
from napari_promptseg import cli, command_options
from napari_promptseg.encoders import device, loading
from napari_promptseg.encoders.encoder import Quality
from napari_promptseg.errors import ModelError
from napari_promptseg.images.readers import read_image
from napari_promptseg.progress_line import ProgressLine
from napari_promptseg.prompts.prompt_set import ImageKind
from napari_promptseg.segmentation.settings import REFINEMENTS

HERE = Path(__file__).resolve().parent


@pytest.fixture
def pixels(monkeypatch):
    asked = []

    def load(spec="embedded", *, device="auto", dense_mode=None):
        asked.append((spec, device))
        return PixelEncoder()

    monkeypatch.setattr(loading, "load_encoder", load)
    return asked


@pytest.fixture
def photo(tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :10], picture[:, 20:] = COLOURS["red"], COLOURS["green"]
    path = tmp_path / "in" / "Bild ä.png"
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    return path


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def test_segment_writes_labels_and_legend_and_tells_shares(pixels, photo, tmp_path, capsys):
    out = tmp_path / "out"
    code = run("segment", photo, "--classes", "red | crimson, green, violet", "-o", out, "--edges", "none")
    said = capsys.readouterr()
    assert code == 0
    labels = read_image(out / "Bild ä_labels.tif").region()
    assert (labels[5, 5], labels[5, 15], labels[5, 25]) == (1, 0, 2)
    assert re.fullmatch(r".*Bild ä_labels\.tif\tred 3\d\.\d%, green 3\d\.\d%, violet 0\.0%\n", said.out)
    assert "'violet' is unknown to this model (nearest: red)" in said.err
    assert "1 of 1 images segmented" in said.err
    legend = json.loads((out / "Bild ä_labels.json").read_text(encoding="utf-8"))
    assert [(c["value"], c["name"], c["synonyms"], c["familiarity"]) for c in legend["classes"]] == [
        (1, "red", ["crimson"], "known"),
        (2, "green", [], "known"),
        (3, "violet", [], "unknown"),
    ]
    made = legend["provenance"]
    assert made["version"] == napari_promptseg.__version__
    assert made["settings"]["refinement"] == "none"
    assert made["settings"]["quality"] == "fine"
    assert made["seconds"] >= 0


def test_options_reach_model_prompts_and_settings(pixels, photo, tmp_path, capsys):
    names = tmp_path / "names.txt"
    names.write_text("red\ngreen\n", encoding="utf-8")
    code = run(
        *("segment", photo, "--classes", f"@{names}", "-o", tmp_path / "out", "--format", "png"),
        *("--model", "RN50/random", "--device", "cpu", "--quality", "fast", "--threshold", "0.999999"),
        *("--background", "blue", "--image-kind", "mr"),
    )
    assert code == 0
    assert pixels == [("RN50/random", "cpu")]
    made = json.loads((tmp_path / "out" / "Bild ä_labels.json").read_text(encoding="utf-8"))
    assert {c["threshold"] for c in made["classes"]} == {0.999999}
    made = made["provenance"]
    assert (made["background"], made["image_kind"], made["settings"]["quality"]) == (["blue"], "mr", "fast")
    assert (tmp_path / "out" / "Bild ä_labels.png").exists()
    capsys.readouterr()


def test_a_failed_image_is_named_and_the_code_is_1(pixels, photo, tmp_path, capsys):
    (photo.parent / "broken.png").write_bytes(b"x")
    assert run("segment", photo.parent, "--classes", "red", "-o", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "Traceback" not in said.err
    assert said.out.count("\n") == 1
    assert run("segment", photo, "--classes", "red", "-o", tmp_path / "out") == 1
    assert "pass --overwrite" in capsys.readouterr().err
    assert run("segment", photo, "--classes", "red", "-o", tmp_path / "out", "--overwrite") == 0


@pytest.mark.parametrize(
    ("classes", "words"),
    [("", "No class is named"), ("cat, Cat", "twice"), (" , |", "No class"), ("@missing.txt", "cannot be read")],
)
def test_class_lists_that_cannot_be_used(pixels, photo, tmp_path, capsys, classes, words):
    assert run("segment", photo, "--classes", classes, "-o", tmp_path / "out") == 2
    assert words in capsys.readouterr().err
    assert not pixels  # said before a model is loaded
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["-o", "--table"])
def test_a_place_that_cannot_be_written_to_is_said_before_the_model_is_loaded(
    pixels, photo, tmp_path, capsys, monkeypatch, option
):
    """A read-only disc would else be noticed after hours, when the first labels are finished."""
    closed = tmp_path / "schreib geschützt"
    closed.mkdir()
    asked = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and asked(path, mode))
    places = {"-o": tmp_path / "out", option: closed / "new" / "t.csv"}
    assert run("segment", photo, "--classes", "red", *(part for place in places.items() for part in place)) == 1
    assert "schreib geschützt' cannot be written to: choose another folder." in capsys.readouterr().err
    assert pixels == []
    assert not (tmp_path / "out").exists()


def test_bad_input_is_2_and_a_bad_model_3(photo, tmp_path, capsys, monkeypatch):
    assert run("segment", tmp_path / "no.png", "--classes", "red", "-o", tmp_path / "out") == 2
    assert run("segment", photo, "--classes", "red", "-o", photo) == 2
    assert "is a file" in capsys.readouterr().err
    assert run("segment", photo, "--classes", "red", "-o", tmp_path / "o", "--model", "no-such-model/x") == 3
    said = capsys.readouterr().err
    assert said.count("\n") <= 3
    assert "Traceback" not in said

    def fail(*arguments, **keywords):
        raise ModelError("The model is elsewhere.")

    monkeypatch.setattr(loading, "load_encoder", fail)
    assert run("segment", photo, "--classes", "red", "-o", tmp_path / "o", "--debug") == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["segment"],
        ["segment", "a.png", "--classes", "x"],
        ["segment", "a.png", "--classes", "x", "-o", "d", "--threshold", "1.5"],
        ["segment", "a.png", "--classes", "x", "-o", "d", "--device", "tpu"],
        ["evaluate"],
        ["nonsense"],
    ],
)
def test_usage_errors_are_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_no_command_shows_the_help(capsys):
    assert run() == 2
    assert "exit codes" in capsys.readouterr().out


def test_evaluate_prints_a_table_and_writes_json(pixels, photo, tmp_path, capsys):
    mask = np.zeros((20, 30), np.uint8)
    mask[:, :10], mask[:, 20:] = 1, 2
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "Bild ä.png")
    (tmp_path / "classes.json").write_text('{"0": "background", "1": "red", "2": "green"}')
    folders = ("--images", photo.parent, "--labels", tmp_path / "masks", "--classes", tmp_path / "classes.json")
    assert run("evaluate", *folders, "--json", tmp_path / "figures.json", "--edges", "none") == 0
    said = capsys.readouterr()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {"images", "foreground", "full", "model", "seconds"} <= set(figures)
    assert figures["images"] == 1
    assert figures["model"] == "pixels"
    for part in (figures["foreground"], figures["full"]):
        assert {"mean_iou", "mean_dice", "pixel_accuracy", "per_class"} <= set(part)
        assert part["mean_iou"] > 0.9
        assert set(part["per_class"]) == {"red", "green"}
        assert set(part["per_class"]["red"]) == {"iou", "dice", "auc"}
    assert re.search(r"^mean +1\.000", said.out, re.M)
    assert run("evaluate", *folders, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1
    (tmp_path / "masks" / "Bild ä.png").rename(tmp_path / "masks" / "other.png")
    assert run("evaluate", *folders) == 2
    assert "no mask of the same name" in capsys.readouterr().err


def test_models_as_table_and_json(capsys):
    assert run("models") == 0
    table = capsys.readouterr().out
    assert re.search(r"^embedded +\d+ M +0 MB +embedded", table, re.M)
    assert run("models", "--json") == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries[0]["spec"] == "embedded"
    assert {"spec", "title", "parameters", "licence", "download_mb", "good_at", "family", "state"} == set(entries[0])


def test_choices_are_those_of_the_modules_that_define_them():
    assert command_options.EDGES == REFINEMENTS
    assert command_options.DEVICES == device.DEVICES
    assert get_args(Quality) == command_options.QUALITIES
    assert get_args(ImageKind) == command_options.IMAGE_KINDS


def test_help_and_version_import_nothing_heavy():
    code = """
        import sys
        from napari_promptseg.cli import main
        for arguments in (["--help"], ["segment", "--help"], ["evaluate", "--help"], ["tune", "--help"], ["--version"]):
            try:
                main(arguments)
            except SystemExit as stopped:
                assert stopped.code == 0
        heavy = {"torch", "numpy", "scipy", "skimage", "open_clip", "napari", "qtpy", "PIL"} & set(sys.modules)
        assert not heavy, heavy
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
    assert f"napari-promptseg {napari_promptseg.__version__}" in done.stdout


_DRIVER = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from pixel_encoder import PixelEncoder
    from napari_promptseg.encoders import loading
    from napari_promptseg.cli import main

    class Slow(PixelEncoder):
        def encode_plane(self, picture, **keywords):
            if picture[0, 0, 0] == 255:
                print("encoding the slow one", file=sys.stderr, flush=True)
                time.sleep(60)
            return super().encode_plane(picture, **keywords)

    loading.load_encoder = lambda *arguments, **keywords: Slow()
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_stops_cleanly_and_keeps_what_is_finished(tmp_path):
    for name, value in (("a", 0), ("b", 255), ("c", 0)):
        Image.fromarray(np.full((9, 9, 3), value, np.uint8)).save(tmp_path / f"{name}.png")
    code = textwrap.dedent(_DRIVER.format(tests=str(HERE.parent)))
    arguments = ["segment", str(tmp_path), "--classes", "red", "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if "slow one" in line:
                process.send_signal(signal.SIGINT)
        printed = process.stdout.read()
    assert process.returncode == 130
    assert "Cancelled" in said[-1]
    assert "Traceback" not in "".join(said)
    assert printed.count("\n") == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a_labels.json", "a_labels.tif"]


@pytest.mark.skipif(os.name == "nt", reason="pipes break differently on Windows")
def test_a_reader_that_goes_away_is_no_traceback(tmp_path):
    for i in range(3):
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / f"{i}.png")
    code = textwrap.dedent(_DRIVER.format(tests=str(HERE.parent)))
    arguments = ["segment", str(tmp_path), "--classes", "red", "-o", str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_progress_line_is_written_over_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    screen, log = Terminal(), io.StringIO()
    for stream in (screen, log):
        with ProgressLine(stream) as line:
            line.listener("[1/2] 細胞.png")(0, 1, "a long description that does not fit")
            line.show("second")
            line.say("stays")
    assert log.getvalue() == "[1/2] 細胞.png: a long description that does not fit\nstays\n"
    written = screen.getvalue()
    assert written.endswith("\r\x1b[Kstays\n")
    assert "\r\x1b[K[1/2] 細胞.png: a l\r" in written  # 19 columns
