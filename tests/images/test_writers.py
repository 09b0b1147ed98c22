"""Labels come back as they were written, with a legend; a failed write leaves nothing and says why."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.nifti_files import encode_nifti
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.images.writers import legend_path, write_files, write_labels
from napari_promptseg.prompts.prompt_set import PromptSet

PROMPTS = PromptSet.from_text('Zelle | cell, 細胞核, "cat\'s \u201eeye\u201c, left"')
LABELS = np.array([[0, 1, 1, 2], [3, 3, 0, 0]], np.uint8)


@pytest.mark.parametrize("ending", [".tif", ".png"])
@settings(max_examples=25, deadline=None)
@given(hnp.arrays("uint16", st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_labels_survive(tmp_path_factory, ending, labels):
    path = tmp_path_factory.mktemp("x") / f"a{ending}"
    write_labels(path, labels, PROMPTS)
    np.testing.assert_array_equal(read_image(path).region(), labels)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels)


def test_legend_in_any_language(tmp_path):
    image, legend = write_labels(
        tmp_path / "new folder" / "Bild 1.tif",
        LABELS,
        PROMPTS,
        source=ImageStack((Modality("m", np.zeros((2, 4))),), source="Bild 1.png"),
        provenance={"model": "embedded", "seconds": np.float32(1.5), "settings": {"edges": "guided"}},
        familiarity={"Zelle": "known"},
    )
    assert legend == legend_path(image) == tmp_path / "new folder" / "Bild 1.json"
    read = json.loads(legend.read_text(encoding="utf-8"))
    assert [c["name"] for c in read["classes"]] == ["Zelle", "細胞核", "cat's „eye“, left"]
    assert read["classes"][0] == {
        "value": 1,
        "name": "Zelle",
        "synonyms": ["cell"],
        "colour": "#e69f00",
        "threshold": 0.5,
        "area_share": 0.25,
        "familiarity": "known",
    }
    assert read["classes"][1]["familiarity"] is None
    made = read["provenance"]
    assert (made["source"], made["model"], made["seconds"]) == ("Bild 1.png", "embedded", 1.5)
    assert made["date"].startswith("20")


def test_area_shares_match_the_labels(tmp_path):
    _, legend = write_labels(tmp_path / "a.tif", LABELS, PROMPTS)
    shares = [c["area_share"] for c in json.loads(legend.read_text())["classes"]]
    assert shares == [0.25, 0.125, 0.25]


def test_stack_tiff_keeps_its_spacing_for_imagej(tmp_path):
    source = ImageStack((Modality("m", np.zeros((3, 20, 30))),), spacing=(2.0, 0.5, 0.25), units="um")
    labels = np.zeros((3, 20, 30), np.uint8)
    labels[1, 2, 3] = 7
    path, _ = write_labels(tmp_path / "a.tif", labels, PROMPTS, source=source)
    back = read_image(path)
    assert (back.grid, back.spacing, back.units) == ((3, 20, 30), (2.0, 0.5, 0.25), "um")
    np.testing.assert_array_equal(np.asarray(back.modalities[0].pixels), labels)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_imagej
        assert tif.pages[0].compression.name == "ADOBE_DEFLATE"


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "ASL", "SRP", "RAI"])
def test_a_marked_corner_of_a_volume_comes_back_to_its_place(tmp_path, codes):
    """What is labelled where the source has its spot lies, in the written file, over that very voxel."""
    affine = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
        ),
        (6, 5, 4),
    )
    affine = np.diag([0.5, 0.75, 3.0, 1.0]) @ affine
    affine[:3, 3] += (-10, 20, 30)
    shape = nibabel.orientations.apply_orientation(
        np.zeros((6, 5, 4)),
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
        ),
    ).shape
    volume = np.zeros(shape, np.int16)
    volume[0, -1, 1] = 500
    image = nibabel.Nifti1Image(volume, affine)
    image.header["descrip"] = b"Jane Doe"
    nibabel.save(image, tmp_path / "brain.nii.gz")
    stack = read_image(tmp_path / "brain.nii.gz")
    path, legend = write_labels(
        tmp_path / "out" / "brain_labels.nii.gz", np.asarray(stack.modalities[0].pixels) // 500, PROMPTS, source=stack
    )
    written = nibabel.load(path)
    np.testing.assert_array_equal(np.asarray(written.dataobj), volume // 500)
    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
    assert written.get_data_dtype() == np.uint8
    assert b"Jane" not in written.header.binaryblock
    assert "Jane" not in legend.read_text()
    frames, nothing = stack.metadata["nifti"], np.zeros(stack.grid, np.uint8)
    assert stack.geometry is not None
    assert encode_nifti(nothing, stack.geometry, frames, compress=True) == encode_nifti(
        nothing, stack.geometry, frames, compress=True
    )


def test_nothing_is_overwritten_unless_allowed(tmp_path):
    path, legend = write_labels(tmp_path / "a.png", LABELS, PROMPTS)
    with pytest.raises(OutputError, match=r"a\.png.*exists already"):
        write_labels(path, LABELS * 0, PROMPTS)
    np.testing.assert_array_equal(read_image(path).region(), LABELS)
    path.unlink()
    with pytest.raises(OutputError, match=r"a\.json.*exists already"):
        write_labels(path, LABELS, PROMPTS)
    write_labels(path, LABELS * 0, PROMPTS, overwrite=True)
    assert not read_image(path).region().any()
    assert json.loads(legend.read_text())["classes"][0]["area_share"] == 0


def test_full_disk_leaves_the_old_file_and_no_debris(tmp_path, monkeypatch):
    path, _ = write_labels(tmp_path / "a.tif", LABELS, PROMPTS)
    before = sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir())

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"disk is full: .*a\.json.* was not written"):
        write_labels(path, LABELS * 0, PROMPTS, overwrite=True)
    assert sorted((p.name, p.read_bytes()) for p in tmp_path.iterdir()) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_really_full_device(tmp_path, monkeypatch):
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: real(Path("/dev/full"), *a, **k))
    with pytest.raises(OutputError, match="disk is full"):
        write_files({tmp_path / "a.bin": b"x" * 100_000})


def test_a_target_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"file/a\.(tif|json).*cannot be written"):
        write_labels(tmp_path / "file" / "a.tif", LABELS, PROMPTS)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_read_only_file_system():
    with pytest.raises(OutputError, match="/proc"):
        write_labels("/proc/promptseg/a.tif", LABELS, PROMPTS)


@pytest.mark.parametrize(
    ("name", "labels", "words"),
    [
        ("a.jpg", LABELS, "ending"),
        ("a.nii", LABELS, "source is not"),
        ("a.png", np.zeros((3, 4, 5), np.uint8), "3 planes"),
        ("a.tif", LABELS.astype(float), "integers"),
        ("a.tif", np.array([[-1]]), "-1"),
        ("a.tif", np.array([[70000]]), "70000"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, labels, words):
    with pytest.raises(InputError, match=words):
        write_labels(tmp_path / name, labels, PROMPTS)
    assert not list(tmp_path.iterdir())
