"""What was said of drawn regions, as plain JSON in a prompt set's ``metadata["regions"]``.

One note for each region: ``{"class": 1, "positive": true, "concept": {...}}``, where the concept is what
`concepts.concept.Concept.as_dict` gives. Only the outer form is looked at here; whoever shows a concept reads it with
`Concept.from_dict`, which checks the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_promptseg.errors import InputError

KEY = "regions"


def region_note(value: int, concept: Mapping[str, Any], *, positive: bool = True) -> dict[str, Any]:
    """The note of one region: the value of its class, its concept, and whether it shows the class or what is not."""
    return {"class": value, "positive": positive, "concept": dict(concept)}


def notes_of(metadata: Mapping[str, Any], value: int | None = None) -> list[dict[str, Any]]:
    """The notes in a prompt set's metadata, of one class where its value is given."""
    return [note for note in metadata.get(KEY, []) if value is None or note["class"] == value]


def with_notes(metadata: Mapping[str, Any], notes: list[dict[str, Any]]) -> dict[str, Any]:
    """The metadata with these notes for all that were there."""
    rest = {k: v for k, v in metadata.items() if k != KEY}
    return {**rest, KEY: notes} if notes else rest


def notes_without(metadata: Mapping[str, Any], value: int) -> dict[str, Any]:
    """The metadata without the notes of one class."""
    return with_notes(metadata, [note for note in notes_of(metadata) if note["class"] != value])


def renumbered_notes(metadata: Mapping[str, Any], values: Mapping[int, int]) -> dict[str, Any]:
    """The metadata for other class values, old to new; notes of classes that `values` does not hold are left out."""
    kept = [note for note in notes_of(metadata) if note["class"] in values]
    return with_notes(metadata, [{**note, "class": values[note["class"]]} for note in kept])


def checked_notes(metadata: Mapping[str, Any]) -> None:
    """Refuse notes that are not of the form above; `InputError` names what is wrong."""
    notes = metadata.get(KEY, [])
    if not isinstance(notes, list):
        raise InputError(f"its regions are no list but {type(notes).__name__}")
    for note in notes:
        value = note.get("class") if isinstance(note, dict) else None
        if not isinstance(value, int) or isinstance(value, bool):
            raise InputError(f"{note!r} is no note of a region")
        if not isinstance(note.get("positive"), bool) or not isinstance(note.get("concept"), dict):
            raise InputError(f"the note of a region of class {value} is incomplete")
