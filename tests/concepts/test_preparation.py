"""Names that are embedded ahead need not be embedded when a region is described."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pixel_encoder import PixelEncoder

from napari_promptseg.concepts.description import describe_region
from napari_promptseg.concepts.preparation import prepare_names
from napari_promptseg.concepts.vocabulary import Vocabulary
from napari_promptseg.errors import CancelledError
from napari_promptseg.images.stack import ImageStack

WORDS = {
    "natural": Vocabulary("natural", ("red", "green", "gibberish")),
    "endoscopy": Vocabulary("endoscopy", ("blue", "red")),
}


class Counting(PixelEncoder):
    """Counts the sentences it is asked to embed; `names` makes it a model of its own."""

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint
        self.asked: list[str] = []

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked += list(texts)
        return super().encode_texts(texts)


def described(encoder: Counting) -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[..., 1] = 255
    picture[4:12, 4:12] = (255, 0, 0)
    mask = np.zeros((20, 20), bool)
    mask[4:12, 4:12] = True
    concept = describe_region(ImageStack.from_array(picture), mask, encoder=encoder, words=WORDS)
    assert concept.candidates[0].name == "red"


def test_nothing_is_left_to_embed() -> None:
    encoder = Counting("prepared")
    assert prepare_names(encoder, WORDS) == 3
    assert {"red", "green", "blue"} <= set(encoder.asked)
    assert not any("gibberish" in text for text in encoder.asked)
    encoder.asked.clear()
    described(encoder)
    assert encoder.asked == []


def test_without_it_the_first_description_embeds_them() -> None:
    encoder = Counting("not prepared")
    described(encoder)
    assert encoder.asked


def test_it_can_be_stopped_between_pieces() -> None:
    words = {"natural": Vocabulary("natural", tuple(f"red {i}" for i in range(100)))}
    done = []

    def stop(step: int, total: int, description: str) -> None:
        done.append((step, total))
        if step == 1:
            raise CancelledError

    with pytest.raises(CancelledError):
        prepare_names(Counting("stopped"), words, progress=stop)
    assert done == [(0, 4), (1, 4)]
