"""The benchmarks of volumes report what they promise."""

from __future__ import annotations

import argparse
import json

import nibabel
import numpy as np
import pytest

from benchmarks import volume, volume_dice
from benchmarks.__main__ import parser
from tests.pixel_encoder import PixelEncoder


class Bare(PixelEncoder):
    """Counts what a benchmark asks of it."""

    passes = 0

    def forward_once(self, picture):
        type(self).passes += 1
        np.sort(np.repeat(picture.ravel(), 8))  # takes a moment

    def library_pass(self):
        return self.forward_once


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    import napari_promptseg
    from napari_promptseg.encoders import loading

    made = Bare()
    monkeypatch.setattr(loading, "load_encoder", lambda *_, **__: made)
    monkeypatch.setattr(napari_promptseg, "load_encoder", lambda *_, **__: made, raising=False)
    return made


def arguments(*words: str) -> argparse.Namespace:
    return parser("volume").parse_args(["--shape", "6,32,40", "--classes", "2", "--repeats", "2", *words])


def test_open_to_mask_is_told_as_a_ratio(encoder):
    Bare.passes = 0
    found = volume.open_to_mask(arguments("--axes", "axial,sagittal"))
    assert found["planes"] == 6 + 40
    assert Bare.passes == 4 * 46  # before and after, by the library and by our own layers
    assert set(found["seconds"]) == {"library", "bare", "open_to_mask"}
    assert min(found[f"ratio_to_{name}"] for name in ("library", "bare", "bare_processor")) > 0


def test_memory_and_corrections_are_told():
    memory = volume.peak_memory(arguments())
    assert memory["peak_mb"] is None or memory["peak_mb"] >= memory["with_the_model_mb"]
    found = volume.correction(arguments())
    assert found["corrected_planes"] == 2
    assert found["first_plane_s"] <= found["whole_volume_s"]
    assert found["visible_plane_ms"] > 0


def test_dice_of_structures_of_a_pack(tmp_path, capsys):
    pytest.importorskip("sklearn")
    shape = (20, 24, 28)
    x, y, z = np.ogrid[:20, :24, :28]
    labels = ((x - 9) ** 2 + (y - 11) ** 2 + ((z - 14) / 1.5) ** 2 < 49).astype(np.uint8)
    values = (labels * 200 + np.random.default_rng(0).integers(0, 30, shape)).astype(np.int16)
    for i in range(2):
        case = tmp_path / f"case_{i}"
        case.mkdir()
        for name, array in (("t1", values), ("label", labels)):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, -1.0, 1.0, 1.0])), case / f"{name}.nii.gz")
    (tmp_path / "classes.json").write_text(json.dumps({"0": "background", "1": "red"}))
    words = ["--pack", str(tmp_path), "--half", "even", "--planes", "6", "--columns", "text,planes3,forest3"]
    args = parser("volume_dice").parse_args([*words, "--ablations", "looks,place,forest_place"])
    found = volume_dice.run(args)
    assert found["volumes"] == found["measured"] == 1
    (row,) = found["rows"]
    assert row["volume"] == "case_1"
    names = {"text", "planes3", "planes3_looks", "planes3_place", "forest3", "forest3_place"}
    assert set(found["mean"]) == names | {"planes3_whole", "forest3_whole"}
    assert row["planes3_whole"] >= row["planes3"]
    assert found["structures"]["red"]["n"] == 1
    assert row["planes3"] > 0.9
    # figures come while the rest is measured
    assert json.loads(capsys.readouterr().err.splitlines()[0]) == row
