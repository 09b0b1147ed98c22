"""Grammar for one and many, and names that are left as they are."""

from __future__ import annotations

import pytest

from napari_promptseg.concepts.grammar import plural
from napari_promptseg.concepts.sentence import concept_sentence

WORDS = {"size": "small", "shape": "round", "intensity": "bright", "location": "upper left"}


@pytest.mark.parametrize(
    ("number", "name", "sentence"),
    [
        ("one", "polyp", "one small round bright polyp, located in the upper left"),
        ("two", "polyp", "two small round bright polyps, located in the upper left"),
        ("many", "cell nucleus", "many small round bright cell nuclei, located in the upper left"),
        ("", "polyp", "a small round bright polyp, located in the upper left"),
        ("one", "", "one small round bright region, located in the upper left"),
        ("several", "", "several small round bright regions, located in the upper left"),
        ("several", "person on a bicycle", "several small round bright people on a bicycle, located in the upper left"),
        ("two", "grass", "two small round bright areas of grass, located in the upper left"),
        ("one", "grass", "one small round bright area of grass, located in the upper left"),
        ("one", "nuclei", "small round bright nuclei, located in the upper left"),
        ("many", "nuclei", "many small round bright nuclei, located in the upper left"),
        ("two", "息肉", "two small round bright 息肉, located in the upper left"),
        ("two", "pólipo", "two small round bright pólipo, located in the upper left"),
    ],
)
def test_sentences(number, name, sentence):
    assert concept_sentence({**WORDS, "number": number}, name) == sentence


def test_articles_follow_the_next_word():
    assert concept_sentence({"shape": "irregular"}, "polyp") == "an irregular polyp"
    assert concept_sentence({"size": "small"}, "ulcer") == "a small ulcer"
    assert concept_sentence({}, "ulcer") == "an ulcer"
    assert concept_sentence({"colour": "green"}, "grass") == "green grass"
    assert concept_sentence({}, "息肉") == "息肉"


def test_a_plural_of_the_user_is_taken():
    assert concept_sentence({"number": "two"}, "lesione", "lesioni") == "two lesioni"
    assert concept_sentence({"number": "one"}, "lesione", "lesioni") == "one lesione"


def test_all_attributes_have_their_place():
    words = {
        "number": "one",
        "size": "large",
        "shape": "oval",
        "texture": "smooth",
        "intensity": "dark",
        "colour": "brown",
        "contrast": "well contrasted",
        "margin": "irregular",
        "location": "spread down the left side",
    }
    assert concept_sentence(words, "mole") == (
        "one large oval smooth dark brown well contrasted mole with an irregular margin, spread down the left side"
    )


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("polyp", "polyps"),
        ("biopsy", "biopsies"),
        ("box", "boxes"),
        ("metastasis", "metastases"),
        ("vertebra", "vertebrae"),
        ("Nucleus", "Nuclei"),
        ("mass of tissue", "masses of tissue"),
        ("fisherman", "fishermen"),
        ("human", "humans"),
        ("sheep", "sheep"),
        ("lens", "lenses"),
        ("key", "keys"),
        ("MRI", "MRIs"),
        ("CT scan", "CT scans"),
        ("cells", "cells"),
        ("Polyp", "Polyps"),
        ("embryo", "embryos"),
        ("lung", "lungs"),
        ("Zelle", "Zelle"),
        ("Schwellung", "Schwellung"),
        ("lesione", "lesiones"),  # nothing tells it from English: the user's plural is asked for
        ("polipo", "polipo"),
        ("nucleo de celula", "nucleo de celula"),
        ("tumore della mammella", "tumore della mammella"),
        ("细胞", "细胞"),
    ],
)
def test_plurals(one, many):
    assert plural(one) == many
