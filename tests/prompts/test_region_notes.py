"""Sentences of drawn regions in a prompt set: embedded as they stand, kept with it, gone with their class."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.numpy
import torch
from torch.nn import functional

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.pairing import pair_by_name
from napari_promptseg.prompts.embedding import SentenceMemory, embed_prompts
from napari_promptseg.prompts.prompt_file import SavedPrompts, load_prompts, save_prompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import notes_of, region_note, with_notes

SAID = "one small round polyp, located in the upper left"
CONCEPT = {"format": 1, "name": "polyp", "attributes": []}


class Speaker:
    """An encoder whose vectors depend on the text only."""

    name, fingerprint, device, embedding_dim = "speaker", "one", torch.device("cpu"), 16
    preferred_templates = ("{}", "some {}")

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.stack([self.vector(t) for t in texts])

    def vector(self, text: str) -> torch.Tensor:
        seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
        return functional.normalize(torch.randn(16, generator=torch.Generator().manual_seed(seed)), dim=0)


def drawn() -> PromptSet:
    prompts = PromptSet.from_text("polyp, fold").with_replaced(1, sentences=(SAID,))
    notes = [region_note(1, CONCEPT), region_note(2, CONCEPT, positive=False)]
    return replace(prompts, metadata=with_notes({"other": 7}, notes))


def saved(prompts: PromptSet) -> SavedPrompts:
    return SavedPrompts(prompts, "speaker", "one")


def test_a_sentence_is_asked_as_it_stands_and_joins_the_name() -> None:
    encoder = Speaker()
    found = embed_prompts(encoder, drawn(), memory=SentenceMemory()).class_vectors
    name = functional.normalize(encoder.vector("polyp") + encoder.vector("some polyp"), dim=0)
    expected = functional.normalize(0.8 * name + 0.2 * encoder.vector(SAID), dim=0)
    torch.testing.assert_close(found[0][0], expected)
    plain = embed_prompts(encoder, PromptSet.from_text("polyp, fold"), memory=SentenceMemory()).class_vectors
    torch.testing.assert_close(found[1], plain[1])


def test_many_sentences_weigh_no_more_than_one() -> None:
    encoder, prompts = Speaker(), PromptSet.from_text("polyp")
    said = ["one round polyp", "one oval polyp", "two small polyps"]
    found = embed_prompts(encoder, prompts.with_replaced(1, sentences=tuple(said)), memory=SentenceMemory())
    name = functional.normalize(encoder.vector("polyp") + encoder.vector("some polyp"), dim=0)
    mean = functional.normalize(torch.stack([encoder.vector(s) for s in said]).mean(dim=0), dim=0)
    torch.testing.assert_close(found.class_vectors[0][0], functional.normalize(0.8 * name + 0.2 * mean, dim=0))


def test_a_sentence_stays_apart_where_the_best_text_counts() -> None:
    encoder = Speaker()
    found = embed_prompts(encoder, replace(drawn(), pooling="max"), memory=SentenceMemory()).class_vectors
    assert [len(v) for v in found] == [2, 1]
    torch.testing.assert_close(found[0][1], encoder.vector(SAID))


def test_sentences_change_what_a_set_is_and_notes_do_not() -> None:
    prompts = PromptSet.from_text("polyp, fold")
    assert drawn() != prompts
    assert replace(prompts, metadata=drawn().metadata) == prompts


def test_sentences_and_notes_come_back_from_a_file(tmp_path: Path) -> None:
    back = load_prompts(save_prompts(tmp_path / "a", saved(drawn()))).prompts
    assert back == drawn()
    assert back.classes[0].sentences == (SAID,)
    assert back.metadata == drawn().metadata


def rewritten(path: Path, change) -> Path:
    """The file with its head changed."""
    with safetensors.safe_open(path, "np") as file:
        head = json.loads(file.metadata()["promptseg"])
    change(head)
    path.write_bytes(safetensors.numpy.save({}, metadata={"promptseg": json.dumps(head)}))
    return path


def test_a_file_from_before_there_were_sentences_is_read(tmp_path: Path) -> None:
    def as_then(head) -> None:
        for entry in head["classes"]:
            del entry["sentences"]

    back = load_prompts(rewritten(save_prompts(tmp_path / "a", saved(PromptSet.from_text("cat"))), as_then)).prompts
    assert back == PromptSet.from_text("cat")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda head: head["classes"][0].update(sentences=[3]), "3 is no text"),
        (lambda head: head["classes"][0].update(sentences=[" "]), "a sentence of the class 'polyp' is empty"),
        (lambda head: head["prompt_metadata"].update(regions={}), "its regions are no list but dict"),
        (lambda head: head["prompt_metadata"].update(regions=["x"]), "'x' is no note of a region"),
        (lambda head: head["prompt_metadata"]["regions"][0].update(concept="x"), "of class 1 is incomplete"),
        (lambda head: head["prompt_metadata"]["regions"][1].pop("positive"), "of class 2 is incomplete"),
    ],
)
def test_a_file_with_other_things_in_their_place_is_refused(tmp_path: Path, change, reason: str) -> None:
    path = rewritten(save_prompts(tmp_path / "a", saved(drawn())), change)
    with pytest.raises(InputError, match="is damaged") as caught:
        load_prompts(path)
    assert reason in str(caught.value)


def test_notes_go_with_their_class() -> None:
    left = drawn().without(1)
    assert [note["class"] for note in notes_of(left.metadata)] == [2]
    assert left.without(2).metadata == {"other": 7}
    assert len(notes_of(drawn().metadata)) == 2


def test_notes_follow_a_class_to_the_id_of_a_pack() -> None:
    pack = PromptSet.from_text("nothing, polyp")
    paired, _ = pair_by_name(drawn(), pack)
    assert paired.classes[1].sentences == (SAID,)
    assert [note["class"] for note in notes_of(paired.metadata)] == [2]
