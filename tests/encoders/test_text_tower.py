"""Text towers: the library's own embeddings, and learned tokens in places of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import text_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_promptseg.encoders import text as text_module
from napari_promptseg.encoders.loading import load_directory
from napari_promptseg.encoders.text import SLOT, TextTower
from napari_promptseg.errors import InputError, ModelError

KINDS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "causal": text_models.causal,
    "custom causal": text_models.custom_causal,
    "eos pooled": text_models.eos_pooled,
    "siglip": text_models.siglip,
    "coca": text_models.coca_text,
}
SENTENCES = ["a photo of a cat.", "the big red dog and a small cat", "cell", "a photo of the wall, with a dog in it"]
CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any, TextTower]]:
    made = {}
    for name, make in KINDS.items():
        model, tokenizer = make()
        made[name] = (model, tokenizer, TextTower(model, tokenizer))
    for pooler in ("mean_pooler", "cls_pooler"):
        folder = tmp_path_factory.mktemp(pooler)
        text_models.write_bert_directory(folder, pooler)
        loaded = load_directory(Path(folder), pooler)
        model = loaded.model.eval().requires_grad_(False)
        made[f"bert {pooler}"] = (model, loaded.tokenizer, TextTower(model, loaded.tokenizer))
    return made


every_kind = pytest.mark.parametrize("kind", [*KINDS, "bert mean_pooler", "bert cls_pooler"])


def library(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    context = getattr(tokenizer, "context_length", 24)
    result = model.encode_text(tokenizer(texts, context_length=context))
    return functional.normalize(result[0] if isinstance(result, tuple) else result, dim=-1)


@every_kind
def test_sentences_get_the_librarys_embeddings(kind: str, towers: Any) -> None:
    model, tokenizer, tower = towers[kind]
    with torch.no_grad():
        torch.testing.assert_close(tower.encode(SENTENCES), library(model, tokenizer, SENTENCES), **CLOSE)


@every_kind
def test_padding_is_cut_only_where_that_changes_nothing(kind: str, towers: Any) -> None:
    _, _, tower = towers[kind]
    assert tower.trims == (kind in ("causal", "custom causal", "eos pooled") or kind.startswith("bert"))
    assert tower.causal == (kind in ("causal", "custom causal", "eos pooled", "coca"))
    # one at a time (shortest cut) as together (longest cut)
    together = tower.encode(SENTENCES)
    alone = torch.cat([tower.encode([s]) for s in SENTENCES])
    torch.testing.assert_close(together, alone, **CLOSE)


@every_kind
@pytest.mark.parametrize("place", ["a photo of a {} cat.", "{} cat", "the big red {}", "a photo of a cat, {}."])
def test_a_slot_holding_a_words_own_token_is_that_word(kind: str, place: str, towers: Any) -> None:
    _, _, tower = towers[kind]
    vectors = tower.token_vectors("dog")
    assert vectors.shape == (1, tower.slot_width)
    with torch.no_grad():
        filled = tower.encode_with_slots([place.format(SLOT)], vectors)
    torch.testing.assert_close(filled, tower.encode([place.format("dog")]), **CLOSE)


@every_kind
def test_several_slots_and_several_sentences(kind: str, towers: Any) -> None:
    _, _, tower = towers[kind]
    first, second = tower.token_vectors("big"), tower.token_vectors("red")
    both, swapped = torch.cat([first, second]), torch.cat([second, first])
    texts = [f"a photo of a {SLOT}{SLOT} cat.", f"the {SLOT} dog and {SLOT} cell"]
    with torch.no_grad():
        filled = tower.encode_with_slots(texts, torch.stack([both, swapped]))
    expected = tower.encode(["a photo of a big red cat.", "the red dog and big cell"])
    torch.testing.assert_close(filled, expected, **CLOSE)
    with torch.no_grad():
        shared = tower.encode_with_slots(texts, both)
    torch.testing.assert_close(shared[0], filled[0], **CLOSE)
    assert not torch.allclose(shared[1], filled[1], atol=1e-4)


@every_kind
def test_a_users_word_equal_to_a_stand_in_is_kept(kind: str, towers: Any) -> None:
    _, _, tower = towers[kind]
    with torch.no_grad():
        filled = tower.encode_with_slots([f"x q {SLOT} z j x dog cat"], tower.token_vectors("red"))
    torch.testing.assert_close(filled, tower.encode(["x q red z j x dog cat"]), **CLOSE)


@every_kind
def test_gradients_flow_into_the_slots_only(kind: str, towers: Any) -> None:
    model, _, tower = towers[kind]
    slots = tower.token_vectors("big").repeat(2, 1).requires_grad_(True)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    out = tower.encode_with_slots([f"a {SLOT} photo of a {SLOT} cat"], slots)
    (out @ direction).sum().backward()
    assert slots.grad is not None
    assert (slots.grad.norm(dim=1) > 0).all()
    assert all(p.grad is None for p in model.parameters())
    # and they are right: a step along the gradient goes up by its length
    with torch.no_grad():
        step = 1e-2 * slots.grad / slots.grad.norm()
        ahead = tower.encode_with_slots([f"a {SLOT} photo of a {SLOT} cat"], slots + step) @ direction
        behind = tower.encode_with_slots([f"a {SLOT} photo of a {SLOT} cat"], slots - step) @ direction
        slope = float((ahead - behind) / (2 * step.norm()))
    assert slope == pytest.approx(float(slots.grad.norm()), rel=0.05)


@every_kind
def test_no_hook_stays_behind(kind: str, towers: Any) -> None:
    model, tokenizer, tower = towers[kind]
    with torch.no_grad():
        before = library(model, tokenizer, SENTENCES)
        tower.encode_with_slots([f"a {SLOT} cat"], torch.ones(1, tower.slot_width))
        torch.testing.assert_close(library(model, tokenizer, SENTENCES), before, rtol=0, atol=0)


def test_sentences_without_slots_pass_through(towers: Any) -> None:
    _, _, tower = towers["causal"]
    torch.testing.assert_close(tower.encode_with_slots(SENTENCES, None), tower.encode(SENTENCES), **CLOSE)


def test_long_lists_go_in_batches(towers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, tower = towers["causal"]
    texts = [f"a photo of cell {i}" for i in range(23)]
    whole = tower.encode(texts)
    monkeypatch.setattr(text_module, "BATCH", 5)
    calls = []
    forward = tower._forward
    monkeypatch.setattr(tower, "_forward", lambda ids, *rest: calls.append(len(ids)) or forward(ids, *rest))
    torch.testing.assert_close(tower.encode(texts), whole, **CLOSE)
    assert calls == [5, 5, 5, 5, 3]
    assert tower.encode([]).shape == (0, 32)


@given(st.text(min_size=1, max_size=60).filter(lambda t: t.strip() and SLOT not in t))
@settings(max_examples=60, deadline=None)
def test_any_text_has_an_embedding_of_unit_length(text: str) -> None:
    vector = _CAUSAL.encode([text])
    assert torch.isfinite(vector).all()
    assert float(vector.norm()) == pytest.approx(1, abs=1e-4)


_CAUSAL = TextTower(*text_models.causal())


@pytest.mark.parametrize("text", ['a "quoted" cat', "кот", "猫とソファ", "🐈 on a sofa", "chat d'été", "a" * 500])
def test_quotes_scripts_emoji_and_long_words(text: str) -> None:
    assert torch.isfinite(_CAUSAL.encode([text])).all()
    assert not torch.allclose(_CAUSAL.encode([text]), _CAUSAL.encode(["a photo"]), atol=1e-3)


@pytest.mark.parametrize("bad", ["", "  ", "\n\t"])
def test_an_empty_text_is_refused(bad: str) -> None:
    with pytest.raises(InputError, match="empty"):
        _CAUSAL.encode(["cat", bad])


def test_a_bare_string_is_refused() -> None:
    with pytest.raises(InputError, match="list"):
        _CAUSAL.encode("cat")


def test_slots_must_fit_the_sentences() -> None:
    width = _CAUSAL.slot_width
    with pytest.raises(InputError, match="marks"):
        _CAUSAL.encode_with_slots([f"a {SLOT} cat"], torch.zeros(2, width))
    with pytest.raises(InputError, match="marks"):
        _CAUSAL.encode_with_slots([f"a {SLOT} cat", "a cat"], torch.zeros(1, width))
    with pytest.raises(InputError, match=f"needs {width}"):
        _CAUSAL.encode_with_slots([f"a {SLOT} cat"], torch.zeros(1, width + 1))
    with pytest.raises(InputError, match="2 sentences"):
        _CAUSAL.encode_with_slots([f"a {SLOT} cat", f"a {SLOT}"], torch.zeros(3, 1, width))
    with pytest.raises(InputError, match="too long"):
        _CAUSAL.encode_with_slots(["cat " * 40 + SLOT], torch.zeros(1, width))


def test_token_vectors_of_a_long_word_are_its_pieces() -> None:
    vectors = _CAUSAL.token_vectors("mitochondrial x cristae")
    assert len(vectors) > 2
    with torch.no_grad():
        filled = _CAUSAL.encode_with_slots(["the " + SLOT * len(vectors) + " here"], vectors)
    torch.testing.assert_close(filled, _CAUSAL.encode(["the mitochondrial x cristae here"]), **CLOSE)


def test_an_unknown_text_tower_is_named() -> None:
    class Chatty(torch.nn.Module):
        token_embedding = None
        context_length = 5

    with pytest.raises(ModelError, match="Chatty"):
        TextTower(Chatty(), text_models.clip_tokenizer())
