"""The solution that tuning starts from stays finite where the words are sure and wrong, and all pixels are alike."""

from __future__ import annotations

import torch

from napari_promptseg.learning.warm_start import fit_linear


def test_sure_and_wrong_words_over_pixels_that_are_all_alike() -> None:
    features = torch.eye(2).repeat_interleave(40, dim=0) * 30
    prior = torch.tensor([[9.0, -25.0, 28.0]]).repeat(80, 1)
    target = torch.tensor([0, 1]).repeat_interleave(40)
    found = fit_linear(prior, features, target, torch.ones(80))
    assert torch.isfinite(found.weights).all()
    assert (found.logits(prior, features).argmax(dim=1) == target).all()
