"""``segment`` on pictures of all sizes, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from large_workshop import squares
from PIL import Image
from pixel_encoder import PixelEncoder

from napari_promptseg import cli
from napari_promptseg.encoders import loading


@pytest.fixture
def segment(monkeypatch, tmp_path):
    """Run ``segment`` with the pixel encoder into the folder ``out``."""
    monkeypatch.setattr(loading, "load_encoder", lambda spec, device: PixelEncoder())

    def run(*words: str) -> int:
        common = ["--classes", "red, green", "--background", "black", "--edges", "none", "--tile", "64"]
        return cli.main(["segment", *words, *common, "--blocks-above", "300", "-o", str(tmp_path / "out")])

    return run


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels, labels = squares(8, 12)
    Image.fromarray(pixels).save(folder / "large.png")
    Image.fromarray(pixels[:60, :90]).save(folder / "small.png")
    return folder, labels


def test_large_ones_become_zarr_and_small_ones_stay_as_they_were(segment, pictures, tmp_path, capsys):
    import tifffile
    import zarr

    folder, truth = pictures
    assert segment(str(folder)) == 0
    assert "2 of 2 images" in capsys.readouterr().err
    out = tmp_path / "out"
    np.testing.assert_array_equal(np.asarray(zarr.open_group(out / "large_labels.ome.zarr")["0"]), truth)
    np.testing.assert_array_equal(tifffile.imread(out / "small_labels.tif"), truth[:60, :90])
    assert json.loads((out / "large_labels.json").read_text())["provenance"]["source"] == "large.png"
    # once more: in the way, or kept
    assert segment(str(folder)) == 1
    said = capsys.readouterr().err
    assert "small_labels.tif' exists already" in said
    assert "large_labels.ome.zarr' is finished already" in said
    assert segment(str(folder), "--resume") == 0
    assert segment(str(folder), "--resume", "--threshold", "0.9") == 1
    said = capsys.readouterr().err
    assert "other prompts or settings" in said
    assert segment(str(folder), "--overwrite", "--threshold", "0.9") == 0


def test_the_results_are_no_images_of_the_next_run(segment, pictures, tmp_path, capsys):
    folder, _ = pictures
    assert segment(str(folder / "large.png")) == 0
    (tmp_path / "out" / "large_labels.json").unlink()
    assert cli.main(["segment", str(tmp_path / "out"), "--classes", "red", "-o", str(tmp_path / "out")]) == 2
    assert "label files of an earlier run" in capsys.readouterr().err


def test_another_format_is_refused_for_large_ones_only(segment, pictures, capsys):
    folder, _ = pictures
    assert segment(str(folder), "--format", "png") == 1
    assert "leave --format out, or raise --blocks-above" in capsys.readouterr().err


def test_a_cluster_off_this_machine_is_refused_before_anything_is_read(segment, capsys, pictures):
    folder, _ = pictures
    assert segment(str(folder), "--cluster", "tcp://192.0.2.7:8786") == 2
    assert "Nothing was sent" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C reaches the processes of a terminal together on POSIX")
def test_ctrl_c_with_workers_leaves_no_traceback_and_no_process(pictures, tmp_path):
    psutil = pytest.importorskip("psutil")
    folder, _ = pictures
    code = "import sys; from napari_promptseg.cli import main; sys.exit(main())"
    words = ["segment", str(folder / "large.png"), "--classes", "red", "--tile", "64", "--block-side", "56"]
    words += ["--blocks-above", "300", "--workers", "2", "--quality", "fast", "-o", str(tmp_path / "out")]
    program = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    journal = tmp_path / "out" / "large_labels.journal.jsonl"
    give_up = time.monotonic() + 200
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert program.poll() is None, program.communicate()[1]
        assert time.monotonic() < give_up
        time.sleep(0.05)
    workers = psutil.Process(program.pid).children(recursive=True)
    os.killpg(program.pid, signal.SIGINT)
    _, said = program.communicate(timeout=90)
    assert program.returncode == 130
    assert "Dashboard: http://127.0.0.1" in said
    assert said.rstrip().endswith("Cancelled; what was finished is kept.")
    assert "Traceback" not in said
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert journal.read_bytes().count(b"\n") > 2


def test_modalities_of_a_large_picture_are_fused_in_blocks(segment, pictures, tmp_path):
    import zarr

    folder, truth = pictures
    (tmp_path / "nir").mkdir()
    Image.fromarray(255 - np.asarray(Image.open(folder / "large.png"))).save(tmp_path / "nir" / "large.png")
    words = ["--modality", f"nir={tmp_path / 'nir'}", "--modality-weight", "nir=0"]
    assert segment(str(folder / "large.png"), *words) == 0
    written = np.asarray(zarr.open_group(tmp_path / "out" / "large_labels.ome.zarr")["0"])
    np.testing.assert_array_equal(written, truth)
    legend = json.loads((tmp_path / "out" / "large_labels.json").read_text())
    assert legend["provenance"]["blocks"]["tile"] == 64
