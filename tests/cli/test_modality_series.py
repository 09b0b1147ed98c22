"""``--modality`` with DICOM folders of several series: by what the series is called, or by its number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_samples import MR, write_series
from pixel_encoder import PixelEncoder

from napari_promptseg import cli
from napari_promptseg.encoders import loading
from napari_promptseg.images.modality_files import ModalityFiles, partners_of, with_partners
from napari_promptseg.images.readers import read_image

SHAPE = (3, 16, 16)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """One folder with FLAIR as series 3, T1c as series 5, and a second T1c, series 7, on request of a test."""
    folder = tmp_path / "study"
    add(folder, 3, "AX FLAIR", 100)
    add(folder, 5, "AX T1 GD", 500)
    return folder


def add(folder: Path, number: int, description: str, level: int) -> None:
    values = np.full(SHAPE, level, np.uint16)
    values[:, :8] = 0
    write_series(
        folder,
        values,
        sop_class=MR,
        name=lambda k: f"{number}_{k}.dcm",
        SeriesNumber=number,
        SeriesInstanceUID=f"1.2.9.{number}",
        SeriesDescription=description,
    )


def joined(study: Path, text: str) -> Any:
    files = ModalityFiles.parse(text)
    return with_partners(read_image(study, series=3), study, partners_of(study, [files]))


def test_the_series_is_found_by_what_it_is_called(study: Path) -> None:
    stack = joined(study, f"t1c={study}")
    assert [m.name for m in stack.modalities] == ["image", "t1c"]
    assert [int(np.max(m.pixels)) for m in stack.modalities] == [100, 500]


def test_the_series_is_named_by_its_number(study: Path) -> None:
    add(study, 7, "AX T1 GD late", 700)
    assert [int(np.max(m.pixels)) for m in joined(study, f"late={study}#7:t1c").modalities] == [100, 700]
    with pytest.raises(Exception, match=r"2 of them are described as t1c.*t1c=study#NUMBER.*5 AX T1 GD") as error:
        joined(study, f"t1c={study}")
    assert "\n" not in str(error.value)


def test_segment_reads_two_series_of_one_folder(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_encoder", lambda *arguments, **keywords: PixelEncoder())
    out = tmp_path / "out"
    given = ["segment", study, "--series", "3", "--classes", "white", "--modality", f"t1c={study}", "-o", out]
    assert cli.main([str(a) for a in given]) == 0
    (legend,) = out.glob("*.json")
    made = json.loads(legend.read_text())["provenance"]["modalities"]
    assert [(m["name"], m["kind"], m["present"]) for m in made] == [("image", "mr", True), ("t1c", "t1c", True)]
