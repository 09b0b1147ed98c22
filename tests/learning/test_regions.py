from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tower_encoder import TowerEncoder

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.learning.regions import (
    DrawnRegion,
    RegionSettings,
    inference_of,
    learn_regions,
    region_values,
    with_inference,
)
from napari_promptseg.learning.regions.distillation import divergence
from napari_promptseg.learning.regions.drawn import draw_pixels, marks_of, without_lookalikes
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.region_head import region_heads
from napari_promptseg.segmentation.segmenter import Segmenter

QUICK = RegionSettings(steps=6, distil_steps=6)


def picture() -> np.ndarray:
    """Orange discs on grey; the model knows neither word."""
    shown = np.full((40, 60, 3), 110, np.uint8)
    y, x = np.indices((40, 60))
    for row, column in ((12, 14), (26, 44)):
        shown[(y - row) ** 2 + (x - column) ** 2 < 64] = (250, 130, 20)
    return shown


def disc(row: int, column: int) -> np.ndarray:
    y, x = np.indices((40, 60))
    inside: np.ndarray = (y - row) ** 2 + (x - column) ** 2 < 64
    return inside


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(TowerEncoder())


def test_one_region_finds_the_other_disc(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    prompts = PromptSet.from_text("blob")
    result = learn_regions(segmenter, prompts, [DrawnRegion(features, disc(12, 14), 1)], settings=QUICK)
    found = segmenter.probabilities_of(features, result.prompts)[1] > 0.5
    assert result.kept
    assert found.numpy()[disc(26, 44)].mean() > 0.9
    assert found.numpy()[~disc(26, 44) & ~disc(12, 14)].mean() < 0.1


def test_same_seed_same_outcome(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    regions = [DrawnRegion(features, disc(12, 14), 1)]
    first, second = (learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK) for _ in range(2))
    for name, prompts in first.candidates.items():
        assert prompts == second.candidates[name]


def test_inference_is_switched_there_and_back(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    prompts = PromptSet.from_text("blob")
    found = learn_regions(segmenter, prompts, [DrawnRegion(features, disc(12, 14), 1)], settings=QUICK).candidates
    learned = found["pseudo-text"]
    assert region_values(learned) == (1,)
    words = with_inference(learned, 1, "words")
    assert inference_of(words, 1) == "words"
    assert with_inference(words, 1, "pseudo-text") == learned
    before = segmenter.probabilities_of(features, prompts)
    assert torch.equal(segmenter.probabilities_of(features, words), before)
    with pytest.raises(InputError, match="not learned from a region"):
        with_inference(prompts, 1, "words")


def test_cancelling_keeps_what_there_is(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())

    def stop(done: int, total: int, description: str) -> None:
        assert done <= total
        if done > 2:
            raise CancelledError

    regions = [DrawnRegion(features, disc(12, 14), 1)]
    result = learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK, progress=stop)
    assert result.cancelled
    assert region_values(result.candidates["pseudo-text"]) == (1,)


@pytest.mark.parametrize(
    ("mask", "value", "message"),
    [
        (np.eye(40, 60) * np.arange(60) == 7, 1, "1 pixel"),
        (np.ones((40, 60), bool), 1, "whole image"),
        (np.zeros((40, 60), bool), 1, "0 pixels"),
        (np.ones((4, 6), bool), 1, r"plane of \(4, 6\)"),
        (np.arange(2400).reshape(40, 60) < 9, 0, "count from 1"),
    ],
)
def test_bad_regions_are_refused_in_a_sentence(
    segmenter: Segmenter, mask: np.ndarray, value: int, message: str
) -> None:
    features = segmenter.encoder.encode_plane(picture())
    with pytest.raises(InputError, match=message):
        DrawnRegion(features, mask, value)


def test_a_class_needs_a_region_that_shows_it(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    negative = DrawnRegion(features, disc(12, 14), 1, positive=False)
    with pytest.raises(InputError, match="positive one"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [negative])
    with pytest.raises(InputError, match="no class has"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [DrawnRegion(features, disc(12, 14), 4)])
    with pytest.raises(InputError, match="no region"):
        learn_regions(segmenter, PromptSet.from_text("blob"), [])


def test_a_file_gives_the_same_mask_to_the_bit(segmenter: Segmenter, tmp_path: Path) -> None:
    features = segmenter.encoder.encode_plane(picture())
    regions = [DrawnRegion(features, disc(12, 14), 1)]
    result = learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK)
    for name, prompts in result.candidates.items():
        file = save_prompts(tmp_path / name, SavedPrompts(prompts, "pixels", "pixel-encoder"))
        again = load_prompts(file).prompts
        assert again == prompts
        assert inference_of(again, 1) == name
        there, here = (segmenter.probabilities_of(features, p) for p in (again, prompts))
        assert torch.equal(there, here)


def test_a_negative_region_takes_its_like_away(segmenter: Segmenter) -> None:
    """Two discs alike but for a tint: a region over the second one says that it is something else."""
    shown = picture()
    shown[disc(26, 44)] = (250, 90, 70)
    features = segmenter.encoder.encode_plane(shown)
    prompts, own = PromptSet.from_text("blob"), DrawnRegion(features, disc(12, 14), 1)
    other = DrawnRegion(features, disc(26, 44), 1, positive=False)
    chances = []
    for regions in ([own], [own, other]):
        found = learn_regions(segmenter, prompts, regions, settings=QUICK).candidates["pseudo-text"]
        chances.append(segmenter.probabilities_of(features, found)[1].numpy()[disc(26, 44)].mean())
    assert chances[1] < 0.2
    assert chances[1] < chances[0] - 0.2


def test_several_images_teach_one_concept_and_judge_it(segmenter: Segmenter) -> None:
    darker = (picture() * 0.8).astype(np.uint8)
    planes = [segmenter.encoder.encode_plane(p) for p in (picture(), darker)]
    regions = [DrawnRegion(f, disc(12, 14), 1) for f in planes]
    result = learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK)
    assert result.held_out == "images"
    assert set(result.scores) == {"words", "pseudo-text", "text-free"}
    assert result.scores["pseudo-text"] > 0.8
    assert "2 regions" in result.sentence


def test_one_image_never_chooses_text_free_by_itself(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    regions = [DrawnRegion(features, disc(12, 14), 1)]
    prompts = PromptSet.from_text("blob")
    assert learn_regions(segmenter, prompts, regions, settings=QUICK).chosen != "text-free"
    asked = learn_regions(segmenter, prompts, regions, settings=QUICK, inference="text-free")
    assert inference_of(asked.candidates[asked.chosen], 1) == "text-free"


def test_another_class_keeps_what_its_words_say(segmenter: Segmenter) -> None:
    shown = picture()
    shown[30:38, 2:20] = (0, 0, 255)
    features = segmenter.encoder.encode_plane(shown)
    prompts = PromptSet.from_text("blob, blue")
    found = learn_regions(segmenter, prompts, [DrawnRegion(features, disc(12, 14), 1)], settings=QUICK).candidates
    before, after = (segmenter.probabilities_of(features, p) for p in (prompts, found["pseudo-text"]))
    assert (after[2, 30:38, 2:20] > 0.5).all()
    ratio = (after[2] / after[0]) / (before[2] / before[0])
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=2e-3, atol=1e-3)


def test_divergence_moves_the_student_alone() -> None:
    teacher, student = (torch.nn.functional.normalize(torch.rand(3, 8), dim=1).requires_grad_() for _ in range(2))
    loss = divergence(teacher, student)
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert float(divergence(teacher, teacher).detach()) == pytest.approx(0, abs=1e-6)
    assert float(loss.detach()) > 0


def test_lookalikes_are_no_negatives_unless_said_so(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    own = DrawnRegion(features, disc(12, 14), 1)
    other = DrawnRegion(features, disc(26, 44), 1, positive=False)
    for regions, stay in (([own], False), ([own, other], True)):
        pixels = draw_pixels(marks_of(regions, 1), inside=200, outside=2000)
        kept = without_lookalikes(pixels, most=0.15)
        assert disc(26, 44)[kept.rows, kept.columns].any() == stay
        assert kept.labels.sum() == pixels.labels.sum()


def test_details_can_be_left_out(segmenter: Segmenter) -> None:
    features = segmenter.encoder.encode_plane(picture())
    regions = [DrawnRegion(features, disc(12, 14), 1)]
    result = learn_regions(segmenter, PromptSet.from_text("blob"), regions, settings=QUICK)
    assert region_heads(result.candidates["pseudo-text"])
    assert not region_heads(result.plain["pseudo-text"])
    assert not region_heads(with_inference(result.candidates["pseudo-text"], 1, "words"))
