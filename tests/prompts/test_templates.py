"""Sentences around class names: good English where the name is, and nothing changed where it is not."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import ImageKind
from napari_promptseg.prompts.templates import TEMPLATES, sentences, with_article

KINDS = get_args(ImageKind)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "a cat"),
        ("apple", "an apple"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("university", "a university"),
        ("uninjured cell", "an uninjured cell"),
        ("unusual cell", "an unusual cell"),
        ("ureter", "a ureter"),
        ("ulcer", "an ulcer"),
        ("hour hand", "an hour hand"),
        ("u-shaped bone", "u-shaped bone"),
        ("U-shaped tube", "a U-shaped tube"),
        ("house", "a house"),
        ("European bison", "a European bison"),
        ("eukaryotic cell", "a eukaryotic cell"),
        ("one-way sign", "a one-way sign"),
        ("onion", "an onion"),
        ("MRI coil", "an MRI coil"),
        ("CT scanner", "a CT scanner"),
        ("X-ray tube", "an X-ray tube"),
        ("T cell", "a T cell"),
        ("8-cell embryo", "an 8-cell embryo"),
        ("11-cell embryo", "an 11-cell embryo"),
        ("2-cell embryo", "a 2-cell embryo"),
        ("a dog", "a dog"),
        ("the moon", "the moon"),
        ("two cats", "two cats"),
        ("some grass", "some grass"),
        ("grass", "grass"),
        ("muscle tissue", "muscle tissue"),
        ("cell nuclei", "cell nuclei"),
        ("cells", "cells"),
        ("glass", "glass"),
        ("abscess", "an abscess"),
        ("nucleus", "a nucleus"),
        ("bus", "a bus"),
        ("lens", "a lens"),
        ("pelvis", "a pelvis"),
        ("slice of bread", "a slice of bread"),
        ("field of grass", "a field of grass"),
        ("people in boats", "people in boats"),
        ("chien d'été", "a chien d'été"),
        ("Ödem", "an Ödem"),
    ],
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_sentences_that_hold_the_name(kind: ImageKind) -> None:
    made = sentences("polyp", kind)
    assert len(made) == len(set(made)) >= 3
    assert all("polyp" in s and "{" not in s for s in made)
    assert not any("a polyp a polyp" in s or "a the" in s for s in made)


def test_kinds_differ() -> None:
    assert set(TEMPLATES) == set(KINDS)
    made = [frozenset(sentences("cell", kind)) for kind in KINDS]
    assert len(set(made)) == len(KINDS)
    assert "an ultrasound image of a cell." in sentences("cell", "ultrasound")


def test_determiners_are_not_doubled() -> None:
    for name in ("the moon", "a moon"):
        assert not any("the the" in s or "the a " in s or "a a " in s or "large the" in s for s in sentences(name))


def test_stuff_is_not_counted() -> None:
    assert "a photo of grass." in sentences("grass")
    assert not any("a large" in s or "a grass" in s for s in sentences("grass"))


@pytest.mark.parametrize("name", ["кот", "猫", "قطة", "🐈", "это кот", "What is this?", "Segmentation area.", "12"])
def test_other_scripts_and_whole_sentences_stay_as_they_are(name: str) -> None:
    assert sentences(name) == [name]


@pytest.mark.parametrize("name", ['5" pipe', 'so-called "cell"', "O'Brien", "a{b}c", "{}", "{a}"])
def test_quotes_and_braces_survive(name: str) -> None:
    assert all(name in s for s in sentences(name))


@given(st.text(min_size=1, max_size=40).filter(lambda t: t.strip()), st.sampled_from(KINDS))
def test_any_name_gives_sentences_that_hold_it(name: str, kind: ImageKind) -> None:
    words = " ".join(name.split())
    for sentence in sentences(name, kind):
        assert sentence.strip()
        assert words in sentence or words.split(" ", 1)[-1] in sentence


@pytest.mark.parametrize("name", ["", "   "])
def test_an_empty_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="at least one word"):
        sentences(name)


def test_an_unknown_kind_is_refused_with_the_choices() -> None:
    with pytest.raises(InputError, match="ultrasound"):
        sentences("cat", "painting")  # type: ignore[arg-type]
