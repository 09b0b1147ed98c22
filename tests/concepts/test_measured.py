"""Words that can be told by eye are the words that are measured."""

from __future__ import annotations

import numpy as np
import pytest
from regions import SIDE, ellipse, grid, on_ground, star
from scipy import ndimage

from napari_promptseg.concepts.colour import colour_name
from napari_promptseg.concepts.extent import number_word
from napari_promptseg.concepts.measured import measure_concept
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack


def words_of(mask, picture=None, **keywords):
    stack = ImageStack.from_array(on_ground(mask) if picture is None else picture)
    concept = measure_concept(stack, mask, **keywords)
    return {a.kind: a.word for a in concept.attributes}, concept


@pytest.mark.parametrize(
    ("mask", "word"),
    [
        (ellipse(radii=(15, 15)), "round"),
        (ellipse(radii=(12, 20), turn=0.5), "oval"),
        (ellipse(radii=(6, 30), turn=1.1), "elongated"),
        (ellipse(radii=(30, 30)) & ~ellipse(radii=(15, 15)), "ring-shaped"),
        (star(), "irregular"),
        (ellipse(radii=(35, 35)) & ~ellipse((60, 80), (30, 30)), "curved"),
        ((grid()[0] - 20 > 2 * np.abs(grid()[1] - 60)) & (grid()[0] < 100), "triangular"),
        (np.eye(SIDE, dtype=bool), "elongated"),
        (ellipse((60, 42), (16, 16)) | ellipse((60, 78), (16, 16)) | ellipse((60, 60), (8, 14)), "lobed"),
        ((np.abs(grid()[0] - 60) < 15) & (np.abs(grid()[1] - 60) < 30), "rectangular"),
    ],
)
def test_shapes(mask, word):
    words, concept = words_of(mask)
    assert words["shape"] == word
    assert concept.attribute("shape").confidence > 0.7


@pytest.mark.parametrize(("radius", "word"), [(2.5, "tiny"), (8, "small"), (22, "medium-sized"), (40, "large")])
def test_sizes(radius, word):
    mask = ellipse(radii=(radius, radius))
    words, concept = words_of(mask)
    assert words["size"] == word
    assert concept.attribute("size").measured[0] == pytest.approx(mask.mean())


@pytest.mark.parametrize(
    ("count", "word"), [(1, "one"), (2, "two"), (3, "several"), (9, "several"), (10, "many"), (500, "many")]
)
def test_number_words(count, word):
    assert number_word(count) == word


def test_several_parts_share_a_size_and_a_shape():
    mask = np.zeros((SIDE, SIDE), bool)
    for row in (20, 60, 100):
        for column in (20, 60, 100):
            mask |= ellipse((row, column), (7, 7))
    words, concept = words_of(mask)
    assert concept.with_name("nucleus").sentence() == "several small round bright nuclei, spread over the whole image"
    assert words["number"] == "several"


def test_a_number_that_hangs_on_a_small_part_is_less_sure():
    clear = ellipse((40, 40), (15, 15))
    second = ellipse((90, 90), (4, 4))
    sure = words_of(clear | ellipse((90, 90), (15, 15)))[1].attribute("number")
    unsure = words_of(clear | second)[1].attribute("number")
    assert sure.word == unsure.word == "two"
    assert sure.confidence == 1 > unsure.confidence


@pytest.mark.parametrize(
    ("centre", "word"),
    [
        ((20, 20), "upper left"),
        ((20, 60), "upper centre"),
        ((60, 100), "centre right"),
        ((60, 60), "centre"),
        ((100, 100), "lower right"),
    ],
)
def test_places(centre, word):
    assert words_of(ellipse(centre, (9, 9)))[0]["location"] == word


def test_parts_far_apart_get_no_word_for_that_axis():
    sides = ellipse((20, 15), (9, 9)) | ellipse((20, 105), (9, 9))
    assert words_of(sides)[0]["location"] == "spread across the upper part"
    ends = ellipse((15, 100), (9, 9)) | ellipse((105, 100), (9, 9))
    assert words_of(ends)[0]["location"] == "spread down the right side"


def test_a_place_on_a_border_of_two_words_is_unsure_and_off():
    found = words_of(ellipse((40, 40), (12, 12)))[1].attribute("location")
    assert found.confidence < 0.5
    assert not found.enabled


@pytest.mark.parametrize(("thing", "word"), [(200, "bright"), (30, "dark")])
def test_brightness_against_the_ring(thing, word):
    mask = ellipse()
    assert words_of(mask, on_ground(mask, (thing,) * 3))[0]["intensity"] == word


def test_what_looks_like_its_surroundings_gets_no_word_and_a_reason():
    mask = ellipse()
    words, concept = words_of(mask, on_ground(mask, (91, 91, 91), (90, 90, 90)))
    assert "intensity" not in words
    assert "as bright as" in concept.left_out["intensity"]
    assert words["contrast"] == "poorly contrasted"


def test_the_ring_is_what_counts_not_the_rest_of_the_picture():
    mask = ellipse(radii=(12, 12))
    picture = on_ground(mask, (120, 120, 120), (250, 250, 250))
    picture[ellipse(radii=(30, 30)) & ~mask] = 40
    assert words_of(mask, picture)[0]["intensity"] == "bright"


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 30, 30), "red"),
        ((20, 140, 50), "green"),
        ((40, 80, 210), "blue"),
        ((250, 240, 60), "yellow"),
        ((100, 60, 35), "brown"),
        ((235, 150, 170), "pink"),
        ((130, 50, 150), "purple"),
        ((250, 140, 20), "orange"),
        ((250, 250, 250), "white"),
        ((8, 8, 8), "black"),
        ((128, 128, 128), "grey"),
    ],
)
def test_colours(rgb, name):
    from skimage.color import rgb2lab

    found, confidence = colour_name(rgb2lab(np.array([[rgb]], np.uint8))[0, 0])
    assert found == name
    assert confidence > 0.6


def test_grey_pictures_have_no_colours_even_as_rgb():
    mask = ellipse()
    words, concept = words_of(mask)
    assert "colour" not in words
    assert concept.left_out["colour"] == "the picture is grey"
    grey = ImageStack.from_array(on_ground(mask)[..., 0])
    assert measure_concept(grey, mask).attribute("colour") is None


def test_colours_of_a_display_are_no_colours_of_the_scene():
    mask = ellipse()
    two_channels = np.stack([mask * 200, ~mask * 100], axis=-1).astype(np.uint16)
    stack = ImageStack.from_array(two_channels, channels=True)
    assert measure_concept(stack, mask).attribute("colour") is None


def test_words_that_repeat_or_contradict_each_other():
    mask = ellipse()
    both = words_of(mask, on_ground(mask, (5, 5, 5), (200, 60, 60)))[1]
    assert both.attribute("colour").word == "black"
    assert not both.attribute("intensity").enabled
    picture = on_ground(mask, (34, 16, 18), (0, 0, 0))
    against = words_of(mask, picture)[1]
    assert (against.attribute("colour") is None) != (against.attribute("intensity") is None)
    assert "contradict" in "".join(against.left_out.values())


def test_texture_is_told_against_the_ring():
    rng = np.random.default_rng(0)
    mask = ellipse(radii=(25, 25))
    noise = rng.normal(size=mask.shape)
    for where, word in ((mask, "textured"), (~mask, "smooth")):
        grey = np.clip(120 + 40 * noise * where + 2 * noise, 0, 255).astype(np.uint8)
        assert words_of(mask, np.repeat(grey[..., None], 3, axis=2))[0]["texture"] == word


@pytest.mark.parametrize(("blur", "word"), [(0.5, "sharp"), (5.0, "blurred")])
def test_margin(blur, word):
    mask = ellipse(radii=(25, 25))
    soft = ndimage.gaussian_filter(mask.astype(float), blur)
    grey = (60 + 120 * soft + np.random.default_rng(0).normal(0, 2, mask.shape)).astype(np.uint8)
    picture = np.repeat(grey[..., None], 3, axis=2)
    assert words_of(mask, picture)[0]["margin"] == word
    # a careless outline is not a blurred border
    assert words_of(np.roll(mask, 2, axis=1), picture)[0]["margin"] == word


def test_texture_margin_and_contrast_are_offered_but_off():
    mask = ellipse(radii=(25, 25))
    concept = words_of(mask)[1]
    assert concept.sentence() == "one medium-sized round bright region, located in the centre"
    assert (
        concept.with_enabled("margin", True).sentence().startswith("one medium-sized round bright region with a sharp")
    )


def test_places_in_ct_are_told_by_the_body():
    body = ellipse((60, 75), (30, 35))
    spot = ellipse((40, 52), (4, 4))
    plane = np.full((SIDE, SIDE), -1000, np.int16)
    plane[body], plane[spot] = 40, 120
    stack = ImageStack.from_array(plane, kind="ct")
    assert measure_concept(stack, spot).attribute("location").word == "upper left"
    assert measure_concept(ImageStack.from_array(plane), spot).attribute("location").word == "centre"


def test_tiny_regions_keep_what_can_be_said():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:22, 20:22] = True
    words, concept = words_of(mask)
    assert words["size"] == "tiny"
    assert words["location"] == "upper left"
    assert {"shape", "margin", "texture"} <= set(concept.left_out)


def test_almost_the_whole_image_has_nothing_around_it():
    mask = np.ones((SIDE, SIDE), bool)
    mask[0, :3] = False
    words, concept = words_of(mask)
    assert words["size"] == "large"
    assert "too few pixels" in concept.left_out["intensity"]


def test_a_plane_of_a_volume():
    volume = np.zeros((3, SIDE, SIDE), np.uint8)
    volume[2][ellipse((100, 100), (9, 9))] = 200
    concept = measure_concept(ImageStack.from_array(volume), volume[2] > 0, plane=2)
    assert concept.sentence() == "one small round bright region, located in the lower right"
    with pytest.raises(InputError, match="Plane 3"):
        measure_concept(ImageStack.from_array(volume), volume[2] > 0, plane=3)
