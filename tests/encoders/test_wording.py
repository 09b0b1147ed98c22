"""Whether a caption model knows a word."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from napari_promptseg.encoders.wording import COMMON_NAMES, MADE_UP_NAMES, word_familiarity


class Reader:
    """Reads known words in directions near a common one, and everything else near the made-up ones."""

    def __init__(self, fingerprint: str = "reader") -> None:
        self.fingerprint = fingerprint
        self.asked: list[int] = []

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked.append(len(texts))
        return functional.normalize(torch.stack([self._vector(t[len("a photo of a ") : -1]) for t in texts]), dim=1)

    def _vector(self, word: str) -> torch.Tensor:
        noise = 0.3 * torch.randn(64, generator=torch.Generator().manual_seed(sum(map(ord, word))))
        vector = torch.zeros(64)
        if word in COMMON_NAMES or word == "kitten":
            vector[0], vector[2 + sum(map(ord, word)) % 3] = 2.0, 1.0
        elif word == "gizmo":
            vector[0], vector[1] = 1.3, 1.7
        else:
            vector[1] = 2.0
        return vector + 0.3 * noise


def test_known_and_unknown_words_are_told_apart() -> None:
    (kitten, near), (strange, _), (cat, _) = word_familiarity(Reader(), ["kitten", "vrumblequist", "cat"])
    assert kitten == "known"
    assert strange == "unknown"
    assert cat == "known"
    assert len(near) == 3
    assert set(near) <= set(COMMON_NAMES)


def test_a_common_name_is_known_to_every_model_whatever_its_case() -> None:
    assert [level for level, _ in word_familiarity(Reader(), [n.upper() for n in COMMON_NAMES[:5]])] == ["known"] * 5


def test_landmarks_are_encoded_once_per_model() -> None:
    first, second = Reader("first"), Reader("second")
    for reader in (first, first, second):
        word_familiarity(reader, ["kitten"])
    landmarks = len(COMMON_NAMES) + len(MADE_UP_NAMES)
    assert sorted(first.asked) == [1, 1, landmarks]
    assert sorted(second.asked) == [1, landmarks]


def test_no_names() -> None:
    assert word_familiarity(Reader(), []) == []
