"""A class's new name reaches the sentences that carry the old one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_promptseg.concepts.concept import Attribute, Concept
from napari_promptseg.concepts.renaming import renamed_class
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import notes_of, region_note, with_notes

ROUND = (Attribute("number", "one", 1.0), Attribute("shape", "round", 0.9))


def with_region(name: str, *more: str) -> PromptSet:
    concept = Concept(ROUND, name)
    prompts = PromptSet.from_text("polyp, fold").with_replaced(1, sentences=(concept.sentence(), *more))
    return replace(prompts, metadata=with_notes({}, [region_note(1, concept.as_dict())]))


@pytest.mark.parametrize("name", ["polyp", "Polyp", ""])
def test_the_sentence_gets_the_new_name(name: str) -> None:
    new = renamed_class(with_region(name, "my own words of a polyp"), 1, "adenoma", ("growth",))
    assert new.classes[0].texts == ("adenoma", "growth")
    assert new.classes[0].sentences == ("one round adenoma", "my own words of a polyp")
    assert Concept.from_dict(notes_of(new.metadata, 1)[0]["concept"]).name == "adenoma"


def test_a_name_of_the_users_own_stays() -> None:
    new = renamed_class(with_region("lump"), 1, "adenoma")
    assert new.classes[0].sentences == ("one round lump",)


def test_other_classes_and_other_synonyms_change_no_sentence() -> None:
    assert renamed_class(with_region("polyp"), 2, "wall").classes[0].sentences == ("one round polyp",)
    assert renamed_class(with_region("polyp"), 1, "polyp", ("growth",)).classes[0].sentences == ("one round polyp",)


def test_a_note_that_cannot_be_read_stays_as_it_is() -> None:
    strange = replace(with_region("polyp"), metadata=with_notes({}, [region_note(1, {"format": 99})]))
    assert renamed_class(strange, 1, "adenoma").metadata == strange.metadata


def test_a_name_in_use_is_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        renamed_class(with_region("polyp"), 1, "Fold")
