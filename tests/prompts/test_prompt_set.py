"""What the user types becomes classes: nothing lost, nothing twice, values that stay."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.palette import colour_for
from napari_promptseg.prompts.prompt_set import PromptSet, split_names

# names without the characters that part them
words = st.text(st.characters(exclude_characters=',;|"\n，、', exclude_categories=["Cs"]), min_size=1, max_size=12)
names = words.map(lambda s: " ".join(s.split())).filter(bool)
groups = st.lists(st.lists(names, min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=6)


@given(groups, st.sampled_from([",", " , ", ";", "\n", "，", "、", ",,"]), st.sampled_from(["|", " | ", "||"]))
def test_splitting_undoes_joining(classes, comma, bar):
    assert split_names(comma.join(bar.join(group) for group in classes)) == classes


@given(st.lists(st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_quotes_keep_whatever_is_in_them(parts):
    kept = [(" ".join(p.split()),) for p in parts if p.strip()]
    assert split_names(",".join(f'"{p}"' for p in parts)) == kept


@given(st.text())
def test_any_text_gives_clean_groups(text):
    for group in split_names(text):
        assert group
        assert len(set(group)) == len(group)
        for name in group:
            assert name == " ".join(name.split()) != ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ;|\n", []),
        ("cat, sofa | couch", [("cat",), ("sofa", "couch")]),
        ('"red, round cell", 5" pipe', [("red, round cell",), ('5" pipe',)]),
        ('"unclosed, quote', [("unclosed, quote",)]),
        ("cat|cat", [("cat",)]),
        ("猫、犬，鳥", [("猫",), ("犬",), ("鳥",)]),
        ("tree\r\nroad\r\n", [("tree",), ("road",)]),
        ("cat's eye; it's", [("cat's eye",), ("it's",)]),
    ],
)
def test_what_people_type(text, expected):
    assert split_names(text) == expected


@given(groups)
def test_classes_have_rising_values_and_their_palette_colours(classes):
    assume(len({g[0].casefold() for g in classes}) == len(classes))
    prompts = PromptSet((), background=()).with_added(classes)
    assert prompts.names == tuple(g[0] for g in classes)
    assert [c.texts for c in prompts.classes] == classes
    assert [c.value for c in prompts.classes] == list(range(1, len(classes) + 1))
    assert [c.colour for c in prompts.classes] == [colour_for(v) for v in range(1, len(classes) + 1)]
    assert len(prompts) == len(classes)


@given(groups, groups)
def test_values_of_other_classes_never_change(first, second):
    every = [g[0].casefold() for g in [*first, *second]]
    assume(len(set(every)) == len(every))
    prompts = PromptSet(()).with_added(first)
    more = prompts.with_added(second)
    assert more.classes[: len(first)] == prompts.classes
    removed = more.without(1)
    assert removed.classes == more.classes[1:]


def test_a_name_is_there_once_whatever_its_case():
    for text in ("cat, Cat", "straße, STRASSE"):
        with pytest.raises(InputError, match="twice"):
            PromptSet.from_text(text)
    prompts = PromptSet.from_text("cat, dog")
    with pytest.raises(InputError, match="'Dog' is there twice"):
        prompts.with_added([("Dog",)])
    with pytest.raises(InputError, match="twice"):
        prompts.with_replaced(2, name="CAT")
    with pytest.raises(InputError, match="needs a name"):
        prompts.with_replaced(2, name="  ")
    with pytest.raises(InputError, match="needs a name"):
        prompts.with_added([(" ", "tiger")])


def test_no_class_is_refused_with_an_example():
    with pytest.raises(InputError, match="for example: cat, sofa"):
        PromptSet.from_text(" ,, ")


def test_classes_are_found_changed_and_written_as_typed():
    prompts = PromptSet.from_text("cat, sofa | couch | settee")
    assert prompts.find("SOFA").label == "sofa | couch | settee"
    assert prompts.with_replaced(1, threshold=0.3).find("cat").threshold == 0.3
    assert prompts.find("cat").threshold == 0.5
    with pytest.raises(InputError, match="no class 'dog'; there are: cat, sofa"):
        prompts.find("dog")


@given(st.integers(1, 5000))
def test_colours_are_colours_and_neighbours_differ(value):
    colour = colour_for(value)
    assert len(colour) == 7
    assert int(colour[1:], 16) >= 0
    assert colour != colour_for(value + 1)
