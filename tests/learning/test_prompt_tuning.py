"""Prompt tuning on a tiny frozen tower: it learns, refuses harm, can be stopped and repeats itself."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.encoders.text import SLOT
from napari_promptseg.errors import CancelledError, InputError, ModelError
from napari_promptseg.learning import prompt_tuning
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.prompt_tuning import tune_prompts
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.learning.validation import hold_out
from napari_promptseg.prompts.prompt_set import PromptSet

WIDTH, LENGTH = 12, 8


class TinyTower:
    """Mean over token embeddings, then a frozen linear layer; words have fixed random embeddings."""

    slot_width = WIDTH

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, LENGTH, generator=generator), requires_grad=False)

    def token_vectors(self, word: str) -> torch.Tensor:
        return torch.stack([self._word(w) for w in word.split()])

    def encode_with_slots(self, texts: Sequence[str], slots: torch.Tensor | None) -> torch.Tensor:
        rows = []
        for i, text in enumerate(texts):
            tokens = [self._word(w) for w in text.replace(SLOT, " ").split()]
            own = slots[i] if slots is not None else torch.zeros(0, WIDTH)
            rows.append(torch.tanh(torch.cat([torch.stack(tokens), own])).mean(dim=0))
        return functional.normalize(torch.stack(rows) @ self.weight, dim=-1)

    @staticmethod
    def _word(word: str) -> torch.Tensor:
        return torch.randn(WIDTH, generator=torch.Generator().manual_seed(sum(word.encode())))


class TinyEncoder:
    name, fingerprint, device = "tiny", "tuning-tests", torch.device("cpu")
    embedding_dim, logit_scale, logit_bias, sigmoid = LENGTH, 20.0, 0.0, False
    preferred_templates = ("{}",)

    def __init__(self) -> None:
        self.text_tower: Any = TinyTower()

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return TinyTower().encode_with_slots(texts, None)


def scene(seed: int = 0) -> TuningSample:
    """Left half one thing, right half another, neither of which the words describe."""
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(2, LENGTH, generator=torch.Generator().manual_seed(5))
    grid = torch.where(torch.arange(8)[None, :, None] < 4, left, right).expand(8, 8, LENGTH)
    grid = functional.normalize(grid + 0.3 * torch.randn(8, 8, LENGTH, generator=generator), dim=-1)
    features = DenseFeatures(grid, grid.clone(), grid.mean((0, 1)), (64, 64), "tuning-tests")
    labels = np.zeros((64, 64), np.int64)
    labels[:, :32] = 1
    return TuningSample.from_labels(features, labels, seed=seed)


PROMPTS = PromptSet.from_text("cat, dog", background=("sky",))
# pixels of this scene are too unlike each other for one to speak for the next, so the dog nobody painted weighs less
FAST = TuningOptions(steps=30, anchor=0.1, rate=0.05, keep_others=10.0)


def encoder() -> Any:
    return TinyEncoder()


def test_it_learns_and_is_kept() -> None:
    result = tune_prompts(encoder(), PROMPTS, [scene()], options=FAST)
    assert result.verdict.after > result.verdict.before
    assert result.kept
    assert result.prompts.learned is not None
    assert set(result.prompts.learned.views) == {0, 1}
    assert f"{result.verdict.before:.2f} → {result.verdict.after:.2f} from 16 strokes, kept" in result.sentence
    assert result.curve[-1].loss < result.curve[0].loss


def test_only_tokens_and_temperatures_get_gradients() -> None:
    mine = encoder()
    before = mine.text_tower.weight.clone()
    tune_prompts(mine, PROMPTS, [scene()], options=FAST)
    assert torch.equal(mine.text_tower.weight, before)
    assert mine.text_tower.weight.grad is None


def test_a_tuning_made_worse_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = tune_prompts(encoder(), PROMPTS, [scene()], options=FAST)

    def misleading(samples: Any, share: float, seed: int) -> Any:
        train, held, count = hold_out(samples, share, seed)
        return [replace(s, values=1 - s.values) for s in train], held, count

    # what is learned from says the opposite of what judges
    monkeypatch.setattr(prompt_tuning, "hold_out", misleading)
    result = tune_prompts(encoder(), good.prompts, [scene()], options=FAST)
    assert result.verdict.after < result.verdict.before
    assert not result.kept
    assert result.prompts is good.prompts
    assert "not kept" in result.sentence


def test_the_same_seed_gives_the_same_numbers() -> None:
    a, b = (tune_prompts(encoder(), PROMPTS, [scene()], options=FAST) for _ in range(2))
    assert a.candidate.learned == b.candidate.learned


def test_cancelling_keeps_the_best_so_far() -> None:
    def stop(done: int, total: int, text: str) -> None:
        if done == 12:
            raise CancelledError("stop")

    result = tune_prompts(encoder(), PROMPTS, [scene()], options=FAST, progress=stop)
    assert result.cancelled
    assert result.candidate.learned is not None
    assert result.verdict.after >= result.verdict.before


@pytest.mark.parametrize(
    "off",
    [
        {"orthogonal": 0.0},
        {"global_refining": False},
        {"image_labels": 0.0},
        {"learned_temperature": False},
        {"pseudo_labels": 0.0},
        {"anchor": 0.0},
        {"warm_start": 0.0},
        {"keep_others": 0.0},
        {"n_views": 1},
        {"shared_context": False},
        {"from_words": False},
    ],
)
def test_every_part_can_be_switched_off(off: dict[str, Any]) -> None:
    whole = tune_prompts(encoder(), PROMPTS, [scene()], options=FAST)
    part = tune_prompts(encoder(), PROMPTS, [scene()], options=replace(FAST, **off))
    assert part.candidate.learned is not None
    assert part.candidate.learned != replace(whole.candidate.learned, facts=part.candidate.learned.facts)
    assert (part.candidate.learned.scale == 1.0) == (not part.candidate.learned.facts["tuning"]["learned_temperature"])
    assert bool(part.candidate.learned.global_views) == part.candidate.learned.facts["tuning"]["global_refining"]


def test_a_stronger_anchor_drifts_less() -> None:
    far, near = (
        tune_prompts(encoder(), PROMPTS, [scene()], options=replace(FAST, anchor=a, warm_start=0.0)).drift["cat"]
        for a in (0.0, 100.0)
    )
    assert near < far


def test_too_few_strokes_and_wrong_models_say_so() -> None:
    sample = scene()
    one = sample.subset(sample.strokes == sample.strokes[sample.values == 1][0])
    with pytest.raises(InputError, match="at least two strokes"):
        tune_prompts(encoder(), PROMPTS, [one])
    with pytest.raises(InputError, match="no stroke of any class"):
        tune_prompts(encoder(), PROMPTS, [sample.subset(sample.values == 0)])
    foreign = encoder()
    foreign.fingerprint = "else"
    with pytest.raises(InputError, match="another model"):
        tune_prompts(foreign, PROMPTS, [sample])
    foreign.text_tower = None
    with pytest.raises(ModelError, match="no learned tokens"):
        tune_prompts(foreign, PROMPTS, [sample])


def test_full_memory_of_the_device_falls_back_to_a_copy_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = encoder()
    mine.device = torch.device("cuda")  # claimed only: the first attempt fails before anything is placed there
    asked: list[torch.device] = []

    def copied_to(device: torch.device) -> TinyTower:
        asked.append(device)
        mine.device = device  # the claim has done its work
        return TinyTower()

    mine.text_tower.copied_to = copied_to
    attempt = prompt_tuning._attempt

    def full(encoder: Any, tower: Any, *rest: Any) -> Any:
        if not asked:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attempt(encoder, tower, *rest)

    monkeypatch.setattr(prompt_tuning, "_attempt", full)
    result = tune_prompts(mine, PROMPTS, [scene()], options=FAST)
    assert asked == [torch.device("cpu")]
    assert result.device == "cpu"
    assert result.kept
    assert "is full: prompts are tuned on the CPU" in result.notices[0]


def test_strokes_of_one_plane_become_a_sample() -> None:
    features = scene().features
    box = np.ones((5, 5), dtype=bool)
    strokes = [
        Stroke.from_mask(box, 1, plane=2, offset=(10, 10)),
        Stroke.from_mask(box, 0, plane=2, offset=(30, 40)),
        Stroke.from_mask(box, 2, plane=1),
    ]
    sample = TuningSample.from_corrections(features, Corrections().with_added(strokes), 2, per_stroke=7)
    assert sorted(sample.values) == [0] * 7 + [1] * 7
    assert len(np.unique(sample.strokes)) == 2
    inside = sample.values == 1
    assert ((sample.rows[inside] >= 10) & (sample.rows[inside] < 15)).all()
    assert not sample.complete


def three_things(seed: int = 0) -> tuple[TuningSample, DenseFeatures]:
    """Three bands; the words name the third rightly and mix up the others, of which strokes are at hand."""
    words = functional.normalize(TinyTower().encode_with_slots(["cat", "dog", "cow"], None), dim=-1)
    cat, dog, cow = words
    bands = torch.stack([0.6 * dog + 0.7 * cow, 0.6 * cat + 0.7 * cow, cow + 0.3 * (cat + dog)])
    grid = bands.repeat_interleave(4, dim=0)[None].expand(12, 12, LENGTH)
    grid = grid + 0.15 * torch.randn(12, 12, LENGTH, generator=torch.Generator().manual_seed(seed))
    grid = functional.normalize(grid, dim=-1)
    features = DenseFeatures(grid, grid.clone(), grid.mean((0, 1)), (96, 96), "tuning-tests")
    labels = np.repeat(np.array([1, 2, 3]), 32)[None].repeat(96, axis=0)
    return TuningSample.from_labels(features, np.where(labels == 3, 255, labels), seed=seed), features


def belief_in_cow(options: TuningOptions) -> float:
    """Mean probability of a cow where there is one, after tuning the other two."""
    sample, features = three_things()
    prompts = PromptSet.from_text("cat, dog, cow", background=())
    learned = tune_prompts(encoder(), prompts, [sample], options=options).candidate.learned
    assert learned is not None
    cow = TinyTower().encode_with_slots(["cow"], None)[0]
    vectors = torch.stack([torch.tensor(learned.vector(1)), torch.tensor(learned.vector(2)), cow])
    logits = TinyEncoder.logit_scale * learned.scale * (features.semantic[:, 8:] @ vectors.T)
    return float(logits.softmax(dim=-1)[..., 2].mean())


def test_classes_nobody_painted_are_protected() -> None:
    options = TuningOptions(steps=60, rate=0.05, anchor=0.0, warm_start=0.0, pseudo_labels=0.0, global_refining=False)
    alone, protected = (belief_in_cow(replace(options, keep_others=w)) for w in (0.0, 60.0))
    assert protected > alone


def test_the_orthogonal_loss_sets_the_views_apart() -> None:
    together, apart = (
        tune_prompts(encoder(), PROMPTS, [scene()], options=replace(FAST, orthogonal=w)).candidate.learned
        for w in (0.0, 5.0)
    )

    def alike(learned: Any) -> float:
        rows = functional.normalize(torch.tensor(learned.views[1]), dim=-1)
        return float((rows @ rows.T)[*np.triu_indices(3, 1)].abs().mean())

    assert alike(apart) < alike(together)


def test_tuning_begins_exactly_at_the_words() -> None:
    result = tune_prompts(encoder(), PROMPTS, [scene()], options=TuningOptions(steps=1, rate=1e-8))
    assert result.candidate.learned is not None
    word = TinyTower().encode_with_slots(["cat"], None)[0].numpy()
    assert np.allclose(result.candidate.learned.vector(1), word, atol=1e-5)
    assert result.drift["cat"] == pytest.approx(0, abs=1e-6)


def test_nothing_of_a_tuning_is_held_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[bool] = []
    made: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(all(m() is None for m in made)))
    real = prompt_tuning.TuningModel

    def watched(*given: Any) -> Any:
        model = real(*given)
        made.append(weakref.ref(model))
        return model

    monkeypatch.setattr(prompt_tuning, "TuningModel", watched)
    result = tune_prompts(encoder(), PROMPTS, [scene()], options=replace(FAST, steps=2))
    assert made
    assert result.candidate.learned is not None
    # what the model held was let go before the device's memory was given back
    assert emptied == [True]
