"""Features that are made only when they are asked for."""

from __future__ import annotations

import torch

from napari_promptseg.encoders.features import Deferred, DenseFeatures


def test_deferred_tensors_are_made_once_and_only_when_asked() -> None:
    made: list[str] = []
    detail, pooled = torch.rand(8, 6, 3), torch.rand(4)

    def make(name: str, value: torch.Tensor) -> torch.Tensor:
        made.append(name)
        return value

    features = DenseFeatures(
        torch.rand(4, 3, 4),
        Deferred(lambda: make("detail", detail), 1000),
        Deferred(lambda: make("pooled", pooled), 16),
        (40, 30),
        "print",
    )
    before = features.n_bytes
    assert made == []
    assert features.detail is detail
    assert features.detail is detail
    assert made == ["detail"]
    assert features.pooled is pooled
    assert made == ["detail", "pooled"]
    assert features.n_bytes == before == 4 * 48 + 1000 + 16


def test_features_on_their_device_are_not_copied() -> None:
    value = torch.rand(2, 2, 3)
    features = DenseFeatures(value, value, value[0, 0], (8, 8), "print")
    assert features.to("cpu") is features
