"""The terms of prompt tuning have the values their formulas say."""

from __future__ import annotations

import math

import pytest
import torch

from napari_promptseg.learning.losses import (
    anchor_loss,
    image_loss,
    orthogonal_loss,
    pixel_loss,
    share_loss,
    share_margin,
)


def test_orthogonal_loss_is_zero_only_for_views_at_right_angles() -> None:
    basis = torch.eye(3)[:, None].expand(-1, 2, -1)
    assert orthogonal_loss(basis).item() == pytest.approx(0)
    assert orthogonal_loss(torch.ones(3, 2, 4)).item() == pytest.approx(3)  # three pairs, all parallel
    opposite = torch.stack([torch.ones(2, 4), -torch.ones(2, 4)])
    assert orthogonal_loss(opposite).item() == pytest.approx(1)
    assert orthogonal_loss(torch.ones(1, 2, 4)).item() == 0


def test_orthogonal_loss_of_groups_is_their_mean() -> None:
    tokens = torch.randn(3, 5, 2, 8, generator=torch.Generator().manual_seed(0))
    each = torch.stack([orthogonal_loss(tokens[:, i]) for i in range(5)])
    assert orthogonal_loss(tokens).item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_anchor_loss_ignores_length() -> None:
    words = torch.eye(3)
    assert anchor_loss(5 * words, words).item() == pytest.approx(0, abs=1e-6)
    assert anchor_loss(-words, words).item() == pytest.approx(2)


def test_pixel_loss_counts_by_weight() -> None:
    logits, target = torch.zeros(3, 4), torch.tensor([0, 1, 2])
    logits[0, 0] = 100
    assert pixel_loss(logits, target, torch.tensor([1.0, 0, 0])).item() == pytest.approx(0, abs=1e-5)
    assert pixel_loss(logits, target, torch.tensor([0.0, 2, 5])).item() == pytest.approx(math.log(4))


def test_image_loss_reads_only_what_is_known() -> None:
    shown = torch.tensor([[0.9, 0.1]], requires_grad=True)
    labels = torch.tensor([[1.0, 1.0]])
    loss = image_loss(shown, labels, torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(-math.log(0.9), rel=1e-4)
    nothing = image_loss(shown, labels, torch.zeros(1, 2, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0
    assert shown.grad is not None
    assert shown.grad.abs().sum() == 0


def test_share_of_a_group_is_its_part_of_the_softmax() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    group = torch.tensor([True, False, True, False, False])
    expected = logits.softmax(dim=1)[:, group].sum(dim=1)
    assert torch.allclose(torch.sigmoid(share_margin(logits, group)), expected, atol=1e-6)


def test_share_loss_counts_what_the_group_took_and_not_what_it_gave_back() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5]])
    group = torch.tensor([True, True, False])
    share = torch.sigmoid(share_margin(logits, group))
    one, rival = torch.ones(1), torch.tensor([[0.0, 0.0, 1.0]])
    assert share_loss(logits, group, share, one).item() == pytest.approx(0, abs=1e-6)
    assert share_loss(logits[:, [1, 0, 2]], group, share, one).item() == pytest.approx(0, abs=1e-6)
    assert share_loss(logits + rival, group, share, one).item() == 0
    taken = share_loss(logits - rival, group, share, one)
    assert taken > 0.01
    assert share_loss(logits - 2 * rival, group, share, one) > 2 * taken
    assert share_loss(logits - rival, group, share, 0 * one).item() == 0
