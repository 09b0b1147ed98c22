"""The one object that widget, command line and scripts use."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import torch

from napari_promptseg.encoders.cache import FeatureCache
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import REFINEMENTS, SegmentationSettings

TILED = {"whole_up_to": 128, "tile_size": 128, "tile_overlap": 32}


@pytest.fixture
def segmenter(encoder, stack_of, quarters) -> Segmenter:
    made = Segmenter(encoder)
    made.set_image(stack_of(quarters))
    return made


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_known_features_give_known_labels(encoder, stack_of, quarters, asked, refinement):
    segmenter = Segmenter(encoder, settings=SegmentationSettings(refinement=refinement))
    segmenter.set_image(stack_of(quarters))
    result = segmenter.segment(asked)
    expected = np.zeros((128, 192), int)
    expected[:64, :96], expected[:64, 96:], expected[64:, :96] = 1, 2, 3
    assert np.array_equal(result.labels, expected)
    assert result.labels.dtype == np.uint8
    assert result.confidence.dtype == np.float16
    assert (result.labels != result.runner_up).all()
    assert result.runner_up_confidence.dtype == np.float16
    assert (result.runner_up_confidence <= result.confidence).all()  # of equal thresholds at 0.5
    assert result.area_share(1) == 0.25


def test_asking_again_never_encodes_again(segmenter, encoder, asked):
    segmenter.segment(asked)
    segmenter.segment(asked.with_replaced(1, name="yellow"))
    segmenter.segment(asked.with_replaced(1, threshold=0.9))
    segmenter.segment(asked.with_replaced(1, synonyms=("white",)))
    assert len(encoder.encoded) == 1


def test_confidence_and_probabilities_agree(segmenter, asked):
    result = segmenter.segment(asked, want_probabilities=True)
    assert set(result.probabilities) == {1, 2, 3}
    for value, probability in result.probabilities.items():
        where = result.labels == value
        np.testing.assert_allclose(probability[where], result.confidence[where], atol=0.03)
    assert segmenter.segment(asked).probabilities == {}


def test_label_values_are_those_of_the_classes(segmenter):
    prompts = PromptSet.from_text("red, green, blue", background=("black",)).without(2)
    labels = segmenter.segment(prompts).labels
    assert set(np.unique(labels)) == {0, 1, 3}
    assert labels[100, 10] == 3


def test_permuted_classes_give_permuted_labels(segmenter):
    one = segmenter.segment(PromptSet.from_text("red, green, blue", background=("black",)))
    two = segmenter.segment(PromptSet.from_text("blue, red, green", background=("black",)))
    assert np.array_equal(np.array([0, 2, 3, 1])[one.labels], two.labels)


def test_a_hidden_class_still_competes(segmenter, asked):
    shown = segmenter.segment(asked)
    hidden = segmenter.segment(asked.with_replaced(2, visible=False))
    assert np.array_equal(shown.labels, hidden.labels)


@pytest.mark.parametrize("value", [1, 2, 3])
def test_raising_a_threshold_never_adds_pixels(segmenter, asked, value):
    before = None
    for threshold in (0.1, 0.5, 0.9, 0.99):
        labels = segmenter.segment(asked.with_replaced(value, threshold=threshold)).labels
        if before is not None:
            assert not ((labels > 0) & (labels != before)).any()
        before = labels


def test_one_class_alone_gives_its_mask(segmenter):
    result = segmenter.segment(PromptSet.from_text("red", background=("green", "blue", "black")))
    assert result.area_share(1) == pytest.approx(0.25, abs=0.005)
    assert (result.labels[:60, :92] == 1).all()
    assert (result.runner_up == 1 - result.labels).all()


def test_a_background_word_that_is_asked_for_is_drawn(segmenter):
    labels = segmenter.segment(PromptSet.from_text("black", background=("red", "green", "blue", "black"))).labels
    assert (labels[70:, 100:] == 1).all()


def test_an_unknown_name_is_never_a_confident_mask(segmenter, asked):
    prompts = PromptSet.from_text("axolotl")
    result = segmenter.segment(prompts, want_probabilities=True)
    assert result.area_share(1) == 0
    assert float(result.probabilities[1].max()) < 0.5
    assert segmenter.familiarity(["axolotl", "red"]) == ["unknown", "known"]
    # beside known classes it takes nothing from them
    mixed = asked.with_added([("axolotl",)])
    assert np.array_equal(segmenter.segment(mixed).labels, segmenter.segment(asked).labels)


@pytest.mark.parametrize("kind", ["sigmoid", "no background"])
def test_other_kinds_of_scores(stack_of, quarters, encoder, kind):
    made = type(encoder)(sigmoid=kind == "sigmoid", shift=-19.0 if kind == "sigmoid" else 0.0)
    segmenter = Segmenter(made)
    segmenter.set_image(stack_of(quarters))
    background = ("black",) if kind == "sigmoid" else ()
    labels = segmenter.segment(PromptSet.from_text("red, green, blue", background=background)).labels
    assert [labels[20, 20], labels[20, 150], labels[100, 20]] == [1, 2, 3]


def test_tiles_give_the_mask_of_the_whole(encoder, stack_of, quarters, asked):
    big = np.tile(quarters, (3, 2, 1))
    whole, tiled = Segmenter(encoder), Segmenter(encoder, settings=SegmentationSettings(**TILED))
    whole.set_image(stack_of(big))
    features = tiled.set_image(stack_of(big))
    assert features.image_shape == big.shape[:2]
    assert tiled.features is features
    one, other = whole.segment(asked), tiled.segment(asked, want_probabilities=True)
    assert (one.labels != other.labels).mean() < 0.002
    apart = np.abs(one.confidence.astype(np.float32) - other.confidence)
    assert apart.mean() < 0.05
    assert other.probabilities[1].shape == big.shape[:2]


def test_tiles_of_a_lazy_picture_share_their_limits_and_are_read_in_parts(encoder, asked):
    dask = pytest.importorskip("dask.array")
    # a ramp: with limits of its own each tile would run from black to white
    ramp = np.tile(np.linspace(0, 5000, 512, dtype=np.uint16), (300, 1))
    sizes: list[tuple[int, ...]] = []

    def seen(block: np.ndarray) -> np.ndarray:
        sizes.append(block.shape)
        return block

    lazy = dask.from_array(ramp, chunks=(64, 64)).map_blocks(seen, dtype=ramp.dtype)
    sizes.clear()
    segmenter = Segmenter(encoder, settings=SegmentationSettings(**TILED))
    stack = ImageStack((Modality("ramp", lazy),))
    features = segmenter.set_image(stack)
    assert max(s[0] * s[1] for s in sizes) <= 64 * 64
    dark_to_bright = features.semantic[20, :, 0].float()
    assert float(dark_to_bright.diff().min()) > -0.01
    labels = segmenter.segment(PromptSet.from_text("white", background=("black",))).labels
    assert labels[150, 20] == 0
    assert labels[150, 500] == 1
    steps = np.diff(labels[150].astype(int))
    assert (steps >= 0).all()


@pytest.mark.parametrize("shape", [(8, 8), (64, 4000), (1, 1), (1, 300), (37, 53)])
def test_tiny_and_long_pictures(encoder, stack_of, asked, shape):
    settings = SegmentationSettings(whole_up_to=2048)
    segmenter = Segmenter(encoder, settings=settings)
    segmenter.set_image(stack_of(np.full((*shape, 3), (255, 0, 0), np.uint8), channels=True))
    result = segmenter.segment(asked)
    assert result.labels.shape == shape
    assert (result.labels == 1).all()


@pytest.mark.parametrize("value", [np.nan, 0.0, 7.5])
def test_constant_and_nan_pictures(encoder, stack_of, asked, value):
    segmenter = Segmenter(encoder)
    segmenter.set_image(stack_of(np.full((40, 50), value, np.float32)))
    result = segmenter.segment(asked)
    assert np.isfinite(result.confidence).all()
    assert (result.labels == 0).all()


def test_planes_of_a_stack(encoder, quarters, asked):
    volume = np.stack([quarters, quarters[::-1]])
    segmenter = Segmenter(encoder)
    segmenter.set_image(ImageStack.from_array(volume), plane=1)
    assert segmenter.segment(asked).labels[10, 10] == 3


def test_labels_of_many_classes_are_wider(segmenter):
    names = ", ".join(["red", *(f"thing {i}" for i in range(260))])
    result = segmenter.segment(PromptSet.from_text(names, background=("black",)))
    assert result.labels.dtype == np.uint16
    assert result.runner_up.dtype == np.uint16
    assert result.labels[10, 10] == 1


def test_cached_features_are_not_encoded_again(encoder, stack_of, quarters, asked, tmp_path):
    for settings in (SegmentationSettings(), SegmentationSettings(**TILED)):
        masks = []
        for _ in range(2):
            segmenter = Segmenter(encoder, settings=settings, cache=FeatureCache(disk_dir=tmp_path))
            segmenter.set_image(stack_of(quarters))
            masks.append(segmenter.segment(asked).labels)
            count = len(encoder.encoded)
        assert np.array_equal(*masks)
        segmenter.set_image(stack_of(quarters))
        assert len(encoder.encoded) == count


def test_a_picture_is_encoded_once_per_quality_and_model(encoder, stack_of, quarters):
    cache = FeatureCache()

    def encodings(picture, quality="fast") -> int:
        before = len(encoder.encoded)
        Segmenter(encoder, cache=cache).set_image(stack_of(picture), quality=quality)
        return len(encoder.encoded) - before

    assert [encodings(quarters), encodings(quarters.copy())] == [1, 0]
    assert [encodings(quarters, "fine"), encodings(quarters, "fine")] == [1, 0]
    assert [encodings(quarters[::-1]), encodings(quarters)] == [1, 0]
    encoder.fingerprint = "another"
    assert encodings(quarters) == 1


def test_cancelling_leaves_the_picture_before(encoder, stack_of, quarters, asked):
    segmenter = Segmenter(encoder, settings=SegmentationSettings(**TILED))
    segmenter.set_image(stack_of(quarters))
    before = segmenter.features
    calls = []

    def stop(done: int, total: int, description: str) -> None:
        calls.append((done, total, description))
        if len(calls) > 3:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        segmenter.set_image(stack_of(np.tile(quarters, (2, 2, 1))), progress=stop)
    assert segmenter.features is before
    assert all(0 <= done <= total for done, total, _ in calls)
    segmenter.set_image(stack_of(np.tile(quarters, (3, 3, 1))))
    calls.clear()
    with pytest.raises(CancelledError):
        segmenter.segment(asked, progress=stop)


def test_of_two_pictures_encoded_at_once_the_later_one_stays(encoder, stack_of, quarters):
    started, release = threading.Event(), threading.Event()

    def slow(done: int, total: int, description: str) -> None:
        started.set()
        assert release.wait(60)

    segmenter = Segmenter(encoder)
    worker = threading.Thread(target=segmenter.set_image, args=(stack_of(quarters),), kwargs={"progress": slow})
    worker.start()
    assert started.wait(60)
    later = segmenter.set_image(stack_of(quarters[:64]))
    release.set()
    worker.join(60)
    assert segmenter.features is later


def test_a_segmentation_keeps_to_the_picture_it_began_with(segmenter, encoder, stack_of, asked, monkeypatch):
    told = encoder.familiarity

    def swapped(names):
        segmenter.set_image(stack_of(np.zeros((20, 20, 3), np.uint8)))
        return told(names)

    monkeypatch.setattr(encoder, "familiarity", swapped)
    assert segmenter.segment(asked).labels.shape == (128, 192)
    assert segmenter.segment(asked).labels.shape == (20, 20)


def test_provenance_is_plain_and_complete(segmenter, asked):
    made_by = segmenter.segment(asked).provenance
    again = json.loads(json.dumps(made_by))
    assert again == made_by
    assert [c["name"] for c in made_by["classes"]] == ["red", "green", "blue"]
    assert made_by["fingerprint"] == segmenter.encoder.fingerprint
    assert made_by["settings"]["refinement"] == "guided"
    assert made_by["image"]["shape"] == [128, 192]


def test_bad_requests_say_what_to_do(encoder, stack_of, quarters, asked):
    segmenter = Segmenter(encoder)
    assert segmenter.features is None
    with pytest.raises(InputError, match="choose an image"):
        segmenter.segment(asked)
    with pytest.raises(InputError, match="choose an image"):
        segmenter.coarse_probabilities(asked)
    with pytest.raises(InputError, match="Plane 3 does not exist"):
        segmenter.set_image(stack_of(quarters), plane=3)
    with pytest.raises(InputError, match="Modality 1 does not exist"):
        segmenter.set_image(stack_of(quarters), modality=1)
    segmenter.set_image(stack_of(quarters))
    with pytest.raises(InputError, match="type at least one"):
        segmenter.segment(PromptSet(()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quality": "best"}, "fast or fine"),
        ({"refinement": "magic"}, "guided"),
        ({"tile_size": 10}, "at least 64"),
        ({"tile_overlap": 900}, "overlap"),
        ({"superpixels": 0}, "superpixels"),
        ({"guided_strength": 0.0}, "above 0"),
        ({"unknown_ceiling": 2.0}, "0 to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        SegmentationSettings(**change)


def test_settings_can_be_changed_without_encoding(segmenter, encoder, asked):
    segmenter.settings = SegmentationSettings(refinement="none")
    assert segmenter.segment(asked).provenance["settings"]["refinement"] == "none"
    assert len(encoder.encoded) == 1


def test_features_of_another_device_type_are_not_needed(segmenter):
    assert segmenter.features is not None
    assert segmenter.features.semantic.device == torch.device("cpu")
