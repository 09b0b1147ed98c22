"""Names ranked by a model that sees colours: what comes first can be worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pixel_encoder import PixelEncoder
from regions import ellipse, on_ground

from napari_promptseg.concepts.description import describe_region
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.scored import guess_kind, pool_region, rank_names
from napari_promptseg.concepts.vocabulary import Vocabulary, read_vocabulary, shipped_vocabularies, vocabularies
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack

MASK = ellipse((40, 70), (20, 12))
ENCODER = PixelEncoder()


def scene(thing="red", ground=(0, 0, 0)):
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
    return ImageStack.from_array(on_ground(MASK, colours[thing], ground))


def vectors_of(stack):
    return pool_region(ENCODER.encode_plane(stack.picture()), Region.from_mask(MASK))


@pytest.mark.parametrize("thing", ["red", "green", "blue"])
def test_the_name_of_what_the_region_shows_comes_first(thing):
    ranked = rank_names(ENCODER, vectors_of(scene(thing)), ["green", "red", "blue", "black"])
    assert ranked[0].name == thing
    assert ranked[0].confidence > 0.9
    assert sum(c.confidence for c in ranked) <= 1 + 1e-6
    assert [c.confidence for c in ranked] == sorted((c.confidence for c in ranked), reverse=True)


def test_names_that_the_model_does_not_know_are_not_ranked():
    assert [c.name for c in rank_names(ENCODER, vectors_of(scene()), ["polyp", "red"])] == ["red"]
    assert rank_names(ENCODER, vectors_of(scene()), ["polyp", "ulcer"]) == ()


def test_what_sets_a_region_apart_counts():
    # a region of red and green on a red ground: green is what it has and its surroundings have not
    picture = on_ground(MASK, (255, 0, 0), (255, 0, 0))
    half = MASK & (np.indices(MASK.shape)[1] % 2 == 0)
    picture[half] = (0, 255, 0)
    vectors = vectors_of(ImageStack.from_array(picture))
    assert rank_names(ENCODER, vectors, ["red", "green"])[0].name == "green"


def test_pooling_takes_the_exact_pixels_and_not_the_box():
    picture = on_ground(MASK, (255, 0, 0), (0, 0, 255))
    vectors = vectors_of(ImageStack.from_array(picture))
    assert vectors.inside[2] == 0
    assert vectors.ring is not None
    assert vectors.ring[0] == 0


@pytest.mark.parametrize("grid", [(30, 30), (17, 23), (120, 120), (5, 5)])
def test_cells_weigh_as_many_pixels_as_they_hold(grid):
    rows = torch.arange(grid[0]).float()[:, None].expand(grid)
    columns = torch.arange(grid[1]).float()[None].expand(grid)
    semantic = torch.stack([rows, columns, torch.ones(grid)], dim=-1)
    features = DenseFeatures(semantic, semantic, semantic.mean((0, 1)), MASK.shape, "x")
    y, x = np.nonzero(MASK)
    mean = pool_region(features, Region.from_mask(MASK)).inside
    assert mean[0].item() == pytest.approx(np.mean((y + 0.5) * grid[0] // MASK.shape[0]), rel=1e-5)
    assert mean[1].item() == pytest.approx(np.mean((x + 0.5) * grid[1] // MASK.shape[1]), rel=1e-5)
    assert mean[2].item() == pytest.approx(1)


def test_features_of_another_plane_are_refused():
    features = ENCODER.encode_plane(np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(InputError, match=r"\(10, 10\)"):
        pool_region(features, Region.from_mask(MASK))


def test_the_kind_follows_from_known_names_and_is_left_open_without():
    words = {
        "natural": Vocabulary("natural", ("green", "tree")),
        "dermoscopy": Vocabulary("dermoscopy", ("red",)),
        "ultrasound": Vocabulary("ultrasound", ("blue",)),
    }
    found = guess_kind(ENCODER, vectors_of(scene("red")), words, coloured=True)
    assert found is not None
    assert found[0] == "dermoscopy"
    # blue belongs to a kind that has no colours
    assert guess_kind(ENCODER, vectors_of(scene("blue")), words, coloured=True, sure=0.9) is None
    unknown = {"natural": Vocabulary("natural", ("tree",))}
    assert guess_kind(ENCODER, vectors_of(scene()), unknown, coloured=True) is None


def test_a_name_of_two_kinds_decides_for_neither():
    words = {k: Vocabulary(k, ("red",)) for k in ("natural", "aerial")}
    assert guess_kind(ENCODER, vectors_of(scene()), words, coloured=True, sure=0.6) is None


def test_a_concept_with_candidates():
    words = {k: Vocabulary(k, ("red", "green", "blue", "polyp")) for k in ("natural", "endoscopy")}
    concept = describe_region(scene(), MASK, encoder=ENCODER, image_kind="endoscopy", words=words)
    assert concept.candidates[0].name == "red"
    assert concept.sentence().startswith("one medium-sized oval")
    assert "region" in concept.sentence(), "a candidate is offered, not taken"
    assert not concept.notices


def test_what_the_model_does_not_know_is_said():
    words = {"endoscopy": Vocabulary("endoscopy", ("polyp", "ulcer"))}
    concept = describe_region(scene(), MASK, encoder=ENCODER, image_kind="endoscopy", words=words, name="polyp")
    assert concept.candidates == ()
    assert "none of the 2 endoscopy names" in concept.notices[0]
    assert "does not know the word 'polyp'" in concept.notices[1]
    assert "polyp" in concept.sentence()


def test_features_of_another_model_are_refused():
    other = ENCODER.encode_plane(scene().picture())
    other.fingerprint = "another"
    with pytest.raises(InputError, match="another model"):
        describe_region(scene(), MASK, encoder=ENCODER, features=other)
    with pytest.raises(InputError, match="no image kind 'painting'"):
        describe_region(scene(), MASK, image_kind="painting")


def test_every_kind_has_a_shipped_vocabulary():
    for kind, vocabulary in shipped_vocabularies().items():
        assert vocabulary.kind == kind
        assert len(vocabulary.names) >= 20
        assert vocabulary.sentences


def test_a_vocabulary_of_the_user_comes_first(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"kind": "endoscopy", "names": [" Polyp ", "息肉"]}), encoding="utf-8")
    merged = vocabularies([read_vocabulary(file)])["endoscopy"]
    assert merged.names[:2] == ("Polyp", "息肉")
    assert "polyp" not in merged.names
    assert "ulcer" in merged.names


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", 'must name its "kind"'),
        ('{"kind": "painting", "names": ["a"]}', 'must name its "kind"'),
        ('{"kind": "ct"}', 'has no "names"'),
        ('{"kind": "ct", "names": [3]}', "list of texts"),
        ('{"kind": "ct", "names": "liver"}', "list of texts"),
    ],
)
def test_a_vocabulary_that_is_none(tmp_path, content, words):
    file = tmp_path / "mine.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_vocabulary(file)
    with pytest.raises(InputError, match="no vocabulary file"):
        read_vocabulary(tmp_path / "missing.json")
