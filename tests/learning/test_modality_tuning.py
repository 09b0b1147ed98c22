"""Modalities tuned on small pictures with the embedded model: what is kept, what equals what, what travels."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from napari_promptseg import Segmenter, load_encoder
from napari_promptseg.encoders.stages import staged_tower
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.held_out_planes import at_pixels
from napari_promptseg.learning.modalities import ModalityResult, ModalitySample, ModalitySettings, tune_modalities
from napari_promptseg.learning.modalities.heads import fit_head
from napari_promptseg.learning.modalities.scenes import read_scene
from napari_promptseg.learning.modalities.training import dice_loss, train_prompters
from napari_promptseg.learning.modalities.tune import learned_modalities
from napari_promptseg.prompts.grouping import GroupingSettings, Prompters
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.grouping import grouping_of, with_grouping
from napari_promptseg.segmentation.learned_stages import chances_apart, stage_chances
from napari_promptseg.segmentation.live_heads import live_heads
from napari_promptseg.segmentation.settings import SegmentationSettings

SIDE = 40
PROMPTS = PromptSet.from_text("cat, sofa")
FAST = ModalitySettings(steps=3, penalties=(0.1,), prior_weights=(0.0,), grouping=GroupingSettings(stages=(3, 4)))
HEADS_ONLY = replace(FAST, grouping=None)


@cache
def encoder() -> Any:
    return load_encoder("embedded", device="cpu")


def scene(seed: int, *, thermal: bool = True, rgb: bool = True) -> tuple[ImageStack, npt.NDArray[np.int64]]:
    """A square that only the second modality shows, and a bar that only the first one does."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int64)
    top, left = rng.integers(2, 20, 2)
    labels[top : top + 14, left : left + 14] = 1
    labels[34:, :] = 2
    colour = rng.integers(80, 120, (SIDE, SIDE, 3)).astype(np.uint8)
    colour[labels == 2] = (220, 40, 40)
    warm = rng.integers(80, 120, (SIDE, SIDE)).astype(np.uint8)
    warm[labels == 1] = 240
    stack = ImageStack(
        (
            Modality("picture", colour if rgb else None, True, "rgb"),
            Modality("heat", warm if thermal else None, False, "thermal", (0.0, 255.0)),
        )
    )
    return stack, labels


def sample(seed: int, **missing: bool) -> ModalitySample:
    stack, labels = scene(seed, **missing)
    return ModalitySample.from_labels(stack, labels, seed=seed, complete=True)


@cache
def tuned() -> ModalityResult:
    return tune_modalities(Segmenter(encoder()), [sample(i) for i in range(4)], PROMPTS, settings=FAST)


def labels_of(stack: ImageStack, prompts: PromptSet) -> npt.NDArray[Any]:
    segmenter = Segmenter(encoder())
    segmenter.set_image(stack, modalities="all")
    return segmenter.segment(prompts).labels


def chances_of(stack: ImageStack, prompts: PromptSet) -> npt.NDArray[np.float32]:
    segmenter = Segmenter(encoder())
    segmenter.set_image(stack, modalities="all")
    return segmenter.coarse_probabilities(prompts).numpy()


def dice(found: npt.NDArray[Any], labels: npt.NDArray[Any], value: int) -> float:
    one, other = found == value, labels == value
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def test_what_each_modality_shows_is_found_on_a_new_scene() -> None:
    result = tuned()
    assert result.kept
    assert result.verdict.after > result.verdict.before
    stack, labels = scene(11)
    found = labels_of(stack, result.prompts)
    assert dice(found, labels, 1) > 0.7
    assert dice(found, labels, 2) > 0.7
    assert {"trained_share", "prompters_kept", "method"} <= set(result.report())


def test_less_than_a_hundredth_of_the_model_is_trained() -> None:
    result = tuned()
    own = encoder().describe()["parameters"]
    assert 0 < result.n_trained < 0.01 * own
    assert result.share == pytest.approx(result.n_trained / own)
    # with all prompters in, at the settings that are the default
    settings = GroupingSettings()
    tower = staged_tower(encoder())
    widths = {s: tower.widths[s] for s in tower.default_stages}
    most = Prompters(widths, torch.randn(21, encoder().embedding_dim), 3, settings).n_parameters
    assert most < 0.01 * own


def test_the_model_itself_is_not_touched() -> None:
    stack, _ = scene(3)
    before = encoder().encode_plane(stack.picture(modality=0)).semantic.clone()
    tuned()
    assert torch.equal(before, encoder().encode_plane(stack.picture(modality=0)).semantic)
    assert all(p.grad is None for p in encoder().model.parameters())


def test_a_missing_modality_is_left_out_and_the_other_still_serves() -> None:
    for name, value, missing in (("heat", 1, {"rgb": False}), ("picture", 2, {"thermal": False})):
        stack, labels = scene(12, **missing)
        found = labels_of(stack, tuned().prompts)
        assert dice(found, labels, value) > 0.6, name


def test_scenes_without_some_modality_can_be_learned_from_too() -> None:
    some = [sample(0), sample(1, rgb=False), sample(2, thermal=False), sample(3), sample(4)]
    result = tune_modalities(Segmenter(encoder()), some, PROMPTS, settings=FAST)
    stack, labels = scene(12)
    assert dice(labels_of(stack, result.candidate), labels, 1) > 0.5


def test_one_modality_alone_is_the_path_of_one_picture() -> None:
    stack = ImageStack((scene(5)[0].modalities[1],))
    one, several = Segmenter(encoder()), Segmenter(encoder())
    one.set_image(stack)
    several.set_image(stack, modalities="all")
    for prompts in (PROMPTS, tuned().prompts):
        assert np.array_equal(one.segment(prompts).labels, several.segment(prompts).labels)
        assert torch.equal(one.coarse_probabilities(prompts), several.coarse_probabilities(prompts))


def test_modalities_in_another_order_give_the_same_mask() -> None:
    stack, _ = scene(13)
    swapped = ImageStack(stack.modalities[::-1])
    assert np.array_equal(labels_of(stack, tuned().prompts), labels_of(swapped, tuned().prompts))


def test_new_names_of_the_same_kinds_are_recognised() -> None:
    stack, _ = scene(13)
    renamed = ImageStack(tuple(replace(m, name=f"layer {i}") for i, m in enumerate(stack.modalities)))
    assert np.array_equal(labels_of(stack, tuned().prompts), labels_of(renamed, tuned().prompts))


def forced(result: ModalityResult) -> PromptSet:
    """With prompters whose gates are open, whether they were kept or not."""
    grouping = grouping_of(result.candidate)
    assert grouping is not None
    tower = staged_tower(encoder())
    stages = GroupingSettings(stages=(3, 4))
    made = Prompters({s: tower.widths[s] for s in (3, 4)}, torch.randn(3, 8), 1, stages)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith("gate"):
                p.fill_(5.0)
    changed = replace(grouping, prompters=made)
    return with_grouping(result.candidate, changed, fingerprint=encoder().fingerprint, model="embedded")


def test_the_file_gives_the_same_mask_in_another_process(tmp_path: Path) -> None:
    prompts = forced(tuned())
    stack, _ = scene(14)
    here = chances_of(stack, prompts)
    assert np.abs(here - chances_of(stack, tuned().candidate)).max() > 1e-3  # the prompters do something
    saved = save_prompts(tmp_path / "two", SavedPrompts(prompts, "embedded", encoder().fingerprint))
    assert load_prompts(saved).prompts == prompts
    np.savez(tmp_path / "scene.npz", picture=stack.modalities[0].pixels, heat=stack.modalities[1].pixels)
    script = f"""
import numpy as np
from napari_promptseg import Segmenter, load_encoder
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.prompts.prompt_file import load_prompts
a = np.load(r"{tmp_path / "scene.npz"}")
heat = Modality("heat", a["heat"], False, "thermal", (0.0, 255.0))
segmenter = Segmenter(load_encoder("embedded", device="cpu"))
segmenter.set_image(ImageStack((Modality("picture", a["picture"], True, "rgb"), heat)), modalities="all")
np.save(r"{tmp_path / "there.npy"}", segmenter.coarse_probabilities(load_prompts(r"{saved}").prompts).numpy())
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "there.npy"), here, atol=1e-6)


def test_untrained_prompters_change_no_bit() -> None:
    plain = grouping_of(tuned().candidate)
    assert plain is not None
    tower = staged_tower(encoder())
    made = Prompters({3: tower.widths[3]}, torch.randn(3, 8), 1, GroupingSettings(stages=(3,)))
    stack, _ = scene(14)
    pair = [
        with_grouping(
            tuned().candidate, replace(plain, prompters=p), fingerprint=encoder().fingerprint, model="embedded"
        )
        for p in (None, made)
    ]
    assert np.array_equal(*(chances_of(stack, p) for p in pair))


def test_a_large_plane_is_read_in_tiles() -> None:
    small, labels = scene(15)
    labels = np.tile(labels, (2, 3))
    picture, heat = (replace(m, pixels=np.tile(m.pixels, (2, 3, 1)[: m.pixels.ndim])) for m in small.modalities)
    tiles = Segmenter(encoder(), settings=SegmentationSettings(whole_up_to=64, tile_size=64, tile_overlap=16))
    tiles.set_image(ImageStack((picture, heat)), modalities="all")
    found = tiles.segment(forced(tuned())).labels
    assert found.shape == labels.shape
    assert dice(tiles.segment(tuned().prompts).labels, labels, 2) > 0.5


def test_memory_that_runs_out_is_met_by_computing_stages_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_promptseg.learning.modalities import tune

    asked: list[bool | None] = []

    def full(*given: Any, **keywords: Any) -> Any:
        asked.append(given[5].checkpointed)
        if len(asked) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train_prompters(*given, **keywords)

    monkeypatch.setattr(tune, "train_prompters", full)
    result = tune_modalities(Segmenter(encoder()), [sample(i) for i in range(4)], PROMPTS, settings=FAST)
    assert asked == [None, True]
    assert result.curve


def test_cancelling_keeps_the_best_so_far() -> None:
    def stop(done: int, total: int, text: str) -> None:
        if "loss" in text and done == 2:
            raise CancelledError

    result = tune_modalities(Segmenter(encoder()), [sample(i) for i in range(4)], PROMPTS, settings=FAST, progress=stop)
    assert result.cancelled
    assert result.verdict.after >= result.verdict.before


def test_what_is_no_better_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_promptseg.learning.modalities import tune

    def contrary(*given: Any) -> Any:
        head, penalty = fit_head(*given)
        return replace(head, weights=-head.weights, bias=-head.bias), penalty

    monkeypatch.setattr(tune, "fit_head", contrary)
    result = tune_modalities(Segmenter(encoder()), [sample(i) for i in range(4)], PROMPTS, settings=HEADS_ONLY)
    assert result.verdict.after <= result.verdict.before
    assert not result.kept
    assert result.prompts is PROMPTS
    assert "not kept" in result.sentence


def test_what_was_tuned_is_a_step_of_its_own_in_why_a_pixel_has_its_label() -> None:
    segmenter = Segmenter(encoder())
    segmenter.set_image(scene(9)[0], modalities="all")
    learned = tuned().candidate
    found = stage_chances(segmenter, learned, segmenter.scene)
    assert list(found) == ["words", "modalities"]
    assert torch.equal(found["words"], segmenter.coarse_probabilities(PROMPTS))
    assert torch.equal(found["modalities"], segmenter.coarse_probabilities(learned))
    apart = chances_apart(segmenter, learned, segmenter.scene)
    for j, name in enumerate(("picture", "heat")):
        segmenter.set_image(scene(9)[0], modalities=[j])
        assert torch.equal(apart[name], segmenter.coarse_probabilities(learned))
        assert chances_apart(segmenter, learned, segmenter.scene) == {}


def test_each_modality_by_itself_is_learned_upon_its_own_words() -> None:
    segmenter, one = Segmenter(encoder()), sample(5)
    read = read_scene(segmenter, staged_tower(encoder()), PROMPTS, learned_modalities(PROMPTS, [one]), one, (3, 4))
    for j, own in enumerate(read.own_priors):
        assert own is not None
        segmenter.set_image(one.stack, modalities=[j], quality="fast")
        words = segmenter.coarse_probabilities(PROMPTS).clamp_min(1e-4).log()
        assert torch.equal(own, at_pixels(words, one.pixels))
        assert not torch.equal(own, read.prior)


def test_the_picture_in_hand_stays() -> None:
    segmenter = Segmenter(encoder())
    stack, _ = scene(20)
    segmenter.set_image(stack, modalities="all")
    standing = segmenter.scene
    tune_modalities(segmenter, [sample(i) for i in range(2)], PROMPTS, settings=HEADS_ONLY)
    assert segmenter.scene is standing


def test_strokes_are_a_source() -> None:
    stack, labels = scene(0)
    corrections = Corrections().with_added(Stroke.from_mask(labels == v, value=v) for v in (0, 1, 2))
    found = ModalitySample.from_corrections(stack, corrections)
    assert {0, 1, 2} == set(found.pixels.values.tolist())
    assert (labels[found.pixels.rows, found.pixels.columns] == found.pixels.values).all()


def test_no_label_is_said_in_one_sentence() -> None:
    stack, labels = scene(0)
    nothing = ModalitySample.from_labels(stack, np.where(labels > 0, 255, labels))
    with pytest.raises(InputError, match="no labelled pixel"):
        tune_modalities(Segmenter(encoder()), [nothing], PROMPTS, settings=FAST)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"steps": 0}, {"penalties": ()}, {"held_out": 1.0}):
        with pytest.raises(InputError):
            ModalitySettings(**wrong)  # type: ignore[arg-type]


def test_a_damaged_file_is_said_in_one_sentence() -> None:
    prompts = tuned().candidate
    assert prompts.learned is not None
    assert not live_heads(prompts)
    facts = dict(prompts.learned.facts)
    facts["gopt"] = {**facts["gopt"], "prior_weights": {}}
    with pytest.raises(InputError, match="damaged"):
        grouping_of(replace(prompts, learned=replace(prompts.learned, facts=facts)))
    facts["gopt"] = {**facts["gopt"], "architecture": 99}
    with pytest.raises(InputError, match="this release"):
        grouping_of(replace(prompts, learned=replace(prompts.learned, facts=facts)))


def test_dice_loss_is_least_where_labels_agree() -> None:
    target = torch.tensor([0, 1, 1])
    weights = torch.tensor([0.5, 0.25, 0.25])
    right = 30 * torch.nn.functional.one_hot(target, 3).float()
    assert float(dice_loss(right, target, weights)) == pytest.approx(0, abs=1e-5)
    assert float(dice_loss(-right, target, weights)) > 0.5
