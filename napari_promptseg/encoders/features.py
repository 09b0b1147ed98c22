"""What an encoder makes of one plane."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class DenseFeatures:
    """Frozen features of one 2-D plane, computed once and scored many times.

    Parameters
    ----------
    semantic : torch.Tensor
        ``(h, w, d)`` float, in the joint image-text space: ``semantic @ texts.T`` is the raw score.
        Rows are L2-normalised unless the encoder says otherwise.
    detail : torch.Tensor
        ``(h', w', d')`` float, from earlier layers and on a finer grid, for edges and few-shot learning.
        The last axis holds per-image standardised channels.
    pooled : torch.Tensor
        ``(d,)`` the whole picture's own embedding, as ``encode_image`` gives it.
    image_shape : tuple of int
        ``(Y, X)`` of the plane in pixels. Both grids cover the plane exactly, with cell centres at
        ``(i + 0.5) * Y / h``: ``torch.nn.functional.interpolate(..., align_corners=False)`` maps back.
    fingerprint : str
        Of the encoder and its settings.
    """

    semantic: torch.Tensor
    detail: torch.Tensor
    pooled: torch.Tensor
    image_shape: tuple[int, int]
    fingerprint: str

    @property
    def n_bytes(self) -> int:
        """Memory held, in bytes."""
        return sum(t.element_size() * t.nelement() for t in (self.semantic, self.detail, self.pooled))

    def to(self, device: torch.device | str) -> DenseFeatures:
        """The same features on another device."""
        return DenseFeatures(
            self.semantic.to(device), self.detail.to(device), self.pooled.to(device), self.image_shape, self.fingerprint
        )
