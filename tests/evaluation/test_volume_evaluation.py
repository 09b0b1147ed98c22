"""What is measured on labelled volumes: cases, corrected planes, planes looked at, weighted Dice."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.volumes import (
    DiceSum,
    PlaneForest,
    Structure,
    filters,
    looked_at,
    spread,
    structures,
    volume_cases,
)


def pack(root, n=2, shape=(10, 12, 14)):
    """Cases with a folder each: a block that is brighter than the rest."""
    for i in range(n):
        case = root / f"case_{i}"
        case.mkdir(parents=True)
        labels = np.zeros(shape, np.uint8)
        labels[2:8, 3:9, 2:12] = 1
        values = (labels * 100 + np.random.default_rng(i).integers(0, 9, shape)).astype(np.int16)
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
        for name, array in (("flair", values), ("label", labels), ("t1", values[::-1])):
            nibabel.save(nibabel.Nifti1Image(array, affine), case / f"{name}.nii.gz")
    (root / "classes.json").write_text(json.dumps({"0": "background", "1": "block | brick", "2": "nowhere"}))
    return root


def test_cases_in_folders_and_their_modalities(tmp_path):
    cases = volume_cases(pack(tmp_path))
    assert [c.name for c in cases] == ["case_0", "case_1"]
    assert cases[0].image.name == "flair.nii.gz"
    stack, truth = cases[0].load("mr")
    assert stack.grid == truth.shape == (14, 12, 10)
    assert volume_cases(tmp_path, "t1")[1].image.name == "t1.nii.gz"
    with pytest.raises(InputError, match="no modality 'pet'"):
        volume_cases(tmp_path, "pet")
    with pytest.raises(InputError, match="holds no labelled volume"):
        volume_cases(tmp_path / "case_0")


def test_structures_that_show_on_enough_planes(tmp_path):
    (case, *_) = volume_cases(pack(tmp_path))
    _, truth = case.load()
    (block,) = structures(truth, case.classes, fewest_planes=8)
    assert (block.name, block.extent) == ("block", (2, 12))
    assert structures(truth, case.classes, fewest_planes=10) == []
    assert structures(truth, case.classes, fewest_planes=3, fewest_voxels=10**6) == []


def test_corrected_planes_are_spread_over_the_extent():
    truth = np.zeros((30, 6, 6), bool)
    truth[5:25, 2:4, 2:4] = truth[17, 1:5, 1:5] = True
    one = Structure("x", 1, truth)
    assert one.corrected(1) == [17]
    assert one.corrected(4) == [7, 12, 17, 22]
    assert len(one.corrected(10)) == 10


def test_planes_stand_for_all_that_are_left():
    truth = np.zeros((50, 6, 6), bool)
    truth[10:30] = True
    one = Structure("x", 1, truth)
    everything = looked_at(one, 0, [12, 20])
    assert set(everything) == set(range(50)) - {12, 20}
    some = looked_at(one, 9, [12, 20])
    assert len(some) == 9
    assert sum(some.values()) == pytest.approx(48)
    assert sum(w for z, w in some.items() if 10 <= z < 30) == pytest.approx(18)
    assert not {12, 20} & set(some)


def test_dice_of_planes_by_their_weight():
    total = DiceSum()
    assert np.isnan(total.value)
    mask = np.ones((2, 2), bool)
    total.add(mask, mask, 3)
    total.add(mask, ~mask)
    assert total.value == pytest.approx(2 * 12 / (16 + 12))


def test_the_forest_learns_from_planes_and_answers_for_others():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    masks, planes = [], []
    for i in range(3):
        mask = np.zeros((24, 24), bool)
        mask[4 + i : 14 + i, 6:16] = True
        grey = (mask * 120 + rng.integers(0, 40, mask.shape)).astype(np.uint8)
        masks.append(mask)
        planes.append(filters(np.repeat(grey[..., None], 3, axis=2)))
    forest = PlaneForest(seed=1, most=400)
    forest.fit(planes[:2], masks[:2])
    chances = forest.chances(planes[2])
    assert chances.shape == (2, 24, 24)
    assert np.allclose(chances.sum(axis=0), 1, atol=1e-5)
    assert ((chances[1] > 0.5) == masks[2]).mean() > 0.95
    forest.fit(planes[:1], [np.zeros((24, 24), bool)])
    assert forest.chances(planes[2])[1].max() == 0


def test_items_evenly_spread():
    assert list(spread([1, 2, 3, 4], 2)) == [2, 4]
    assert list(spread([1, 2], 0)) == [1, 2]
