"""The figures of a pack are those one counts by hand from the labels that the tool draws."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg.evaluation.evaluate import evaluate
from napari_promptseg.evaluation.packs import DataPack
from napari_promptseg.evaluation.report import as_json, as_table
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings

CLASSES = {"0": "background", "4": "red", "2": "green", "9": "blue", "30": "violet"}


@pytest.fixture
def make_pack(tmp_path):
    """Images are rows of 4 x 4 cells; a cell is (colour shown, id in the mask)."""

    def make(*images):
        for part in ("images", "masks"):
            (tmp_path / part).mkdir()
        for i, cells in enumerate(images):
            shown = np.array([COLOURS[c] for c, _ in cells], np.uint8)
            ids = np.array([v for _, v in cells], np.uint8)
            Image.fromarray(np.tile(np.repeat(shown, 4, axis=0), (4, 1, 1))).save(tmp_path / "images" / f"{i}.png")
            Image.fromarray(np.tile(np.repeat(ids, 4), (4, 1))).save(tmp_path / "masks" / f"{i}.png")
        (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
        return DataPack.from_folder(tmp_path)

    return make


@pytest.fixture
def segmenter():
    return Segmenter(PixelEncoder(), settings=SegmentationSettings(refinement="none"))


def test_figures_worked_out_by_hand(make_pack, segmenter):
    pack = make_pack(
        [("red", 4), ("red", 2), ("green", 2), ("black", 0)],
        [("red", 0), ("black", 4), ("blue", 255), ("black", 0)],
    )
    result = evaluate(segmenter, pack)
    full = result.full
    # in cells: red is drawn on 3, 1 of them rightly; 2 are labelled red. green is drawn on 1, rightly, of 2.
    assert full.per_class["red"].iou == pytest.approx(1 / 4)
    assert full.per_class["red"].dice == pytest.approx(2 / 5)
    assert full.per_class["green"].iou == pytest.approx(1 / 2)
    assert set(full.per_class) == {"red", "green"}  # blue is ignored, violet occurs nowhere
    assert full.mean_iou == pytest.approx(3 / 8)
    assert full.pixel_accuracy == pytest.approx(4 / 7)
    assert full.background is not None
    assert full.background.iou == pytest.approx(2 / 4)
    # labelled cells: red, red labelled green, green, and black labelled red, which some class must take
    assert result.foreground.background is None
    assert result.foreground.pixel_accuracy in (pytest.approx(2 / 4), pytest.approx(3 / 4))
    assert result.images == result.planes == 2
    assert result.familiarity["violet"] == "unknown"


def test_a_class_that_was_learned_is_known_whatever_its_name(make_pack, segmenter):
    pack = make_pack([("red", 4)], [("red", 0)])
    prompts = pack.prompts()
    vector = segmenter.encoder.encode_texts(["green"]).numpy()
    encoder = segmenter.encoder
    learned = LearnedPrompts(encoder.fingerprint, encoder.name, views={prompts.find("violet").value: vector})
    result = evaluate(segmenter, pack, prompts=replace(prompts, learned=learned))
    assert result.familiarity["violet"] == "known"


def test_a_class_never_predicted_counts_zero(make_pack, segmenter):
    result = evaluate(segmenter, make_pack([("red", 4), ("red", 30)]))
    for figures in (result.foreground, result.full):
        assert figures.per_class["violet"].iou == figures.per_class["violet"].dice == 0
        assert figures.mean_iou == pytest.approx(1 / 4)


def test_auc_is_pooled_over_the_images(make_pack, segmenter):
    result = evaluate(segmenter, make_pack([("red", 4), ("black", 0)], [("green", 2), ("red", 4)]))
    assert result.full.per_class["red"].auc == 1
    assert result.foreground.per_class["red"].auc == 1


def test_auc_of_a_model_that_is_always_wrong(make_pack, segmenter):
    result = evaluate(segmenter, make_pack([("red", 0), ("black", 4)]))
    assert result.full.per_class["red"].auc == 0
    assert result.full.mean_dice == 0


def test_foreground_with_one_class_has_no_auc_and_json_has_no_nan(make_pack, segmenter):
    result = evaluate(segmenter, make_pack([("red", 4), ("black", 0)]))
    assert math.isnan(result.foreground.per_class["red"].auc)
    written = as_json(result)
    assert written["foreground"]["per_class"]["red"] == {"iou": 1.0, "dice": 1.0, "auc": None}
    assert "NaN" not in json.dumps(written)
    assert "-" in as_table(result)


def test_the_same_twice_and_with_or_without_refinement(make_pack, segmenter):
    pack = make_pack([("red", 4), ("green", 2), ("black", 0)] * 5)
    first, second = as_json(evaluate(segmenter, pack)), as_json(evaluate(segmenter, pack))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    guided = evaluate(Segmenter(PixelEncoder()), pack)
    assert guided.full.mean_iou > 0.8


def test_large_planes_are_evaluated_too(make_pack):
    pack = make_pack([("red", 4), ("black", 0)] * 20)
    tiled = Segmenter(PixelEncoder(), settings=SegmentationSettings(tile_size=64, whole_up_to=64, tile_overlap=8))
    result = evaluate(tiled, pack)
    assert result.full.mean_iou > 0.8
    assert result.full.per_class["red"].auc > 0.99
