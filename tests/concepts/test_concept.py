"""A concept is edited word by word and survives JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_promptseg.concepts.concept import ATTRIBUTES, Attribute, Candidate, Concept
from napari_promptseg.errors import InputError

CONCEPT = Concept(
    (
        Attribute("number", "one", 1.0, (1.0,), "parts"),
        Attribute("shape", "round", 0.8, (0.9, 0.97, 1.0), "axes"),
        Attribute("margin", "sharp", 0.7, (0.05,), "width", enabled=False),
        Attribute("location", "upper left", 0.99, (0.2, 0.1), "centre"),
    ),
    name="polyp",
    image_kind="endoscopy",
    candidates=(Candidate("polyp", 0.7, "known"), Candidate("ulcer", 0.2, "related")),
    left_out={"colour": "the picture is grey"},
    notices=("A notice.",),
)


def test_words_are_switched_off_and_on():
    assert CONCEPT.sentence() == "one round polyp, located in the upper left"
    assert CONCEPT.with_enabled("location", False).sentence() == "one round polyp"
    assert (
        CONCEPT.with_enabled("margin", True).sentence()
        == "one round polyp with a sharp margin, located in the upper left"
    )
    with pytest.raises(InputError, match="no word for 'size'"):
        CONCEPT.with_enabled("size", True)


def test_a_word_of_the_user_replaces_the_measured_one():
    edited = CONCEPT.with_word("shape", "  pear   shaped ").with_word("colour", "pale")
    assert edited.sentence() == "one pear shaped pale polyp, located in the upper left"
    assert edited.attribute("shape").confidence == 1
    assert edited.attribute("shape").measured == ()
    assert "colour" not in edited.left_out
    assert [a.kind for a in edited.attributes] == [k for k in ATTRIBUTES if edited.attribute(k)]
    assert CONCEPT.with_word("shape", " ").sentence() == "one polyp, located in the upper left"
    assert CONCEPT.with_word("size", "") == CONCEPT


def test_another_name():
    assert CONCEPT.with_name(" adenoma ").sentence() == "one round adenoma, located in the upper left"
    assert CONCEPT.with_name("lesione", "lesioni").with_word("number", "two").sentence().startswith("two round lesioni")


def test_a_sentence_of_the_user_stands_until_a_word_is_changed():
    own = CONCEPT.with_sentence("  a polyp on\na stalk ")
    assert own.sentence() == "a polyp on a stalk"
    assert own.attributes == CONCEPT.attributes
    assert Concept.from_json(own.to_json()) == own
    assert own.with_name("adenoma").sentence() == "a adenoma on a stalk"
    assert own.with_word("shape", "oval").sentence() == "one oval polyp, located in the upper left"
    assert own.with_enabled("location", False).sentence() == "one round polyp"
    assert own.with_sentence("") == CONCEPT
    assert CONCEPT.with_sentence(CONCEPT.sentence()) == CONCEPT


def test_json_round_trip():
    assert Concept.from_json(CONCEPT.to_json()) == CONCEPT
    assert json.loads(CONCEPT.to_json())["sentence"] == CONCEPT.sentence()


texts = st.text(max_size=12)


@given(
    st.lists(st.sampled_from(ATTRIBUTES), unique=True).flatmap(
        lambda kinds: st.tuples(
            *(
                st.builds(
                    Attribute,
                    st.just(kind),
                    texts,
                    st.floats(0, 1),
                    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
                    texts,
                    st.booleans(),
                )
                for kind in kinds
            )
        )
    ),
    texts,
    texts,
)
def test_any_concept_survives_json_and_has_a_sentence(attributes, name, many):
    concept = Concept(tuple(attributes), name, many)
    assert Concept.from_json(concept.to_json()) == concept
    assert isinstance(concept.sentence(), str)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no JSON object"),
        ("{", "no JSON"),
        ("{}", "'attributes' is missing"),
        ('{"attributes": [{"kind": "mood", "word": "x", "confidence": 1}]}', "no attribute 'mood'"),
        ('{"attributes": [{"kind": "size", "word": 3, "confidence": 1}]}', "3 is no text"),
        ('{"attributes": [{"kind": "size", "word": "x", "confidence": 2}]}', "from 0 to 1"),
        ('{"attributes": [{"kind": "size", "word": "x", "confidence": 1, "enabled": "no"}]}', "neither true nor"),
        ('{"attributes": [], "format": 9}', "format 9"),
        ('{"attributes": 5}', "no concept"),
        ('{"attributes": [], "candidates": [{"name": "a", "confidence": 1, "familiarity": "x"}]}', "known, related"),
    ],
)
def test_what_is_no_concept_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        Concept.from_json(text)


def test_one_word_of_each_kind():
    with pytest.raises(InputError, match="'size' is there twice"):
        Concept((Attribute("size", "small", 1.0), Attribute("size", "large", 1.0)))
