"""Which modalities a prompt set was made with, as plain JSON in its ``metadata["modalities"]``.

One note for each: ``{"name": "nir", "kind": "nir", "weight": 1.0}``, in the user's order. Weights decide how late
fusion counts each modality (`segmentation.fusion`), so two sets that differ in them give different masks although they
are equal otherwise; `modality_notes` tells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import Modality, ModalityKind

KEY = "modalities"


@dataclass(frozen=True)
class ModalityNote:
    """What a prompt set knows of one modality.

    Parameters
    ----------
    name : str
        A layer's name, or the one given on the command line.
    kind : ModalityKind
    weight : float
        How much it counts beside the others; 0 leaves it out.

    Raises
    ------
    InputError
        Without a name, for an unknown kind, or for a weight that is negative or no number.
    """

    name: str
    kind: ModalityKind = "auto"
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError("A modality needs a name.")
        if self.kind not in get_args(ModalityKind):
            raise InputError(
                f"{self.kind!r} is no kind of modality: use one of {', '.join(get_args(ModalityKind))} "
                f"for {self.name!r}."
            )
        if not isinstance(self.weight, int | float) or not (math.isfinite(self.weight) and self.weight >= 0):
            raise InputError(f"The weight of {self.name!r} is {self.weight!r}; it must be 0 or more.")


def modality_notes(metadata: Mapping[str, Any]) -> tuple[ModalityNote, ...]:
    """The notes in a prompt set's metadata, in order; none where it was made with one picture alone.

    Raises
    ------
    InputError
        If they are not of the form above.
    """
    entries = metadata.get(KEY, [])
    if not isinstance(entries, list):
        raise InputError(f"its modalities are no list but {type(entries).__name__}")
    notes = []
    for entry in entries:
        if not isinstance(entry, dict) or not {"name", "kind", "weight"} <= set(entry):
            raise InputError(f"{entry!r} is no note of a modality")
        notes.append(ModalityNote(entry["name"], entry["kind"], entry["weight"]))
    if len({note.name for note in notes}) < len(notes):
        raise InputError("two of its modalities have one name")
    return tuple(notes)


def with_modality_notes(metadata: Mapping[str, Any], notes: Sequence[ModalityNote]) -> dict[str, Any]:
    """The metadata with these notes for all that were there."""
    rest = {k: v for k, v in metadata.items() if k != KEY}
    return {**rest, KEY: [asdict(note) for note in notes]} if notes else rest


def usual_weights(kinds: Sequence[str]) -> list[float]:
    """How much modalities of these kinds count unless someone says otherwise: beside colour, others half.

    Words were learned on colour pictures. `docs/modalities.md` has what that is measured on.
    """
    return [0.5 if "rgb" in kinds and kind != "rgb" else 1.0 for kind in kinds]


def matched(modalities: Sequence[Modality], notes: Sequence[ModalityNote]) -> list[int | None]:
    """Which note speaks of which modality: by name, else by a kind that is there once, else first for first.

    Parameters
    ----------
    modalities : sequence of Modality
        Of a new picture, whose layers or files may have other names than those of the picture learned on.
    notes : sequence of ModalityNote

    Returns
    -------
    list of int or None
        Number of the note per modality; None where none speaks of it.
    """
    found: list[int | None] = [next((j for j, n in enumerate(notes) if n.name == m.name), None) for m in modalities]
    kinds = [m.shown_kind for m in modalities]
    free = [j for j in range(len(notes)) if j not in found]
    for i, kind in enumerate(kinds):
        fitting = [j for j in free if notes[j].kind == kind]
        rivals = [k for k, other in enumerate(kinds) if other == kind and found[k] is None]
        if found[i] is None and kind not in ("auto", "other") and len(fitting) == len(rivals) == 1:
            found[i] = fitting[0]
            free.remove(fitting[0])
    if found and found[0] is None and 0 in free:
        found[0] = 0
    return found
