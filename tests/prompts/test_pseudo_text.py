"""The text transform and the text-free student: exact where they can be worked out, differentiable, stored whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tower_encoder import WIDTH, SmallTower, TowerEncoder

from napari_promptseg.encoders.text import SLOT
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.pseudo_text import TextTransform, initial_transform, with_slots
from napari_promptseg.prompts.text_free import TextFreeStudent

NAMES = ["red", "green", "blue", "black", "red green", "blue black"]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_words_of_the_user_stay_before_the_slots() -> None:
    assert with_slots("one  small polyp, left", 2) == f"one small polyp, left, segmentation area of {SLOT}{SLOT}"


def test_map_from_words_is_linear_in_the_contrast() -> None:
    """A token is the layer norm of ``M (inside - around)``, so contrasts that are multiples give the same token."""
    vectors, tokens = torch.nn.functional.normalize(drawn(40, 6), dim=1), drawn(40, 8, seed=1)
    made = TextTransform.from_words(vectors, tokens, hidden=64)
    one, other = torch.nn.functional.normalize(drawn(2, 6, seed=2), dim=1)
    both = torch.cat([one, other])
    raw = made.second(torch.nn.functional.gelu(made.first(both)))
    again = made.second(torch.nn.functional.gelu(made.first(2 * both)))
    torch.testing.assert_close(again, 2 * raw, rtol=1e-4, atol=1e-4)
    swapped = made.second(torch.nn.functional.gelu(made.first(torch.cat([other, one]))))
    torch.testing.assert_close(swapped, -raw, rtol=1e-4, atol=1e-4)


def test_map_from_words_finds_the_token_of_a_name() -> None:
    vectors = torch.nn.functional.normalize(drawn(30, 10), dim=1)
    tokens = torch.nn.functional.layer_norm(vectors @ drawn(10, 8, seed=3), (8,))
    made = TextTransform.from_words(vectors, tokens, hidden=64)
    centre = vectors.mean(0)
    own = torch.stack([made(v[None], centre[None])[0, 0] for v in vectors])
    alike = torch.nn.functional.cosine_similarity(own[:, None], tokens[None], dim=-1)
    assert alike.diagonal().mean() > 0.6
    assert alike.diagonal().mean() > alike.mean() + 0.5


def test_gradient_reaches_every_weight_through_the_tower() -> None:
    tower, made = SmallTower(), TextTransform(5, WIDTH, hidden=8, n_tokens=2)
    tokens = made(drawn(3, 5), drawn(3, 5, seed=1))
    assert tokens.shape == (3, 2, WIDTH)
    vectors = tower.encode_with_slots([with_slots("red", 2)] * 3, tokens)
    vectors[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_every_model_has_a_transform_to_begin_with() -> None:
    encoder = TowerEncoder()
    made = initial_transform(encoder, encoder.text_tower, NAMES)
    assert made.norm.weight.shape == (WIDTH,)
    copy = TextTransform.from_tensors(made.tensors())
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), copy.parameters(), strict=True))
    with pytest.raises(InputError, match="damaged"):
        TextTransform.from_tensors({"first.weight": np.zeros((4, 4), np.float32)})
    with pytest.raises(InputError, match="at least 4 names"):
        TextTransform.from_words(drawn(2, 6), drawn(2, 8))


def test_untrained_student_is_its_teacher() -> None:
    teacher, centre = torch.nn.functional.normalize(drawn(2, 7), dim=1)
    student = TextFreeStudent(teacher, centre)
    torch.testing.assert_close(student(drawn(4, 7, seed=1)), teacher.expand(4, 7))
    again = TextFreeStudent.from_tensors({k: np.array(v) for k, v in student.tensors().items()})
    assert torch.equal(again(drawn(1, 7)), student(drawn(1, 7)))
    with pytest.raises(InputError, match="damaged"):
        TextFreeStudent.from_tensors({"student-teacher": np.zeros(7, np.float32)})
