"""One drawn region: where it is, what it is in words, and the class it speaks for. No widget in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.concept import ATTRIBUTES, Attribute, Concept
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.region_notes import region_note

if TYPE_CHECKING:
    from napari_promptseg.gui.layers import PlaneSource

#: Which card a note belongs to, so that a state of the history finds it again.
_CARD = "card"


@dataclass(eq=False)
class DrawnConcept:
    """What a card shows.

    Parameters
    ----------
    concept : Concept, optional
        None until it has been described.
    positive : bool
        Whether it shows its class, or what is not.
    value : int, optional
        Class it speaks for; None for none yet.
    source : PlaneSource, optional
        The plane it was drawn on; None where it comes from a file.
    mask : numpy.ndarray, optional
        ``(Y, X)`` bool.
    image : int
        Id of its image layer; 0 for none.
    shape : str
        Key of its drawn shape; empty where there is none.
    thumbnail : numpy.ndarray, optional
        ``(y, x, 3)`` uint8, with the outline.
    trouble : str
        Why there is no concept, in one sentence.
    note : mapping, optional
        What a file said of it, kept where it cannot be read.
    """

    concept: Concept | None = None
    positive: bool = True
    value: int | None = None
    source: PlaneSource | None = None
    mask: npt.NDArray[np.bool_] | None = None
    image: int = 0
    shape: str = ""
    thumbnail: npt.NDArray[np.uint8] | None = None
    trouble: str = ""
    note: Mapping[str, Any] | None = None
    id: str = field(default_factory=lambda: uuid4().hex[:12])

    @classmethod
    def from_note(cls, note: Mapping[str, Any]) -> DrawnConcept:
        """From a prompt set's notes, without a picture."""
        card = cls(note=note, id=str(note.get(_CARD) or uuid4().hex[:12]))
        card.take(note)
        return card

    def take(self, note: Mapping[str, Any]) -> None:
        """Become what a note says; what cannot be read leaves a sentence."""
        self.value, self.positive = int(note["class"]), bool(note["positive"])
        try:
            self.concept, self.trouble = Concept.from_dict(note["concept"]), ""
        except InputError as error:
            if self.concept is None:
                self.trouble = str(error)

    def as_note(self) -> dict[str, Any]:
        """For the prompt set of its class."""
        assert self.value is not None  # cards without a class are in no prompt set
        if self.concept is not None:
            said: Mapping[str, Any] = self.concept.as_dict()
        else:
            said = self.note["concept"] if self.note is not None else {}
        return {**region_note(self.value, said, positive=self.positive), _CARD: self.id}

    @property
    def sentence(self) -> str:
        """The conceptual sentence; empty while there is none."""
        return "" if self.concept is None else self.concept.sentence()


def card_of(note: Mapping[str, Any]) -> str:
    """Id of the card that a note belongs to; empty in notes that no dock wrote."""
    found = note.get(_CARD, "")
    return found if isinstance(found, str) else ""


def with_edits(new: Concept, before: Concept | None) -> Concept:
    """A concept measured anew, with the user's words, name and switches of the one before.

    A switch is kept where the word is the same; a word of the user's own always.
    """
    if before is None:
        return new
    kept = {a.kind: a for a in new.attributes}
    for old in before.attributes:
        if is_own(old):
            kept[old.kind] = old
        elif old.kind in kept and kept[old.kind].word == old.word:
            kept[old.kind] = replace(kept[old.kind], enabled=old.enabled)
    attributes = tuple(kept[kind] for kind in ATTRIBUTES if kind in kept)
    left_out = {kind: why for kind, why in new.left_out.items() if kind not in kept}
    return replace(new, attributes=attributes, left_out=left_out).with_name(before.name, before.plural)


def is_own(attribute: Attribute) -> bool:
    """Whether the word is the user's."""
    return not attribute.measured and not attribute.source
