"""What tuned prompts say of a whole picture holds for all its blocks; plain encoders give the same masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from large_workshop import PROMPTS, SETTINGS, Workshop
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg.images.stack import ImageStack
from napari_promptseg.label_jobs import Job
from napari_promptseg.large.pictures import Picture
from napari_promptseg.large.plain_encoder import PlainEncoder, suffices
from napari_promptseg.large.whole_picture import depends_on_whole, sample, settled
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.region_concepts import INFERENCES, key
from napari_promptseg.prompts.text_free import TextFreeStudent
from napari_promptseg.segmentation.segmenter import Segmenter


def vector(colour: str) -> np.ndarray:
    return PixelEncoder._vectors(np.array(COLOURS[colour])).numpy()


def tuned(**more) -> LearnedPrompts:
    return LearnedPrompts(
        PixelEncoder.fingerprint,
        PixelEncoder.name,
        views={1: vector("red")[None], 2: vector("green")[None]},
        global_views={1: vector("red"), 2: vector("green")},
        scale=0.2,
        gamma=8.0,
        tau=1.0,
        **more,
    )


def halves(workshop: Workshop) -> Workshop:
    """Red on the left; on the right what is nearly as red as it is green, and taken for red where red is about."""
    pixels = np.zeros((300, 390, 3), np.uint8)
    pixels[:, :190] = COLOURS["red"]
    pixels[:, 200:] = (121, 122, 0)
    np.save(workshop.image, pixels)
    return replace(workshop, prompts=replace(PROMPTS, learned=tuned()))


def test_presence_is_that_of_the_whole_picture(workshop):
    own = halves(workshop)
    assert depends_on_whole(own.prompts)
    assert not depends_on_whole(PROMPTS)
    own.run(side=48)
    whole = Segmenter(own.encoder, settings=replace(SETTINGS, whole_up_to=400))
    whole.set_image(ImageStack.from_array(np.load(own.image)))
    np.testing.assert_array_equal(own.written(), whole.segment(own.prompts).labels)
    # taken for itself, the right half is green
    whole.set_image(ImageStack.from_array(np.load(own.image)[:, 200:]))
    assert (whole.segment(own.prompts).labels == 2).all()
    assert (own.written()[:, 200:] == 1).all()


def test_settled_prompts_score_the_sample_as_before(workshop):
    own = halves(workshop)
    segmenter = Segmenter(own.encoder, settings=SETTINGS)
    picture, stack = Picture.of(Job(own.image, own.labels), "auto", SETTINGS, 96)
    features = sample(segmenter, stack, picture)
    assert features.semantic.shape[:2] == (25 * 64, 64)
    fixed = settled(own.prompts, features)
    assert not fixed.learned.global_views
    assert not depends_on_whole(fixed)
    torch.testing.assert_close(
        segmenter.probabilities_of(features, fixed), segmenter.probabilities_of(features, own.prompts)
    )


def test_a_text_free_concept_gets_one_vector_for_the_whole_picture(workshop):
    own = halves(workshop)
    student = TextFreeStudent(torch.tensor(vector("red")), torch.tensor(vector("black")))
    with torch.no_grad():
        student.second.weight.normal_(generator=torch.Generator().manual_seed(0))
    place = np.array([INFERENCES.index("text-free")])
    tensors = {key(name, 1): value for name, value in student.tensors().items()}
    tensors |= {key("inference", 1): place, key("gain", 1): np.ones(1, np.float32)}
    prompts = replace(PROMPTS, learned=tuned(tensors=tensors))
    assert depends_on_whole(prompts)
    segmenter = Segmenter(own.encoder, settings=SETTINGS)
    features = segmenter.set_image(Picture.of(Job(own.image, own.labels), "auto", SETTINGS, 96)[1])
    fixed = settled(prompts, features)
    torch.testing.assert_close(
        segmenter.probabilities_of(features, fixed), segmenter.probabilities_of(features, prompts)
    )
    assert not np.allclose(fixed.learned.vector(1), prompts.learned.vector(1))


def test_a_plain_encoder_computes_neither_detail_nor_embedding():
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    plain, own = PlainEncoder(PixelEncoder()), PixelEncoder()
    found = plain.encode_plane(picture, quality="fast")
    torch.testing.assert_close(found.semantic, own.encode_plane(picture).semantic)
    assert found.detail.shape == (40, 50, 1)
    assert not found.pooled.any()
    assert (plain.fingerprint, plain.logit_scale) == (own.fingerprint, own.logit_scale)
    assert suffices(PROMPTS)
    assert suffices(replace(PROMPTS, learned=tuned()))
    assert not suffices(replace(PROMPTS, learned=tuned(tensors={"live/class/1": np.ones(3)})))


@pytest.mark.parametrize("learned", [None, tuned()])
def test_volumes_are_sampled_over_their_planes(workshop, learned):
    pixels = np.load(workshop.image)
    np.save(workshop.image, np.stack([pixels] * 3))
    own = replace(workshop, prompts=replace(PROMPTS, learned=learned))
    own.run(side=192)
    assert own.written().shape == (3, 300, 390)
