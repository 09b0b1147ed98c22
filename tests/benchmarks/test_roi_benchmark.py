"""The benchmark of drawn regions: what is drawn is never looked in, and every column is of the same regions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS
from tower_encoder import TowerEncoder

from benchmarks import __main__ as dispatcher
from benchmarks import roi
from benchmarks._roi_cases import Picture, image_draws, volume_draws
from benchmarks._roi_methods import COLUMNS
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack


@pytest.fixture(autouse=True)
def _tower(use_encoder: Callable[[type], None]) -> None:
    use_encoder(TowerEncoder)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Red squares on green, called by a word that the model does not know; one image shows none."""
    folder = tmp_path / "squares"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(6):
        picture = np.zeros((32, 32, 3), np.uint8)
        picture[:] = COLOURS["green"]
        mask = np.zeros((32, 32), np.uint8)
        if i:
            area = (slice(2 * i, 2 * i + 10), slice(3 * i, 3 * i + 10))
            picture[area], mask[area] = COLOURS["red"], 1
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    (folder / "classes.json").write_text('{"0": "background", "1": "blob"}')
    return folder


def volume(folder: Path) -> Path:
    """A ball of bright voxels in one case with two modalities."""
    case = folder / "balls" / "case1"
    case.mkdir(parents=True)
    z, y, x = np.indices((17, 24, 24))
    ball = (z - 8) ** 2 + (y - 10) ** 2 + (x - 12) ** 2 < 30
    for name, values in (("bright.nii.gz", 50 + 200 * ball), ("dark.nii.gz", 200 - 100 * ball), ("label.nii.gz", ball)):
        image = nibabel.Nifti1Image(np.ascontiguousarray(values.transpose(2, 1, 0)).astype(np.uint8), np.eye(4))
        nibabel.save(image, case / name)
    (folder / "balls" / "classes.json").write_text('{"0": "background", "1": "ball"}')
    return folder / "balls"


def options(pack: Path, **changes: Any) -> argparse.Namespace:
    given = dispatcher.parser("roi").parse_args(["--pack", str(pack)])
    given.kind, given.values = "natural", "auto"
    for name, value in changes.items():
        setattr(given, name, value)
    return given


def test_the_report_has_the_promised_form_and_the_method_beats_an_unknown_name(pack: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    words = ["roi", "--pack", str(pack), "--rois", "1,2", "--draws", "2", "--limit", "2", "--threads", "1"]
    assert dispatcher.main([*words, "--json", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["images"] == 2
    assert set(found["rois"]) == {"1", "2"}
    for row in found["rois"].values():
        assert set(COLUMNS) <= set(row)
        assert all(0 <= row[column] <= 1 for column in COLUMNS)
        assert row["prototype"] > 0.95
        assert row["full"] > 0.9 > row["name"]
    assert found["draws"] == 2
    assert found["standard_error"]["1"]["name"] == 0
    assert found["better_of"]["1"]["name_as_shown"] == 0


def test_no_image_is_both_drawn_in_and_looked_in(pack: Path) -> None:
    (draws,) = image_draws(options(pack, draws=4, limit=2), 3)
    looked_in = {p.name for group in draws[0].targets() for p in group}
    assert len(looked_in) == 2
    for draw in draws:
        drawn = [p.name for p, _ in draw.drawn]
        assert len(set(drawn)) == 3
        assert not looked_in & set(drawn)
        assert "0.png" not in {*drawn, *looked_in}  # it shows nothing
    with pytest.raises(InputError, match="5 images show 'blob', too few for 5 regions"):
        image_draws(options(pack), 5)


def test_in_a_volume_the_largest_section_is_drawn_first_and_all_other_planes_are_looked_in(tmp_path: Path) -> None:
    ((draw,),) = volume_draws(options(volume(tmp_path), values="mr"), 3)
    planes = [p.plane for p, _ in draw.drawn]
    assert planes[0] == 8
    assert len(set(planes)) == 3
    (group,) = draw.targets()
    assert sorted([*planes, *(p.plane for p in group)]) == list(range(17))
    assert draw.name == "ball"


def test_modalities_are_chosen_by_name(tmp_path: Path) -> None:
    folder = volume(tmp_path)
    ((draw,),) = volume_draws(options(folder, values="mr", modality="dark"), 1)
    picture, mask = draw.drawn[0]
    shown = picture.stack.picture(picture.plane)
    assert shown[mask].mean() < shown[~mask].mean()
    with pytest.raises(InputError, match="has no modality 'warm'; it has bright, dark"):
        volume_draws(options(folder, values="mr", modality="warm"), 1)


def test_one_region_is_one_part_of_at_least_the_usual_size() -> None:
    truth = np.zeros((30, 30), bool)
    truth[1:9, 1:9] = truth[12:20, 12:20] = truth[25:28, 25:28] = True
    whole = Picture("", ImageStack.from_array(np.zeros((30, 30, 3), np.uint8)), 0, truth, np.ones_like(truth))
    drawn = {tuple(np.argwhere(whole.region("one", np.random.default_rng(i)))[0]) for i in range(20)}
    assert drawn == {(1, 1), (12, 12)}
    assert np.array_equal(whole.region("whole", np.random.default_rng(0)), truth)


def test_columns_that_there_are_not_are_refused(pack: Path) -> None:
    with pytest.raises(InputError, match="Columns are name, prototype"):
        roi.run(options(pack, columns="name,nonsense"))


def test_speed_reports_every_stage(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert dispatcher.main(["roi-speed", "--size", "96", "--rounds", "1", "--threads", "1", "--json", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["goals_ms"]) == {"card", "mask", "adaptation"} == set(found["forward_passes"])
    assert all(found["milliseconds"][stage]["best"] > 0 for stage in found["goals_ms"])
