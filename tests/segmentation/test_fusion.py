"""Several modalities of one scene: equal to one where one counts, the same in any order, whole where one is absent."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_promptseg import ImageStack, InputError, PromptSet, Segmenter
from napari_promptseg.images.normalisation import measure_limits
from napari_promptseg.images.stack import Modality
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.live import LiveLearner
from napari_promptseg.prompts.modality_notes import ModalityNote, matched, modality_notes, with_modality_notes
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.segmentation.fusion import JointFeatures, confidence, counted, fused, guide_of
from napari_promptseg.segmentation.live_heads import with_live_head
from napari_promptseg.segmentation.settings import SegmentationSettings


@pytest.fixture
def other() -> np.ndarray:
    """Another sensor's view of `quarters`: grey on the left, sure blue on the right."""
    picture = np.full((128, 192, 3), 90, np.uint8)
    picture[:, 96:] = (0, 0, 255)
    return picture


def scene(*pixels: Any, names: str = "ab") -> ImageStack:
    return ImageStack([Modality(n, p, True) for n, p in zip(names, pixels, strict=True)])


def weighted(prompts: PromptSet, **weights: float) -> PromptSet:
    notes = [ModalityNote(name, "auto", weight) for name, weight in weights.items()]
    return replace(prompts, metadata=with_modality_notes(prompts.metadata, notes))


def same(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(getattr(first, part), getattr(second, part))
        for part in ("labels", "confidence", "runner_up", "runner_up_confidence")
    ) and all(np.array_equal(first.probabilities[v], second.probabilities[v]) for v in first.probabilities)


def test_a_picture_of_one_modality_counts_whatever_its_weight(
    encoder: Any, quarters: np.ndarray, asked: PromptSet
) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(scene(quarters, names="a"), modalities="all")
    alone = segmenter.segment(asked, want_probabilities=True)
    for weights in ({"a": 0.0}, {"a": 0.0, "b": 0.0}, {"a": 0.3, "b": 1.0}):
        assert same(alone, segmenter.segment(weighted(asked, **weights), want_probabilities=True))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("refinement", ["guided", "none"])
def test_one_modality_that_counts_is_the_single_path(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet, number: int, refinement: Any
) -> None:
    segmenter = Segmenter(encoder, settings=SegmentationSettings(refinement=refinement))
    stack = scene(quarters, other)
    segmenter.set_image(stack, modality=number)
    alone = segmenter.segment(asked, want_probabilities=True)
    segmenter.set_image(stack, modalities=[number])
    assert same(alone, segmenter.segment(asked, want_probabilities=True))
    segmenter.set_image(stack, modalities="all")
    only = weighted(asked, a=1.0 - number, b=float(number))
    assert same(alone, segmenter.segment(only, want_probabilities=True))
    assert not same(alone, segmenter.segment(asked, want_probabilities=True))


def test_the_order_of_modalities_changes_no_bit(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet
) -> None:
    third = np.roll(quarters, 24, axis=1)
    prompts = weighted(asked, a=1.0, b=0.3, c=0.7)
    segmenter, made = Segmenter(encoder), []
    for names, pixels in (("abc", (quarters, other, third)), ("cba", (third, other, quarters))):
        stack = scene(*pixels, names=names)
        segmenter.set_image(stack, modalities="all")
        made.append(segmenter.segment(prompts, want_probabilities=True))
        segmenter.set_image(stack, modalities=[1, 2, 0])
        made.append(segmenter.segment(prompts, want_probabilities=True))
    assert all(same(made[0], m) for m in made[1:])


def test_an_absent_modality_is_left_out(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet
) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(scene(quarters, names="a"))
    alone = segmenter.segment(asked)
    stack = scene(quarters, None)
    segmenter.set_image(stack, modalities="all")
    # even where only the absent one was to count: work goes on with what there is
    for prompts in (asked, weighted(asked, a=1, b=1), weighted(asked, a=0, b=1)):
        assert same(alone, segmenter.segment(prompts))
    segmenter.set_image(scene(quarters, other, None, names="abc"), modalities="all")
    two = segmenter.segment(weighted(asked, a=1, b=1, c=2))
    segmenter.set_image(scene(quarters, other), modalities="all")
    assert same(two, segmenter.segment(asked))
    told = two.provenance["modalities"]
    assert [(m["name"], m["weight"], m["present"]) for m in told] == [("a", 1, True), ("b", 1, True), ("c", 0, False)]
    with pytest.raises(InputError, match="'b' is absent from this image"):
        segmenter.set_image(stack, modality=1)
    with pytest.raises(InputError, match="None of the modalities is there"):
        segmenter.set_image(stack, modalities=[1])


def test_the_surer_map_decides_and_weights_shift_it(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet
) -> None:
    segmenter = Segmenter(encoder, settings=SegmentationSettings(refinement="none"))
    segmenter.set_image(scene(quarters, other), modalities="all")
    labels = segmenter.segment(asked).labels
    assert labels[32, 48] == 1  # red is sure, grey is not
    # lower right: the first says black, the second says blue
    blue = [(segmenter.segment(weighted(asked, a=1, b=w)).labels[64:, 96:] == 3).mean() for w in (0.1, 1.0, 10.0)]
    assert blue[0] < 0.05
    assert blue[2] > 0.95
    assert blue[0] <= blue[1] <= blue[2]


def test_a_word_that_the_model_does_not_know_makes_no_map_sure(encoder: Any) -> None:
    sure, unsure = torch.tensor([0.01, 0.98, 0.01]), torch.full((3,), 1 / 3)
    assert confidence(sure[:, None, None]) > 0.8
    assert confidence(unsure[:, None, None]) == pytest.approx(0.5)
    maps = [sure[:, None, None], sure[[1, 0, 2]][:, None, None]]
    middle = fused(maps, [1, 1], ["a", "b"]).classes
    assert middle[0].item() == pytest.approx(0, abs=1e-5)
    doubted = fused(maps, [1, 1], ["a", "b"], trusted=[maps[0], unsure[:, None, None]]).classes
    assert doubted[0].item() > 1


def test_three_maps_in_any_order_give_the_same_bits() -> None:
    """Two that contradict each other strongly: what is left of the third depends on the order of the sum."""
    share = torch.rand(9, 11, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.6
    one, other = torch.stack([1 - share, share]), torch.stack([share, 1 - share])
    maps, weights, names = [one, other, one.sqrt()], [1e12, 1e12, 1.0], ["flair", "t1c", "t2"]
    expected = fused(maps, weights, names).classes
    for order in itertools.permutations(range(3)):
        found = fused(*([each[i] for i in order] for each in (maps, weights, names)))
        assert torch.equal(found.classes, expected)


def test_sigmoid_models_fuse_their_own_log_odds() -> None:
    maps = [torch.tensor([0.2, 0.8, 0.3])[:, None, None]] * 2
    found = fused(maps, [1, 3], ["a", "b"], sigmoid=True)
    assert torch.sigmoid(found.classes[:, 0, 0]).tolist() == pytest.approx([0.8, 0.3], abs=1e-6)
    assert found.background is not None
    assert found.background.item() == 0


def test_weights_of_zero_are_refused(encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet) -> None:
    segmenter = Segmenter(encoder)
    segmenter.set_image(scene(quarters, other), modalities="all")
    with pytest.raises(InputError, match="The weights of all modalities are 0"):
        segmenter.segment(weighted(asked, a=0, b=0))


def test_edges_come_from_the_colour_picture_whatever_the_order(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (128, 192), dtype=np.uint8)
    stack = ImageStack(
        [Modality("noise", noise, kind="nir"), Modality("colour", other, True), Modality("flat", noise // 8)]
    )
    segmenter = Segmenter(encoder)
    for order in ([0, 1, 2], [2, 1, 0]):
        segmenter.set_image(stack, modalities=order)
        assert segmenter.scene is not None
        assert guide_of(counted(segmenter.scene, asked)).shows.name == "colour"
    segmenter.set_image(stack, modalities=[2, 0])
    assert segmenter.scene is not None
    assert guide_of(counted(segmenter.scene, asked)).shows.name == "noise"


def test_large_planes_are_fused_tile_by_tile(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, asked: PromptSet
) -> None:
    large = [np.tile(p, (3, 2, 1)) for p in (quarters, other)]
    whole, tiled = (
        Segmenter(
            encoder, settings=SegmentationSettings(refinement="none", whole_up_to=side, tile_size=128, tile_overlap=32)
        )
        for side in (2048, 256)
    )
    masks = []
    for segmenter in (whole, tiled):
        segmenter.set_image(scene(*large), modalities="all")
        masks.append(segmenter.segment(asked).labels)
    assert (masks[0] == masks[1]).mean() > 0.98


def strokes() -> Corrections:
    """Lower right is class 2, upper right is class 1, both against what the words say."""
    boxes = ((100, 120, 2), (100, 160, 2), (20, 120, 1), (40, 160, 1), (100, 30, 0), (30, 30, 0))
    made = []
    for row, column, value in boxes:
        rows, columns = (a.ravel() for a in np.mgrid[row : row + 10, column : column + 10])
        made.append(Stroke.from_pixels(rows, columns, value))
    return Corrections(tuple(made))


def test_strokes_teach_all_modalities_side_by_side(
    encoder: Any, quarters: np.ndarray, other: np.ndarray, tmp_path: Any
) -> None:
    segmenter = Segmenter(encoder)
    prompts = weighted(PromptSet.from_text("red, yellow", background=("black",)), a=1, b=1)
    stack = scene(quarters, other)
    segmenter.set_image(stack, modalities="all")
    features = segmenter.joint_features(prompts)
    assert isinstance(features, JointFeatures)
    prior = segmenter.probabilities_of(features, prompts).clamp_min(1e-4).log()
    assert torch.equal(prior, segmenter.coarse_probabilities(prompts).clamp_min(1e-4).log())
    head = LiveLearner().fit({0: features}, strokes(), (0, 1, 2), {0: prior})
    taught = with_live_head(prompts, head, encoder.name)
    labels = segmenter.segment(taught).labels
    assert (labels[70:120, 100:185] == 2).mean() > 0.9
    assert (labels[8:56, 104:185] == 1).mean() > 0.9
    path = save_prompts(tmp_path / "two", SavedPrompts(taught, encoder.name, encoder.fingerprint))
    loaded = load_prompts(path).prompts
    assert modality_notes(loaded.metadata) == modality_notes(prompts.metadata)
    segmenter.set_image(scene(other, quarters, names="ba"), modalities="all")
    assert np.array_equal(segmenter.segment(loaded).labels, labels)
    # one of the two is absent: zeros stand for it, and a mask is made all the same
    segmenter.set_image(scene(quarters, None), modalities="all")
    assert set(np.unique(segmenter.segment(loaded).labels)) <= {0, 1, 2}


def test_strokes_on_one_modality_stay_those_of_the_first(encoder: Any, quarters: np.ndarray, other: np.ndarray) -> None:
    segmenter = Segmenter(encoder)
    prompts = PromptSet.from_text("red, yellow", background=("black",))
    features = segmenter.set_image(scene(quarters, names="a"))
    head = LiveLearner().fit(features, strokes(), (0, 1, 2), segmenter.coarse_probabilities(prompts).log())
    taught = with_live_head(prompts, head, encoder.name)
    segmenter.set_image(scene(quarters, other), modalities="all")
    first = segmenter.segment(taught).labels
    joint = segmenter.joint_features(taught)
    assert joint is not None
    second = LiveLearner().fit(
        joint, strokes(), (0, 1, 2), segmenter.coarse_probabilities(taught).clamp_min(1e-4).log()
    )
    both = with_live_head(taught, second, encoder.name)
    assert segmenter.segment(both).labels.shape == first.shape
    segmenter.set_image(scene(quarters, names="a"))
    with pytest.raises(InputError, match="needs 2 modalities and 1 are there"):
        segmenter.segment(both)


def test_notes_find_their_modality_by_name_kind_or_place() -> None:
    notes = [ModalityNote("field", "rgb", 1), ModalityNote("field nir", "nir", 0.5)]
    colour, grey = np.zeros((9, 9, 3)), np.zeros((9, 9))
    assert matched([Modality("x", colour, True), Modality("y", grey, kind="nir")], notes) == [0, 1]
    assert matched([Modality("y", grey, kind="nir"), Modality("x", colour, True)], notes) == [1, 0]
    assert matched([Modality("field nir", grey), Modality("z", grey, kind="thermal")], notes) == [1, None]
    assert matched([Modality("image", grey), Modality("nir", None, kind="nir")], notes) == [0, 1]
    both = [Modality("p", grey, kind="nir"), Modality("q", grey, kind="nir")]
    assert matched(both, notes) == [0, None]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"a": 1}, "no list"),
        ([{"name": "a"}], "no note of a modality"),
        ([{"name": "a", "kind": "smell", "weight": 1}], "no kind of modality"),
        ([{"name": "a", "kind": "nir", "weight": -1}], "must be 0 or more"),
        ([{"name": "a", "kind": "nir", "weight": 1}] * 2, "have one name"),
    ],
)
def test_a_file_with_impossible_notes_is_damaged(entries: Any, reason: str, tmp_path: Any, encoder: Any) -> None:
    prompts = replace(PromptSet.from_text("red"), metadata={"modalities": entries})
    path = save_prompts(tmp_path / "bad", SavedPrompts(prompts, encoder.name, encoder.fingerprint))
    with pytest.raises(InputError, match=f"damaged.*{reason}"):
        load_prompts(path)


def test_contrasts_are_shown_by_what_their_values_mean() -> None:
    rng = np.random.default_rng(0)
    brain = np.full((64, 64), -2000.0)
    brain[16:48, 16:48] = rng.normal(0, 64, (32, 32))
    kinds: Any = ("flair", "t1", "t1c", "t2", "mr")
    for kind in kinds:
        low, high = np.asarray(measure_limits(brain, kind))
        assert -300 < low < -100
        assert 100 < high < 300
    uptake = rng.uniform(1, 5, (64, 64))
    assert np.asarray(measure_limits(uptake, "pet"))[0] == 0
    assert np.asarray(measure_limits((uptake * 20).astype(np.uint8), "other"))[0] > 10
