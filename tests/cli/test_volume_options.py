"""The command line on volumes: axes, ranges, windows, clean-up, a table."""

from __future__ import annotations

import csv
import io
import json

import nibabel
import numpy as np
import pytest

from napari_promptseg import cli
from napari_promptseg.command_options import BAD_INPUT, FINE, SOME_FAILED
from napari_promptseg.encoders import loading
from napari_promptseg.segmentation.volumes.planes import GENERIC_NAMES, PLANE_AXES
from napari_promptseg.volume_options import AXES, LETTERS
from tests.pixel_encoder import PixelEncoder


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    monkeypatch.setattr(loading, "load_encoder", lambda *_, **__: PixelEncoder())


@pytest.fixture
def scan(tmp_path):
    """A CT of 12 x 10 x 8 voxels of 2 mm: a bright block and a bright speck, in Hounsfield units."""
    values = np.full((12, 10, 8), -200, np.int16)
    values[3:9, 3:7, 2:6] = 300
    values[10, 8, 6] = 300
    path = tmp_path / "Bäuche und mehr" / "scan.nii.gz"
    path.parent.mkdir()
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-2.0, -2.0, 2.0, 1.0])), path)
    return path


def segment(scan, *options):
    # white is what these pixels' encoder sees of a bright voxel
    given = ["--classes", "red | bright green | blue", "--image-kind", "ct", "--edges", "none", "--background", "black"]
    folder = scan if scan.is_dir() else scan.parent
    return cli.main(["segment", str(scan), *given, "-o", str(folder / "out"), "--overwrite", *options])


def labels_of(scan):
    return np.asarray(nibabel.load(scan.parent / "out" / "scan_labels.nii.gz").dataobj)


@pytest.mark.parametrize("axis", [*AXES, "y"])
def test_every_axis_and_all_three_give_the_block(scan, axis):
    assert segment(scan, "--axis", axis) == FINE
    one = labels_of(scan)
    assert one[3:9, 3:7, 2:6].all()
    assert np.count_nonzero(one) == 6 * 4 * 4 + 1
    assert segment(scan, "--axis", axis, "--axes", "three") == FINE
    assert np.array_equal(labels_of(scan), one)


def test_ranges_clean_up_and_table(scan):
    table = scan.parent / "größen.csv"
    options = ("--keep-largest", "--fill-holes", "--min-size", "20", "--smooth", "0.5", "--table", str(table))
    assert segment(scan, *options, "--planes", "1-4") == FINE
    labels = labels_of(scan)
    assert labels[:, :, 2:5].sum() == 6 * 4 * 3
    assert labels.sum() == 6 * 4 * 3
    (row,) = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig")))
    assert row["volume"] == "scan"
    assert float(row["size (mL)"]) == pytest.approx(6 * 4 * 3 * 8 / 1000)
    assert (row["first plane"], row["last plane"]) == ("2", "4")
    assert not list((scan.parent / "out").glob("*.csv"))
    legend = json.loads((scan.parent / "out" / "scan_labels.json").read_text(encoding="utf-8"))
    assert legend["provenance"]["volume"]["planes"] == [1, 4]
    assert legend["provenance"]["volume"]["cleanup"]["keep_largest"] is True


def test_a_window_decides_what_is_bright(scan):
    assert segment(scan, "--window=1000,2000") == FINE
    assert not labels_of(scan).any()
    assert segment(scan, "--window", "lung") == FINE
    legend = json.loads((scan.parent / "out" / "scan_labels.json").read_text(encoding="utf-8"))
    assert legend["provenance"]["volume"]["window"] == [-1350.0, 150.0]


def test_a_window_for_what_is_no_ct_is_not_passed_over(scan, capsys):
    assert segment(scan, "--window", "lung", "--image-kind", "mr") == SOME_FAILED
    said = capsys.readouterr().err
    assert "'scan.nii.gz' is mr, and windows are for CT: leave --window out." in said
    assert not (scan.parent / "out").exists()


def test_several_volumes_are_one_table(scan):
    (scan.parent / "two.nii.gz").write_bytes(scan.read_bytes())
    table = scan.parent / "all.csv"
    assert segment(scan.parent, "--table", str(table)) == FINE
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    assert [r["volume"] for r in rows] == ["scan", "two"]


def test_a_table_of_a_run_that_was_taken_up_again_has_all_images(scan):
    table, out = scan.parent / "all.csv", scan.parent / "out"
    broken = scan.parent / "two.nii.gz"
    broken.write_bytes(scan.read_bytes()[:80])
    words = ["segment", str(scan.parent), "--classes", "red", "--image-kind", "ct", "--table", str(table)]
    assert cli.main([*words, "-o", str(out)]) == SOME_FAILED
    broken.write_bytes(scan.read_bytes())
    assert cli.main([*words, "-o", str(out), "--resume"]) == FINE
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    assert [r["volume"] for r in rows] == ["scan", "two"]
    table.write_text("mine")
    broken.with_name("three.nii.gz").write_bytes(scan.read_bytes())
    assert cli.main([*words, "-o", str(out), "--resume"]) == SOME_FAILED
    assert table.read_text() == "mine"


def test_volumes_of_one_name_in_two_folders_have_rows_of_their_own(scan):
    other = scan.parent / "other" / scan.name
    other.parent.mkdir()
    other.write_bytes(scan.read_bytes())
    table = scan.parent / "all.csv"
    words = ["segment", str(scan), str(other), "--classes", "red", "--image-kind", "ct", "--table", str(table)]
    assert cli.main([*words, "-o", str(scan.parent / "out")]) == FINE
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8-sig"))))
    assert len({r["volume"] for r in rows}) == 2


def test_what_cannot_be_is_said_before_the_model_is_loaded(scan, capsys, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("too early")

    assert segment(scan, "--planes", "5-40") == SOME_FAILED
    assert "Plane 40 does not exist" in capsys.readouterr().err
    monkeypatch.setattr(loading, "load_encoder", refuse)
    assert segment(scan, "--window", "liverwurst") == BAD_INPUT
    assert "is no window" in capsys.readouterr().err
    for wrong in (["--planes", "9-3"], ["--axis", "oblique"], ["--min-size", "-2"]):
        with pytest.raises(SystemExit):
            segment(scan, *wrong)
    table = scan.parent / "there.csv"
    table.write_text("mine")
    code = cli.main(["segment", str(scan), "--classes", "red", "-o", str(scan.parent / "o"), "--table", str(table)])
    assert code == SOME_FAILED
    assert table.read_text() == "mine"


def test_names_written_out_are_those_of_the_engine():
    assert AXES == PLANE_AXES
    assert LETTERS == GENERIC_NAMES
