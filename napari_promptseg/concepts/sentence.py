"""The conceptual sentence: number, size, shape, look and place around a name.

The order follows the template of He et al. ("conceptual text prompts", Engineering 2026):
``{number} {shape} {size} {color} {keyword}, located in the {location} of the image``, with size before shape, as
English has it.
"""

from __future__ import annotations

from collections.abc import Mapping

from napari_promptseg.concepts.grammar import is_plural, is_stuff, plural
from napari_promptseg.prompts.templates import with_article

#: What a region is called that has no name.
NAMELESS = "region"

#: Words for an amount that are followed by the singular.
_ONE = frozenset({"one", "1", "a", "an", "single", "a single"})

_ADJECTIVES = ("size", "shape", "texture", "intensity", "colour", "contrast")


def concept_sentence(words: Mapping[str, str], name: str = "", plural_name: str = "") -> str:
    """Make the sentence.

    Parameters
    ----------
    words : mapping of str to str
        Attribute to word; empty or missing ones are left out.
    name : str
        Kept as it is, but for the plural of an English name.
    plural_name : str
        The name for more than one, where English would form another.

    Returns
    -------
    str
        Without a full stop, so that it fits a template.
    """
    number = words.get("number", "")
    noun = name or NAMELESS
    before = [words.get(kind, "") for kind in _ADJECTIVES]
    if not number:
        # no amount: one thing with an article, and nothing before a name that takes none
        phrase = _joined([*before, noun])
        phrase = phrase if is_stuff(noun) or is_plural(noun) else with_article(phrase) if _plain(phrase) else phrase
    elif number.casefold() in _ONE:
        if is_stuff(noun):
            phrase = _joined([number, *before, "area of", noun])
        else:
            # "one nuclei" is no English, and the user's word stays
            phrase = _joined([*([] if is_plural(noun) else [number]), *before, noun])
    elif plural_name:
        phrase = _joined([number, *before, plural_name])
    elif is_stuff(noun):
        phrase = _joined([number, *before, "areas of", noun])
    else:
        phrase = _joined([number, *before, plural(noun)])
    margin = words.get("margin", "")
    if margin:
        phrase = f"{phrase} with {with_article(f'{margin} margin')}"
    location = words.get("location", "")
    if not location:
        return phrase
    if location.startswith("spread"):
        return f"{phrase}, {location}"
    return f"{phrase}, located in the {location}"


def _joined(parts: list[str]) -> str:
    return " ".join(part for part in parts if part)


def _plain(phrase: str) -> bool:
    """Whether the phrase may take an English article: its first word is written in Latin letters."""
    return phrase.split()[0].isascii()
