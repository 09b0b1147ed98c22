"""What counts as a word: a few letters. Anything else in a model's reply is no word and is not used."""

from __future__ import annotations

import re
import unicodedata

#: Longest attribute and name, in letters and in words.
ATTRIBUTE_LETTERS, ATTRIBUTE_WORDS = 30, 2
NAME_LETTERS, NAME_WORDS = 60, 5

_ENGLISH = re.compile(r"[a-z]+(?:[-'][a-z]+)*(?: [a-z]+(?:[-'][a-z]+)*)*")
#: Said where there is nothing to say; no property of a thing.
_NOTHING = (
    "none null nil unknown unclear unsure uncertain undetermined indeterminate unidentified unspecified undefined "
    "na other nothing region object thing area image picture word string"
)
#: Words of replies that talk to the reader instead of naming something.
_TALK = (
    "ignore disregard instruction instructions prompt system assistant user sorry cannot can't can please previous "
    "following answer answers output response execute run delete print password you your i i'm my we the is are not "
    "unable json schema http https www script"
)
_NOTHING_SET, _TALK_SET = frozenset(_NOTHING.split()), frozenset(_TALK.split())


def attribute_word(text: str) -> str | None:
    """An English word or two in small letters; None if the text is something else."""
    said = " ".join(unicodedata.normalize("NFC", text).split(" ")).strip().casefold()
    if not said or len(said) > ATTRIBUTE_LETTERS or not _ENGLISH.fullmatch(said):
        return None
    parts = said.split(" ")
    return said if len(parts) <= ATTRIBUTE_WORDS and _says_something(parts) else None


def name_words(text: str) -> str | None:
    """A name of a few words in any language; None if the text is something else."""
    said = unicodedata.normalize("NFC", text).strip(" ")
    if not said or len(said) > NAME_LETTERS or not any(c.isalpha() for c in said):
        return None
    # letters and their marks, digits, spaces; no control, bidirectional or markup character
    if not all(unicodedata.category(c)[0] in "LM" or c.isdecimal() or c in " -'’" for c in said):
        return None
    parts = said.casefold().replace("’", "'").split()
    return " ".join(said.split()) if len(parts) <= NAME_WORDS and _says_something(parts) else None


def _says_something(parts: list[str]) -> bool:
    return not _TALK_SET.intersection(parts) and not (len(parts) == 1 and parts[0] in _NOTHING_SET)
