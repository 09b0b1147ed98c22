"""The student of tuned prompts, and live learning over several images: kept only if better, stored, scored anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tower_encoder import TowerEncoder

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning import student as student_module
from napari_promptseg.learning import teaching as teaching_module
from napari_promptseg.learning.held_out_planes import drawn_values, left_out
from napari_promptseg.learning.live_across import AcrossSettings, learn_live
from napari_promptseg.learning.prompt_tuning import tune_prompts
from napari_promptseg.learning.student import StudentOptions, best_teacher, train_student
from napari_promptseg.learning.student_data import PIECE, pseudo_pieces, true_pieces
from napari_promptseg.learning.student_training import confident, piece_weights
from napari_promptseg.learning.teaching import teach
from napari_promptseg.learning.tuning_data import IGNORED, TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.decoder import Decoder
from napari_promptseg.segmentation.learned_heads import student_of
from napari_promptseg.segmentation.live_heads import live_heads
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings

SETTINGS = SegmentationSettings(refinement="none")
OPTIONS = StudentOptions(width=8, steps=40, own_steps=20, pixels=100, rate=1e-2)
#: The word names neither colour, so that the words alone are wrong everywhere.
PROMPTS = PromptSet.from_text("gizmo", background=("black",))


def picture(seed: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A red square, which is the gizmo, on green, both a little noisy."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.int64)
    top, left = rng.integers(4, side // 2, 2)
    mask[top : top + side // 3, left : left + side // 3] = 1
    colours = np.where(mask[..., None] == 1, (220, 20, 20), (20, 220, 20))
    return (colours + rng.integers(-15, 15, colours.shape)).astype(np.uint8), mask


def stack_of(pixels: np.ndarray) -> ImageStack:
    return ImageStack.from_array(pixels)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(TowerEncoder(), settings=SETTINGS)


def samples_of(segmenter: Segmenter, n: int, hide: bool = False) -> list[TuningSample]:
    found = []
    for seed in range(n):
        pixels, mask = picture(seed)
        if hide:
            mask = mask.copy()
            mask[:, 40:] = IGNORED
        features = segmenter.encoder.encode_plane(pixels)
        found.append(TuningSample.from_labels(features, mask, complete=not hide, seed=seed))
    return found


def others(n: int = 3) -> list[tuple[ImageStack, int]]:
    return [(stack_of(picture(100 + i)[0]), 0) for i in range(n)]


def dice(segmenter: Segmenter, prompts: PromptSet, seed: int = 50) -> float:
    pixels, mask = picture(seed)
    segmenter.set_image(stack_of(pixels))
    labels = segmenter.segment(prompts).labels
    return 2 * np.sum((labels == 1) & (mask == 1)) / (np.sum(labels == 1) + np.sum(mask == 1))


@pytest.mark.parametrize("planes", [1, 4])
def test_a_better_student_is_kept_and_labels_new_pictures(segmenter: Segmenter, planes: int) -> None:
    result = train_student(segmenter, PROMPTS, samples_of(segmenter, planes), others(), options=OPTIONS)
    assert result.kept
    assert result.verdict.after > result.verdict.before
    assert result.n_unlabelled == 3
    assert result.sentence.startswith("student of 3 images: held-out Dice ")
    assert result.sentence.endswith(", kept")
    assert dice(segmenter, PROMPTS) < 0.1
    assert dice(segmenter, result.prompts) > 0.9
    assert segmenter.known(result.prompts) == ["known"]
    assert result.prompts.learned.renumbered({1: 4}).taught == {0, 4}


def test_a_worse_student_is_refused_and_the_prompts_kept(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = PromptSet.from_text("red", background=("green",))

    def spoil(decoder: Decoder, *arguments: object, **keywords: object) -> None:
        with torch.no_grad():
            decoder.out.weight.normal_(generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(student_module, "train", spoil)
    result = train_student(segmenter, prompts, samples_of(segmenter, 4), others(), options=OPTIONS)
    assert not result.kept
    assert result.prompts is prompts
    assert result.sentence.endswith("not kept")
    assert dice(segmenter, result.prompts) > 0.9 > dice(segmenter, result.candidate)


def test_live_weights_of_several_images_teach_and_stay_where_the_student_is_refused(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(decoder: Decoder, *arguments: object, **keywords: object) -> None:
        with torch.no_grad():
            decoder.out.weight.normal_(generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(student_module, "train", spoil)
    result = train_student(segmenter, PROMPTS, samples_of(segmenter, 5), others(), options=OPTIONS)
    assert not result.kept
    assert result.report()["teacher"] == "live"
    assert result.report()["teacher_kept"]
    assert result.sentence.endswith("not kept, but the live weights that taught it are")
    assert dice(segmenter, result.prompts) > 0.9 > dice(segmenter, result.candidate)
    assert student_of(result.prompts.learned) is None


def test_few_images_are_not_enough_for_a_live_teacher(segmenter: Segmenter) -> None:
    assert best_teacher(segmenter, PROMPTS, samples_of(segmenter, 3), seed=0) is PROMPTS
    assert live_heads(best_teacher(segmenter, PROMPTS, samples_of(segmenter, 4), seed=0))


def test_planes_that_judge_a_student_do_not_tune_its_prompts(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_of(segmenter, 4)
    seen: list[list[TuningSample]] = []

    def recorded(encoder, prompts, some, **keywords):
        seen.append(list(some))
        return tune_prompts(encoder, prompts, some, **keywords)

    monkeypatch.setattr(teaching_module, "tune_prompts", recorded)
    quick = {"tuning": TuningOptions(steps=2), "student": replace(OPTIONS, steps=2, own_steps=0)}
    teach(segmenter, PROMPTS, samples, "prompts", **quick)
    teach(segmenter, PROMPTS, samples, "student", **quick)
    apart, _, _ = left_out(samples, OPTIONS.held_out, OPTIONS.seed)
    assert [len(some) for some in seen] == [4, 3]
    assert all(a is b for a, b in zip(seen[1], apart, strict=True))


def test_an_untrained_student_changes_nothing(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture(0)[0])
    same = Decoder(5, 5, 8).eval().adapted(features)
    assert torch.equal(same.semantic, features.semantic)


def test_the_same_seed_gives_the_same_student_whatever_the_global_state(segmenter: Segmenter) -> None:
    made = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.random.get_rng_state()
        few = replace(OPTIONS, steps=5, own_steps=5)
        made.append(train_student(segmenter, PROMPTS, samples_of(segmenter, 2), others(), options=few).candidate)
        assert torch.equal(torch.random.get_rng_state(), before)
    assert made[0] == made[1]


def test_a_student_survives_its_file_bit_for_bit(segmenter: Segmenter, tmp_path) -> None:
    result = train_student(segmenter, PROMPTS, samples_of(segmenter, 2), others(1), options=OPTIONS)
    encoder = segmenter.encoder
    path = save_prompts(tmp_path / "s", SavedPrompts(result.prompts, encoder.name, encoder.fingerprint))
    again = load_prompts(path).prompts
    assert again == result.prompts
    segmenter.set_image(stack_of(picture(60)[0]))
    here = segmenter.segment(result.prompts)
    there = segmenter.segment(again)
    assert np.array_equal(here.labels, there.labels)
    assert np.array_equal(here.confidence, there.confidence)


def test_a_student_works_on_a_plane_of_tiles(segmenter: Segmenter) -> None:
    result = train_student(segmenter, PROMPTS, samples_of(segmenter, 2), options=OPTIONS)
    pixels, mask = picture(70, side=300)
    small = SegmentationSettings(refinement="none", whole_up_to=128, tile_size=128, tile_overlap=32)
    tiled = Segmenter(segmenter.encoder, settings=small)
    tiled.set_image(stack_of(pixels))
    assert (tiled.segment(result.prompts).labels == mask).mean() > 0.97


def test_stopping_early_keeps_the_student_so_far_or_says_so(segmenter: Segmenter) -> None:
    def stop(done: int, total: int, description: str) -> None:
        if total and done == 30:
            raise CancelledError

    result = train_student(segmenter, PROMPTS, samples_of(segmenter, 2), options=OPTIONS, progress=stop)
    assert result.cancelled
    assert student_of(result.candidate.learned) is not None

    def at_once(done: int, total: int, description: str) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        train_student(segmenter, PROMPTS, samples_of(segmenter, 2), others(), options=OPTIONS, progress=at_once)


def test_a_student_of_another_architecture_or_damaged_is_refused(segmenter: Segmenter) -> None:
    few = replace(OPTIONS, steps=2, own_steps=0)
    learned = train_student(segmenter, PROMPTS, samples_of(segmenter, 2), options=few).candidate.learned
    newer = replace(learned, facts={"student": {**learned.facts["student"], "architecture": 99}})
    with pytest.raises(InputError, match="architecture 99"):
        student_of(newer)
    rest = {k: v for k, v in learned.tensors.items() if k != "student/mix.weight"}
    with pytest.raises(InputError, match="damaged"):
        student_of(replace(learned, tensors=rest))
    features = DenseFeatures(torch.zeros(4, 4, 7), torch.zeros(4, 4, 7), torch.zeros(7), (8, 8), "other")
    with pytest.raises(InputError, match="made for features of 5 and 5 numbers"):
        student_of(learned).adapted(features)


def test_a_new_student_is_not_taught_by_the_old_one(segmenter: Segmenter) -> None:
    few = replace(OPTIONS, steps=3, own_steps=0)
    first = train_student(segmenter, PROMPTS, samples_of(segmenter, 2), others(), options=few).candidate
    again = train_student(segmenter, first, samples_of(segmenter, 2), others(), options=few).candidate
    assert again == first


def test_tuning_again_leaves_what_was_learned_on_top_of_the_old_prompts(segmenter: Segmenter) -> None:
    live = learn_live(segmenter, PROMPTS, samples_of(segmenter, 2)).candidate
    again = tune_prompts(segmenter.encoder, live, samples_of(segmenter, 2), options=TuningOptions(steps=2)).candidate
    assert live_heads(live)
    assert not live_heads(again)
    assert again.learned.views


def test_whole_planes_judge_where_there_are_enough(segmenter: Segmenter) -> None:
    samples = samples_of(segmenter, 5)
    teaching, judging, n = left_out(samples, 0.25, 0)
    assert (len(teaching), len(judging)) == (4, 1)
    assert n == sum(len(np.unique(s.strokes)) for s in samples)
    teaching, judging, _ = left_out(samples[:2], 0.25, 0)
    assert len(teaching) == len(judging) == 2
    assert all(len(t.values) > len(j.values) > 0 for t, j in zip(teaching, judging, strict=True))


def test_a_class_of_one_plane_is_never_judged_by_planes_that_were_not_taught_it(segmenter: Segmenter) -> None:
    samples = samples_of(segmenter, 4)
    only = samples[0]
    samples[0] = replace(only, values=np.where(only.values == 1, 2, only.values))
    for seed in range(6):
        teaching, judging, _ = left_out(samples, 0.25, seed)
        assert not any((s.values == 2).any() for s in judging)
        assert any((s.values == 2).any() for s in teaching)


def test_thresholds_decide_what_is_drawn() -> None:
    prompts = PromptSet.from_text("a, b")
    logits = torch.tensor([[0.0, 1.0, 0.5], [0.0, -1.0, -2.0], [0.0, 0.1, 0.2]])
    assert drawn_values(logits, prompts).tolist() == [1, 0, 2]
    assert drawn_values(logits, prompts.with_replaced(1, threshold=0.9)).tolist() == [0, 0, 2]


def test_pieces_of_a_large_plane_hold_every_pixel_once() -> None:
    side = 2 * PIECE + 10
    semantic = torch.randn(side, side, 3, generator=torch.Generator().manual_seed(0))
    features = DenseFeatures(semantic, semantic, torch.zeros(3), (side, side), TowerEncoder.fingerprint)
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, side, 200), rng.integers(0, side, 200)
    values = rng.integers(0, 2, 200)
    (pieces,) = true_pieces([TuningSample(features, rows, columns, values, np.zeros(200, int))], PROMPTS)
    assert len(pieces) == 9
    assert max(max(p.semantic.shape[:2]) for p in pieces) <= PIECE
    assert sorted(np.concatenate([p.index for p in pieces]).tolist()) == list(range(200))
    for piece in pieces:
        read = torch.nn.functional.grid_sample(
            piece.semantic.permute(2, 0, 1)[None].float(), piece.places[None, None], align_corners=False
        )[0, :, 0].T
        assert torch.allclose(read, piece.own, atol=2e-3)
        assert piece.target.tolist() == values[piece.index].tolist()


def test_labels_that_are_not_sure_are_left_out_but_no_class_dies(segmenter: Segmenter) -> None:
    segmenter.set_image(stack_of(picture(0)[0]))
    prompts = PromptSet.from_text("red", background=("green",))
    pieces = pseudo_pieces(
        segmenter.features, segmenter.segment(prompts), prompts, pixels=60, rng=np.random.default_rng(0)
    )
    (piece,) = pieces
    unsure = piece.labelled(piece.target, torch.linspace(0.1, 0.6, 60))
    (left,) = confident([unsure], 0.9)
    for column in (0, 1):
        of_class = piece.target == column
        kept = (left.target == column).sum()
        assert of_class.sum() / 2 <= kept <= of_class.sum() / 2 + 1
    (weights,) = piece_weights([left])
    assert (weights[left.target < 0] == 0).all()
    assert confident([], 0.9) == []


def test_live_weights_over_images_are_kept_stored_and_scored(segmenter: Segmenter, tmp_path) -> None:
    result = learn_live(segmenter, PROMPTS, samples_of(segmenter, 4))
    assert result.kept
    assert result.report()["method"] == "live"
    assert dice(segmenter, result.prompts) > 0.9
    encoder = segmenter.encoder
    path = save_prompts(tmp_path / "l", SavedPrompts(result.prompts, encoder.name, encoder.fingerprint))
    again = load_prompts(path).prompts
    segmenter.set_image(stack_of(picture(60)[0]))
    assert np.array_equal(segmenter.segment(result.prompts).confidence, segmenter.segment(again).confidence)
    assert segmenter.known(again) == ["known"]


def test_classes_without_labels_have_no_weights_and_weights_follow_their_class(segmenter: Segmenter) -> None:
    prompts = PromptSet.from_text("gizmo, blue", background=("black",))
    result = learn_live(segmenter, prompts, samples_of(segmenter, 4))
    assert live_heads(result.candidate)[0].learned == (True, True, False)
    assert live_heads(result.candidate.without(1))[0].learned == (True, False)
    moved = result.candidate.learned.renumbered({1: 7})
    assert set(moved.taught) == {0, 7}
    assert np.array_equal(moved.tensors["live/class/7"], result.candidate.learned.tensors["live/class/1"])


def test_one_image_stays_close_to_the_words(segmenter: Segmenter) -> None:
    one = learn_live(segmenter, PROMPTS, samples_of(segmenter, 1))
    many = learn_live(segmenter, PROMPTS, samples_of(segmenter, 3))
    assert one.prior_weight == AcrossSettings().prior_weights[0]
    assert one.penalty >= many.penalty / 3


def test_damaged_live_weights_are_refused(segmenter: Segmenter) -> None:
    made = learn_live(segmenter, PROMPTS, samples_of(segmenter, 2)).candidate
    newer = replace(made.learned, facts={"live": {**made.learned.facts["live"], "version": 9}})
    with pytest.raises(InputError, match="do not fit this release"):
        live_heads(replace(made, learned=newer))


@pytest.mark.parametrize("learn", [learn_live, train_student])
def test_what_cannot_be_learned_from_is_refused(segmenter: Segmenter, learn) -> None:
    (one,) = samples_of(segmenter, 1)
    first = one.subset(one.strokes == one.strokes[0])
    with pytest.raises(InputError, match="two strokes"):
        learn(segmenter, PROMPTS, [first])


@pytest.mark.parametrize("wrong", [{"width": 1}, {"steps": 0}, {"rate": 0}, {"held_out": 1}, {"confidence": 2}])
def test_options_out_of_range_are_named(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        StudentOptions(**wrong)
