"""Another name for a class, also in what was said of the regions drawn for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import notes_of, with_notes


def renamed_class(prompts: PromptSet, value: int, name: str, synonyms: tuple[str, ...] = ()) -> PromptSet:
    """Give a class another name and other synonyms.

    Sentences that carry the old name are made anew with the new one; sentences with a name of the user's own, or that
    no region stands behind, stay as they are.

    Raises
    ------
    InputError
        If the name is empty or another class has it.
    """
    new = prompts.with_replaced(value, name=name, synonyms=synonyms)
    before = next((c for c in prompts.classes if c.value == value and c.name != name), None)
    if before is None:
        return new
    notes, changed = [], {}
    for note in notes_of(prompts.metadata):
        concept = _concept(note["concept"]) if note["class"] == value else None
        if concept is not None and concept.name.casefold() in ("", before.name.casefold()):
            after = concept.with_name(name)
            changed[concept.sentence()] = after.sentence()
            note = {**note, "concept": after.as_dict()}
        notes.append(note)
    said = tuple(dict.fromkeys(changed.get(s, s) for s in before.sentences))
    new = new.with_replaced(value, sentences=said)
    return replace(new, metadata=with_notes(prompts.metadata, notes))


def _concept(values: Mapping[str, Any]) -> Concept | None:
    """None for one that this version cannot read: it is kept as it is, and stands in no one's way."""
    try:
        return Concept.from_dict(values)
    except InputError:
        return None
