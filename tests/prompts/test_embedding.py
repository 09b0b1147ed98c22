"""From prompt sets to vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
import torch
from torch.nn import functional

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.embedding import SentenceMemory, embed_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.templates import sentences


class Teller:
    """An encoder whose vectors depend on the sentence only, and which counts what it is asked."""

    name, device, embedding_dim = "teller", torch.device("cpu"), 16

    def __init__(self, fingerprint: str = "one") -> None:
        self.fingerprint = fingerprint
        self.calls: list[list[str]] = []

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.calls.append(list(texts))
        return torch.stack([self.vector(t) for t in texts])

    def vector(self, text: str) -> torch.Tensor:
        seed = int.from_bytes(hashlib.blake2b((self.fingerprint + text).encode(), digest_size=6).digest(), "big")
        return functional.normalize(torch.randn(16, generator=torch.Generator().manual_seed(seed)), dim=0)

    def mean(self, *names: str) -> torch.Tensor:
        rows = [
            functional.normalize(torch.stack([self.vector(s) for s in sentences(n)]).mean(dim=0), dim=0) for n in names
        ]
        return functional.normalize(torch.stack(rows).mean(dim=0), dim=0)


class Preferring(Teller):
    preferred_templates = ("{}", "some {}")


def embed(encoder: Teller, text: str, memory: SentenceMemory | None = None, **keywords):
    prompts = PromptSet.from_text(text, **keywords)
    return embed_prompts(encoder, prompts, memory=memory or SentenceMemory())


def test_a_class_is_the_mean_over_its_sentences_and_synonyms() -> None:
    encoder = Teller()
    result = embed(encoder, "cat, sofa | couch", background=("sky", "wall"))
    assert [tuple(v.shape) for v in result.class_vectors] == [(1, 16), (1, 16)]
    torch.testing.assert_close(result.class_vectors[0][0], encoder.mean("cat"))
    torch.testing.assert_close(result.class_vectors[1][0], encoder.mean("sofa", "couch"))
    torch.testing.assert_close(result.background, torch.stack([encoder.mean("sky"), encoder.mean("wall")]))
    assert result.fingerprint == "one"


def test_synonyms_stay_apart_where_the_best_counts() -> None:
    encoder = Teller()
    result = embed(encoder, "cat, sofa | couch | settee", pooling="max")
    assert [len(v) for v in result.class_vectors] == [1, 3]
    torch.testing.assert_close(result.class_vectors[1][1], encoder.mean("couch"))


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_vectors_have_unit_length(pooling: str) -> None:
    result = embed(Teller(), "cat, sofa | couch, 猫", pooling=pooling)
    for vectors in [*result.class_vectors, result.background]:
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(vectors)))


def test_an_edited_class_costs_one_call_with_its_own_sentences() -> None:
    encoder, memory = Teller(), SentenceMemory()
    embed(encoder, "cat, sofa, wall", memory)
    assert len(encoder.calls) == 1
    embed(encoder, "cat, sofa, wall", memory)
    assert len(encoder.calls) == 1
    embed(encoder, "cat, dog, wall", memory)
    assert encoder.calls[1:] == [sentences("dog")]


def test_models_do_not_share_sentences() -> None:
    memory = SentenceMemory()
    one = embed(Teller("one"), "cat", memory)
    other = embed(Teller("two"), "cat", memory)
    assert not torch.allclose(one.class_vectors[0], other.class_vectors[0])


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    encoder, memory = Teller(), SentenceMemory(most=5)
    memory.embed(encoder, ["a", "b", "c"])
    memory.embed(encoder, ["a", "d", "e", "f"])
    encoder.calls.clear()
    memory.embed(encoder, ["a", "d", "e", "f"])
    assert not encoder.calls
    memory.embed(encoder, ["b"])
    assert encoder.calls == [["b"]]
    # more at once than fits still answers
    assert memory.embed(encoder, [str(i) for i in range(9)]).shape == (9, 16)
    memory.clear()
    encoder.calls.clear()
    memory.embed(encoder, ["a"])
    assert encoder.calls == [["a"]]


def test_repeated_sentences_are_encoded_once() -> None:
    encoder = Teller()
    rows = SentenceMemory().embed(encoder, ["a", "b", "a"])
    assert encoder.calls == [["a", "b"]]
    torch.testing.assert_close(rows[0], rows[2])


def test_no_background_and_no_sentence() -> None:
    result = embed(Teller(), "cat", background=())
    assert result.background.shape == (0, 16)
    assert SentenceMemory().embed(Teller(), []).shape == (0, 16)


def test_an_encoder_may_prefer_its_own_sentences() -> None:
    encoder = Preferring()
    embed(encoder, "red  cat", background=())
    assert encoder.calls == [["red cat", "some red cat"]]


def test_the_image_kind_chooses_the_sentences() -> None:
    encoder = Teller()
    embed(encoder, "polyp", background=(), image_kind="endoscopy")
    assert encoder.calls == [sentences("polyp", "endoscopy")]


@pytest.mark.parametrize("encoder", [Teller(), Preferring()])
def test_an_empty_background_word_is_refused(encoder: Teller) -> None:
    with pytest.raises(InputError, match="at least one word"):
        embed(encoder, "cat", background=("sky", " "))
