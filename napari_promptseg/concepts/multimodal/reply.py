"""From a model's reply to words: the text is data, and only what the schema allows is taken from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_promptseg.concepts.multimodal.plain_words import attribute_word, name_words
from napari_promptseg.concepts.multimodal.question import CHOICES, IMAGE_KINDS, MOST_NAMES, Question

#: Longest reply that is read, in letters; a right one has a few hundred.
MOST_LETTERS = 16_384
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)


class UnusableReplyError(Exception):
    """The reply holds nothing of what was asked; the message is a clause such as "no JSON object"."""


@dataclass(frozen=True)
class Said:
    """One word, or name, and how sure the model says it is, in ``[0, 1]``."""

    word: str
    confidence: float


@dataclass(frozen=True)
class Reply:
    """What a reply holds of what was asked.

    Parameters
    ----------
    words : mapping of str to Said
        By attribute.
    names : tuple of Said
        Best first, each once.
    image_kind : str
        Empty where the model cannot tell.
    refused : mapping of str to str
        Attribute to the reason why there is no word for it.
    """

    words: Mapping[str, Said] = field(default_factory=dict)
    names: tuple[Said, ...] = ()
    image_kind: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


def read_reply(text: str, question: Question) -> Reply:
    """Take from a reply what was asked and is well formed.

    Parameters
    ----------
    text : str
        As the model wrote it; a fence or talk around one JSON object is passed over.
    question : Question

    Raises
    ------
    UnusableReplyError
        If there is no JSON object, or nothing in it can be used.
    """
    values = _object_in(text)
    words: dict[str, Said] = {}
    refused: dict[str, str] = {}
    for kind in question.kinds:
        if values.get(kind) is None:
            refused[kind] = "not told"
            continue
        said = _said(values[kind], "word")
        word = attribute_word(said.word) if said is not None else None
        if said is None or word is None:
            refused[kind] = "not a plain word"
        elif CHOICES[kind] and word not in CHOICES[kind]:
            refused[kind] = "not one of the words to choose from"
        else:
            words[kind] = Said(word, said.confidence)
    names = _names(values.get("names"))
    told = values.get("image_kind")
    reply = Reply(words, names, told if isinstance(told, str) and told in IMAGE_KINDS else "", refused)
    if not words and not names:
        raise UnusableReplyError("none of the fields that were asked for")
    return reply


def _object_in(text: str) -> dict[str, Any]:
    """The reply's one JSON object."""
    if len(text) > MOST_LETTERS:
        raise UnusableReplyError("far too much text")
    # thinking models put their thoughts before the answer
    answer = text.rsplit("</think>", 1)[-1].strip()
    attempts = [answer, *_FENCE.findall(answer)]
    first, last = answer.find("{"), answer.rfind("}")
    if 0 <= first < last:
        attempts.append(answer[first : last + 1])
    for attempt in attempts:
        try:
            values = json.loads(attempt)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            return values
    raise UnusableReplyError("no JSON object" if answer else "no text")


def _said(value: Any, key: str) -> Said | None:
    """A pair of word and confidence; None unless it is exactly that."""
    if not isinstance(value, dict) or not isinstance(value.get(key), str):
        return None
    confidence = value.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return None
    if not 0 <= confidence <= 1:
        return None
    return Said(value[key], float(confidence))


def _names(values: Any) -> tuple[Said, ...]:
    found: dict[str, Said] = {}
    for value in values[:MOST_NAMES] if isinstance(values, list) else ():
        said = _said(value, "name")
        name = name_words(said.word) if said is not None else None
        if said is not None and name is not None:
            found.setdefault(name.casefold(), Said(name, said.confidence))
    return tuple(sorted(found.values(), key=lambda n: -n.confidence))
