"""What a region is, in words that can be edited: the attributes, the name, the candidates for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_promptseg.concepts.sentence import concept_sentence
from napari_promptseg.errors import InputError

if TYPE_CHECKING:  # a concept is shown in the window's thread, where torch must not be loaded
    from napari_promptseg.encoders.encoder import Familiarity

#: Attributes in the order of the sentence.
ATTRIBUTES = ("number", "size", "shape", "texture", "intensity", "colour", "contrast", "margin", "location")

#: Under this chance of being said again a word is switched off: kept for the user to see, out of the sentence.
SURE = 0.5

_FORMAT = 1


@dataclass(frozen=True)
class Attribute:
    """One property in one word.

    Parameters
    ----------
    kind : str
        One of `ATTRIBUTES`.
    word : str
        For example ``"round"``; the user may write another one.
    confidence : float
        Chance, in ``[0, 1]``, that the same region drawn a second time gets the same word; 1 for a word of the user.
    measured : tuple of float
        The numbers behind the word; empty for a word of the user.
    unit : str
        What the numbers are.
    enabled : bool
        Whether the word is part of the sentence.
    source : str
        Which larger model said the word; empty where it was measured or is the user's. The confidence is then the
        model's own statement.
    """

    kind: str
    word: str
    confidence: float
    measured: tuple[float, ...] = ()
    unit: str = ""
    enabled: bool = True
    source: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ATTRIBUTES:
            raise InputError(f"There is no attribute {self.kind!r}: there are {', '.join(ATTRIBUTES)}.")
        if not 0 <= self.confidence <= 1:
            raise InputError(f"The confidence of {self.kind!r} must be a number from 0 to 1, not {self.confidence}.")


@dataclass(frozen=True)
class Candidate:
    """A name that the region may have.

    Parameters
    ----------
    name : str
    confidence : float
        Share, in ``[0, 1]``, among the names offered and "none of them".
    familiarity : {"known", "related", "unknown"}
        How well the model knows the name; figures of names that are not known say little.
    source : str
        Which larger model offered the name; empty for the image-text model.
    """

    name: str
    confidence: float
    familiarity: Familiarity = "known"
    source: str = ""


@dataclass(frozen=True)
class Concept:
    """A region in words.

    Parameters
    ----------
    attributes : tuple of Attribute
        At most one of a kind.
    name : str
        In any language; empty for none, which reads as "region".
    plural : str
        For more than one; empty to form it as English does.
    image_kind : str
        What kind of picture it was found in; empty where unknown.
    candidates : tuple of Candidate
        Best first.
    left_out : dict of str to str
        Attribute to the reason why there is no word for it.
    notices : tuple of str
        What the user should know, one sentence each.
    written : str
        The sentence in the user's own words; empty where it is made of the attributes.

    Examples
    --------
    >>> number = Attribute("number", "one", 1.0)
    >>> Concept((number, Attribute("shape", "round", 0.9)), "polyp").sentence()
    'one round polyp'
    """

    attributes: tuple[Attribute, ...]
    name: str = ""
    plural: str = ""
    image_kind: str = ""
    candidates: tuple[Candidate, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    written: str = ""

    def __post_init__(self) -> None:
        kinds = [a.kind for a in self.attributes]
        twice = next((k for k in kinds if kinds.count(k) > 1), None)
        if twice:
            raise InputError(f"The attribute {twice!r} is there twice: a concept has one word for each.")

    def attribute(self, kind: str) -> Attribute | None:
        """The attribute of that kind; None where it was left out."""
        return next((a for a in self.attributes if a.kind == kind), None)

    def word(self, kind: str) -> str:
        """The enabled word of that kind, or an empty text."""
        found = self.attribute(kind)
        return found.word if found is not None and found.enabled else ""

    def sentence(self) -> str:
        """The conceptual sentence, for example ``"one small round bright polyp, located in the upper left"``."""
        made = concept_sentence({kind: self.word(kind) for kind in ATTRIBUTES}, self.name, self.plural)
        return self.written or made

    def with_name(self, name: str, plural: str = "") -> Concept:
        """Another name, and its plural where English would form another one; a sentence of the user's takes it over."""
        said = " ".join(name.split())
        written = self.written.replace(self.name, said) if self.name and said else self.written
        return replace(self, name=said, plural=" ".join(plural.split()), written=written)

    def with_sentence(self, sentence: str) -> Concept:
        """The sentence in the user's own words, until a word is changed; an empty one is made of the attributes."""
        said = replace(self, written="")
        written = " ".join(sentence.split())
        return said if written == said.sentence() else replace(self, written=written)

    def with_word(self, kind: str, word: str) -> Concept:
        """A word of the user's own; an empty one switches the attribute off."""
        said = " ".join(word.split())
        before = self.attribute(kind)
        if not said:
            return self.with_enabled(kind, False) if before is not None else self
        new = Attribute(kind, said, 1.0)
        others = {a.kind: a for a in self.attributes} | {kind: new}
        left_out = {k: why for k, why in self.left_out.items() if k != kind}
        attributes = tuple(others[k] for k in ATTRIBUTES if k in others)
        return replace(self, attributes=attributes, left_out=left_out, written="")

    def with_enabled(self, kind: str, enabled: bool) -> Concept:
        """Take a word into the sentence or out of it.

        Raises
        ------
        InputError
            If there is no word of that kind.
        """
        if self.attribute(kind) is None:
            raise InputError(f"The concept has no word for {kind!r}: write one first.")
        attributes = tuple(replace(a, enabled=enabled) if a.kind == kind else a for a in self.attributes)
        return replace(self, attributes=attributes, written="")

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `from_dict` reads them back."""
        return {
            "format": _FORMAT,
            "sentence": self.sentence(),
            "name": self.name,
            "plural": self.plural,
            "image_kind": self.image_kind,
            "attributes": [{**asdict(a), "measured": list(a.measured)} for a in self.attributes],
            "candidates": [asdict(c) for c in self.candidates],
            "left_out": dict(self.left_out),
            "notices": list(self.notices),
            "written": self.written,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Concept:
        """Read what `as_dict` gave; the sentence is made anew, and entries that are not ours are passed over.

        Raises
        ------
        InputError
            If something is missing or of another type.
        """
        try:
            if values.get("format", _FORMAT) != _FORMAT:
                raise InputError(
                    f"The concept has the format {values['format']!r}, but this version reads {_FORMAT}: update it."
                )
            return cls(
                attributes=tuple(
                    Attribute(
                        kind=_text(a["kind"]),
                        word=_text(a["word"]),
                        confidence=float(a["confidence"]),
                        measured=tuple(float(x) for x in a.get("measured", ())),
                        unit=_text(a.get("unit", "")),
                        enabled=_truth(a.get("enabled", True)),
                        source=_text(a.get("source", "")),
                    )
                    for a in values["attributes"]
                ),
                name=_text(values.get("name", "")),
                plural=_text(values.get("plural", "")),
                image_kind=_text(values.get("image_kind", "")),
                candidates=tuple(
                    Candidate(
                        _text(c["name"]),
                        float(c["confidence"]),
                        _level(c.get("familiarity", "known")),
                        _text(c.get("source", "")),
                    )
                    for c in values.get("candidates", ())
                ),
                left_out={_text(k): _text(v) for k, v in dict(values.get("left_out", {})).items()},
                notices=tuple(_text(n) for n in values.get("notices", ())),
                written=_text(values.get("written", "")),
            )
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"This is no concept as this program writes it ({reason}).") from error

    def to_json(self) -> str:
        """The concept as JSON text."""
        return json.dumps(self.as_dict(), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Concept:
        """Read what `to_json` gave; `InputError` if it is something else."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise InputError(f"The concept is no JSON ({error}).") from error
        if not isinstance(values, dict):
            raise InputError("The concept is no JSON object.")
        return cls.from_dict(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _level(value: Any) -> Familiarity:
    if value == "known":
        return "known"
    if value == "related":
        return "related"
    if value == "unknown":
        return "unknown"
    raise ValueError(f"{value!r} is none of known, related and unknown")
