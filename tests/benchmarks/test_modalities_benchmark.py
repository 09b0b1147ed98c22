"""The benchmark of modalities runs through on small packs and reports what it promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import __main__ as dispatcher
from benchmarks import _modality_scenes
from benchmarks._modality_methods import Tally
from napari_promptseg.errors import InputError

SIDE = 32


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A thing that the picture shows and one that only near infrared shows, each in every picture."""
    folder = tmp_path / "pairs"
    for name in ("images", "nir", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[2:14, 2 + i : 14 + i] = 1
        mask[20:30, 4 + i : 20 + i] = 2
        picture = rng.integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
        nir = rng.integers(90, 110, (SIDE, SIDE)).astype(np.uint8)
        picture[mask == 1], nir[mask == 2] = (210, 60, 60), 230
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(nir).save(folder / "nir" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.json").write_text('{"0": "background", "1": "roof", "2": "meadow"}', encoding="utf-8")
    return folder


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Three small volumes of two contrasts."""
    import nibabel

    folder = tmp_path / "patients"
    for i in range(3):
        case = folder / f"patient{i}"
        case.mkdir(parents=True)
        labels = np.zeros((40, 36, 6), np.uint8)
        labels[10:25, 8 + i : 24 + i, 1:5] = 1
        rng = np.random.default_rng(i)
        for name in ("flair", "t1c"):
            values = rng.normal(100, 5, labels.shape) + 80 * labels
            nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.eye(4)), case / f"{name}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), case / "label.nii.gz")
    (folder / "classes.json").write_text('{"0": "background", "1": "edema"}', encoding="utf-8")
    (folder / "modalities.json").write_text('{"flair.nii.gz": "FLAIR", "t1c.nii.gz": "T1c"}', encoding="utf-8")
    return folder


def test_every_way_is_measured_and_the_json_has_the_promised_keys(pack: Path, tmp_path: Path) -> None:
    target, png = tmp_path / "out.json", tmp_path / "shown.png"
    arguments = ["modalities", "--pack", str(pack), "--modality", "nir=nir", "--shots", "2", "--seeds", "0"]
    more = ["--steps", "2", "--json", str(target), "--demonstrate", str(png), "--threads", "1", "--device", "cpu"]
    assert dispatcher.main([*arguments, *more]) == 0
    found = json.loads(target.read_text(encoding="utf-8"))
    figures = found["shots"]["2"]
    promised = {"single", "stacked", "late_fusion", "random_forest", "gopt", "gopt_trainable_share"}
    assert promised <= set(figures)
    assert all(0 <= figures[k] <= 1 for k in promised)
    assert set(figures["single_by_modality"]) == {"rgb", "nir"}
    assert figures["single"] == max(figures["single_by_modality"].values())
    assert 0 < figures["gopt_trainable_share"] < 0.01
    assert figures["gopt"] > 0.5
    assert found["figures_over"] == "all pixels"
    assert found["zero_shot"]["single"] < figures["gopt"]
    assert png.stat().st_size > 1000


def test_volumes_are_parted_by_patient(patients: Path) -> None:
    for seed in range(3):
        scenes = _modality_scenes.part(patients, ["t1c=t1c.nii.gz"], 4, 3, seed)
        assert [a.name for a in scenes.asked] == ["flair", "t1c"]
        assert [a.kind for a in scenes.asked] == ["flair", "t1c"]
        taught = {p.mask.parent for p in scenes.teach}
        assert not taught & {p.mask.parent for p in scenes.test}
        assert len(scenes.teach) == 4
        assert len(scenes.test) == 3
        assert scenes.parted_by == "patient"
    stack, mask = scenes.load(scenes.teach[0])
    assert stack.plane_shape == mask.shape == (36, 40)
    assert (mask == 1).any()
    with pytest.raises(InputError, match="fewer shots"):
        _modality_scenes.part(patients, ["flair=flair", "t1c=t1c"], 400, 3, 0)


def test_what_is_not_labelled_is_not_counted(pack: Path) -> None:
    (pack / "classes.json").write_text('{"0": "unlabelled", "1": "roof", "2": "meadow"}', encoding="utf-8")
    scenes = _modality_scenes.part(pack, ["rgb=images", "nir=nir:nir"], 2, 0, 0)
    assert not scenes.zero_is_background
    assert len(scenes.test) == 4
    truth = np.array([[1, 255], [2, 2]])
    tally = Tally(scenes)
    tally.add_labels("some", truth, np.array([[1, 2], [2, 1]]))
    assert tally.ious("some") == {"roof": 0.5, "meadow": 0.5}


@pytest.mark.parametrize("wrong", ["nir", "nir=", "nir=nir:sonar"])
def test_a_modality_that_cannot_be_read_is_named(pack: Path, wrong: str) -> None:
    with pytest.raises(InputError, match=r"NAME=SUBFOLDER|kind of modality"):
        _modality_scenes.part(pack, [wrong], 1, 0, 0)


def test_without_a_pack_it_says_what_to_name() -> None:
    with pytest.raises(InputError, match="--pack"):
        dispatcher.main(["modalities", "--modality", "nir=nir"])


def test_channels_are_stacked_as_people_do(pack: Path, patients: Path) -> None:
    scenes = _modality_scenes.part(pack, ["nir=nir"], 1, 0, 0)
    stack: Any = scenes.load(scenes.teach[0])[0]
    shown = _modality_scenes.stacked(stack).picture()
    first, second = stack.picture(modality=0), stack.picture(modality=1)
    assert np.array_equal(shown, np.stack([second[..., 0], first[..., 0], first[..., 1]], axis=-1))
    grey = _modality_scenes.part(patients, ["flair=flair", "t1c=t1c"], 1, 1, 0)
    stack = grey.load(grey.teach[0])[0]
    shown = _modality_scenes.stacked(stack).picture()
    assert np.array_equal(shown[..., 0], shown[..., 2])
    assert not np.array_equal(shown[..., 0], shown[..., 1])
