"""Sentences that a class name is put into, by kind of picture.

A caption model reads sentences, not words; the mean over several ways to say the same thing is steadier than any one
of them (Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021).
"""

from __future__ import annotations

import re
import unicodedata

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import ImageKind

# "{a}" is the name with its article where it wants one, "{}" the bare name
TEMPLATES: dict[ImageKind, tuple[str, ...]] = {
    "natural": (
        "a photo of {a}.",
        "a photo of the {}.",
        "there is {a} in the scene.",
        "a close-up photo of {a}.",
        "a photo of a large {}.",
        "a photo of a small {}.",
        "a cropped photo of the {}.",
        "a blurry photo of {a}.",
    ),
    "microscopy": (
        "a microscopy image of {a}.",
        "a fluorescence microscopy image of {a}.",
        "a light micrograph showing {a}.",
        "{a} under the microscope.",
        "an electron micrograph of {a}.",
    ),
    "endoscopy": (
        "an endoscopy image of {a}.",
        "a colonoscopy frame showing {a}.",
        "{a} seen through an endoscope.",
        "an endoscopic view of {a}.",
    ),
    "ct": (
        "a CT image of {a}.",
        "a computed tomography slice showing {a}.",
        "an axial CT scan of {a}.",
        "{a} in a CT scan.",
    ),
    "mr": (
        "an MR image of {a}.",
        "a magnetic resonance image showing {a}.",
        "an MRI slice of {a}.",
        "{a} in an MRI scan.",
    ),
    "ultrasound": (
        "an ultrasound image of {a}.",
        "a sonogram showing {a}.",
        "{a} in an ultrasound scan.",
        "a B-mode ultrasound of {a}.",
    ),
    "xray": (
        "an X-ray image of {a}.",
        "a radiograph showing {a}.",
        "{a} on an X-ray.",
        "a chest X-ray with {a}.",
    ),
    "histology": (
        "a histology image of {a}.",
        "an H&E stained tissue section showing {a}.",
        "a histopathology image of {a}.",
        "{a} in a stained tissue section.",
    ),
    "dermoscopy": (
        "a dermoscopy image of {a}.",
        "a dermoscopic image showing {a}.",
        "a close-up photo of {a} on skin.",
        "{a} seen through a dermatoscope.",
    ),
    "aerial": (
        "an aerial photo of {a}.",
        "a satellite image of {a}.",
        "{a} seen from above.",
        "a bird's-eye view of {a}.",
        "a drone photo showing {a}.",
    ),
}

# a vowel letter that is spoken as a consonant, and a silent h
_SPOKEN_CONSONANT = re.compile(r"(uni(?!m|n)|use|usu|uti|ura|uro|ure(?!a?p)|eu|ew|one\b|once|ouija|uk\b)", re.I)
_SILENT_H = re.compile(r"(hour|honest|honou?r|heir)", re.I)
_LETTER_VOWEL = frozenset("AEFHILMNORSX")  # letters whose own name begins with a vowel sound

_DETERMINERS_TEXT = """
    a an the this that these those my your his her its our their some any no every each either neither all both many
    few several two three four five six seven eight nine ten"""
_DETERMINERS = frozenset(_DETERMINERS_TEXT.split())

# names of stuff and of wholes, which take no "a"
_UNCOUNTED_TEXT = """
    sky grass water sand snow ice mud soil dirt gravel ground earth hair fur skin blood mucus bile fat muscle tissue
    cartilage bone air smoke fire fog rain wood metal plastic glass paper fabric concrete asphalt furniture clothing
    food rice bread meat fruit luggage equipment machinery vegetation foliage background foreground texture debris
    cytoplasm chromatin stroma epithelium mitosis necrosis fluid pus oedema edema cement enamel dentin wheat corn maize
    barley traffic litter trash garbage plankton bacteria fungi algae mitochondria nuclei vertebrae ribs people men
    women children mice sheep fish teeth feet matter"""
_UNCOUNTED = frozenset(_UNCOUNTED_TEXT.split())


def sentences(name: str, image_kind: ImageKind = "natural") -> list[str]:
    """Sentences about a class, for a text encoder.

    Parameters
    ----------
    name : str
        In any language. A name that is not written in Latin letters, or is a sentence of its own, stays as it is.
    image_kind : ImageKind
        Chooses the templates.

    Returns
    -------
    list of str
        At least one, without duplicates.

    Raises
    ------
    InputError
        If the name is empty or the kind unknown.
    """
    clean = " ".join(name.split())
    if not clean:
        raise InputError("A class needs a name: type at least one word.")
    if image_kind not in TEMPLATES:
        raise InputError(f"There is no image kind {image_kind!r}: choose one of {', '.join(TEMPLATES)}.")
    if not _is_english_noun_phrase(clean):
        return [clean]
    named = with_article(clean)
    bare = clean if named != clean else _without_determiner(clean)
    filled = [t.replace("{a}", named).replace("{}", bare) for t in TEMPLATES[image_kind]]
    if named == clean:
        # "a photo of a large grass": templates with an article of their own are for countable things
        kept = [
            f for f, t in zip(filled, TEMPLATES[image_kind], strict=True) if "a large" not in t and "a small" not in t
        ]
        filled = kept or filled
    return list(dict.fromkeys(filled))


def with_article(name: str) -> str:
    """``"a cat"``, ``"an MRI coil"``, ``"an hour glass"``; unchanged with a determiner, as a plural or as stuff."""
    words = name.split()
    if words[0].casefold() in _DETERMINERS or _takes_none(words):
        return name
    return f"{'an' if _begins_with_vowel_sound(words[0]) else 'a'} {name}"


def _without_determiner(name: str) -> str:
    words = name.split()
    rest = words[1:] if words[0].casefold() in ("a", "an", "the") else words
    return " ".join(rest) or name


def _takes_none(words: list[str]) -> bool:
    head = words[-1].casefold()
    for i, word in enumerate(words[1:], 1):
        if word.casefold() in ("of", "in", "on", "with", "from", "at", "for", "under"):
            head = words[i - 1].casefold()
            break
    if head in _UNCOUNTED:
        return True
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is", "as", "os")) and len(head) > 3
    return plural and head not in ("lens", "series", "species", "gas", "canvas")


def _begins_with_vowel_sound(word: str) -> bool:
    first = re.split(r"[-–/']", word, maxsplit=1)[0]  # "one" of "one-way", "X" of "X-ray"
    letters = "".join(ch for ch in unicodedata.normalize("NFKD", first) if ch.isalnum())
    if not letters:
        return False
    if letters[0].isdigit():
        return letters[0] == "8" or (letters.startswith(("11", "18")) and len(letters) in (2, 5))
    spelled = (letters.isupper() and len(letters) <= 4) or len(letters) == 1
    if spelled:
        return letters[0].upper() in _LETTER_VOWEL
    if _SILENT_H.match(letters):
        return True
    return letters[0].casefold() in "aeiou" and not _SPOKEN_CONSONANT.match(letters)


def _is_english_noun_phrase(name: str) -> bool:
    """Whether the templates suit: Latin letters, and neither a sentence nor a quotation."""
    if len(name.split()) > 8 or name.endswith((".", "!", "?")):
        return False
    letters = [ch for ch in name if ch.isalpha()]
    return bool(letters) and all("LATIN" in unicodedata.name(ch, "") or ch in "µαβγδκλ" for ch in letters)
