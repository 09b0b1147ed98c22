"""Sizes in mL, sections, intensities, and a file that spreadsheets open."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.volumes.table import structure_rows, table_text, write_table

PROMPTS = PromptSet.from_text("Übergang, =cmd, nowhere")


@pytest.fixture
def case():
    values = np.random.default_rng(0).normal(1e6, 2.0, (4, 5, 6))
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 1:3, 1:4] = 1
    labels[2, 4, :] = 2
    geometry = Geometry.of_file((6, 5, 4), np.diag([0.5, 2.0, 10.0, 1.0]))
    return (
        ImageStack((Modality("ct", values),), spacing=geometry.spacing, units="mm", geometry=geometry),
        labels,
        values,
    )


def test_rows_are_in_the_units_of_the_volume(case):
    stack, labels, values = case
    one, two, none = structure_rows(labels, stack, PROMPTS)
    assert one.voxels == 12
    assert one.volume == pytest.approx(12 * 10.0)
    assert one.millilitres == pytest.approx(0.12)
    assert one.largest_area == pytest.approx(6 * 1.0)
    assert (one.first_plane, one.last_plane, one.largest_plane) == (1, 2, 1)
    assert one.mean == pytest.approx(values[labels == 1].mean())
    assert one.deviation == pytest.approx(values[labels == 1].std(), rel=1e-6)
    assert two.first_plane == two.last_plane == 2
    assert none.voxels == 0
    assert none.mean is None
    assert none.first_plane is None
    coronal = structure_rows(labels, stack, PROMPTS, axis="coronal")[0]
    assert (coronal.first_plane, coronal.last_plane) == (1, 2)
    assert coronal.largest_area == pytest.approx(6 * 5.0)


def test_microscopy_and_pixels(case):
    _, labels, values = case
    microns = structure_rows(labels, ImageStack.from_array(values, units="um", spacing=(1.0, 1.0, 1.0)), PROMPTS)
    assert microns[0].millilitres == pytest.approx(12e-12)
    assert structure_rows(labels, ImageStack.from_array(values), PROMPTS)[0].millilitres is None
    picture = structure_rows(labels[2], ImageStack.from_array(values[2]), PROMPTS)
    assert picture[1].voxels == 6
    with pytest.raises(InputError, match="do not lie"):
        structure_rows(labels[1:], ImageStack.from_array(values), PROMPTS)


def test_the_file_is_read_back_with_umlauts_and_without_formulas(case, tmp_path):
    stack, labels, _ = case
    rows = structure_rows(labels, stack, PROMPTS)
    path = tmp_path / "Größen und mehr.csv"
    write_table(path, [("scan 1.nii.gz", rows)])
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    read = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    assert [r["structure"] for r in read] == ["Übergang", "'=cmd", "nowhere"]
    assert read[0]["size (mL)"] == "0.12"
    assert read[2]["first plane"] == ""
    with pytest.raises(OutputError, match="exists already"):
        write_table(path, [("scan", rows)])
    write_table(path, [("scan", rows)], overwrite=True)
    assert table_text([]).count("\n") == 1
