"""Whether the embedded model says rightly which words it knows."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_promptseg.encoders.aligned import AlignedEncoder
from napari_promptseg.encoders.familiarity import KNOWN, RELATED, nearest_names
from napari_promptseg.resource_files import resource


@pytest.fixture(scope="module")
def encoder() -> AlignedEncoder:
    return AlignedEncoder.from_directory(resource("embedded"))


def test_levels_follow_the_cosine() -> None:
    learned = torch.eye(3)
    wanted = [(KNOWN + 1) / 2, (KNOWN + RELATED) / 2, RELATED / 2]
    vectors = torch.stack([torch.tensor([c, 0.0, (1 - c * c) ** 0.5]) for c in wanted])
    learned = learned[:2]
    judged = nearest_names(functional.normalize(vectors, dim=1), learned, ["cat", "dog"])
    assert [level for level, _ in judged] == ["known", "related", "unknown"]
    assert all(names[0] == "cat" for _, names in judged)


def test_trained_words_are_known_and_foreign_ones_are_not(encoder: AlignedEncoder) -> None:
    words = ["person", "sky", "skin lesion", "cell nucleus", "polyp", "benign breast tumour", "hippocampus"]
    levels = [level for level, _ in encoder.familiarity(words)]
    assert levels[:4] == ["known"] * 4
    assert "known" not in levels[4:]


def test_no_name_gives_no_judgement(encoder: AlignedEncoder) -> None:
    assert encoder.familiarity([]) == []
