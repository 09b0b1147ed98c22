"""The words that each attribute may say, to choose from when one is corrected."""

from __future__ import annotations

from napari_promptseg.concepts.appearance import BRIGHTNESS, CONTRAST, TEXTURE
from napari_promptseg.concepts.colour import COLOUR_WORDS
from napari_promptseg.concepts.concept import ATTRIBUTES
from napari_promptseg.concepts.extent import MANY, SEVERAL, SIZES, number_word
from napari_promptseg.concepts.gradation import Gradation
from napari_promptseg.concepts.location import PLACE_WORDS
from napari_promptseg.concepts.margin import MARGIN
from napari_promptseg.concepts.shape import SHAPE_WORDS
from napari_promptseg.errors import InputError


def attribute_words(kind: str) -> tuple[str, ...]:
    """Every word that measuring may give for an attribute; the user may write others.

    Parameters
    ----------
    kind : str
        One of `concept.ATTRIBUTES`.

    Raises
    ------
    InputError
        If there is no such attribute.

    Examples
    --------
    >>> attribute_words("size")
    ('tiny', 'small', 'medium-sized', 'large')
    """
    if kind not in _WORDS:
        raise InputError(f"There is no attribute {kind!r}: there are {', '.join(ATTRIBUTES)}.")
    return _WORDS[kind]


def _said(gradation: Gradation) -> tuple[str, ...]:
    """Words of a gradation without the middle that says nothing."""
    return tuple(word for word in gradation.words if word)


_WORDS = {
    "number": tuple(number_word(count) for count in (1, 2, SEVERAL, MANY)),
    "size": _said(SIZES),
    "shape": SHAPE_WORDS,
    "texture": _said(TEXTURE),
    "intensity": _said(BRIGHTNESS),
    "colour": COLOUR_WORDS,
    "contrast": _said(CONTRAST),
    "margin": _said(MARGIN),
    "location": PLACE_WORDS,
}
