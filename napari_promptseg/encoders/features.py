"""What an encoder makes of one plane."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Deferred:
    """A tensor that is made when it is first asked for.

    Parameters
    ----------
    make : callable
        Called once, without arguments.
    n_bytes : int
        The larger of what it holds on to until then and what it makes.
    """

    make: Callable[[], torch.Tensor]
    n_bytes: int


class DenseFeatures:
    """Frozen features of one 2-D plane, computed once and scored many times.

    Parameters
    ----------
    semantic : torch.Tensor
        ``(h, w, d)`` float, in the joint image-text space: ``semantic @ texts.T`` is the raw score.
        Rows are L2-normalised unless the encoder says otherwise.
    detail : torch.Tensor or Deferred
        ``(h', w', d')`` float, from earlier layers and on a finer grid, for edges and few-shot learning.
        The last axis holds per-image standardised channels. A mask from words does not need it, so an encoder
        may leave it for later.
    pooled : torch.Tensor or Deferred
        ``(d,)`` the whole picture's own embedding, as ``encode_image`` gives it.
    image_shape : tuple of int
        ``(Y, X)`` of the plane in pixels. Both grids cover the plane exactly, with cell centres at
        ``(i + 0.5) * Y / h``: ``torch.nn.functional.interpolate(..., align_corners=False)`` maps back.
    fingerprint : str
        Of the encoder and its settings.
    """

    def __init__(
        self,
        semantic: torch.Tensor,
        detail: torch.Tensor | Deferred,
        pooled: torch.Tensor | Deferred,
        image_shape: tuple[int, int],
        fingerprint: str,
    ) -> None:
        self.semantic = semantic
        self.image_shape = image_shape
        self.fingerprint = fingerprint
        self._detail = detail
        self._pooled = pooled
        # counted once: a cache must give back as much as it took
        self._n_bytes = sum(_n_bytes(t) for t in (semantic, detail, pooled))
        self._lock = threading.Lock()

    @property
    def detail(self) -> torch.Tensor:
        """``(h', w', d')``; made at the first call where the encoder left it for later."""
        with self._lock:
            if isinstance(self._detail, Deferred):
                self._detail = self._detail.make()
            return self._detail

    @property
    def pooled(self) -> torch.Tensor:
        """``(d,)``; made at the first call where the encoder left it for later."""
        with self._lock:
            if isinstance(self._pooled, Deferred):
                self._pooled = self._pooled.make()
            return self._pooled

    @property
    def n_bytes(self) -> int:
        """Memory held at most, in bytes."""
        return self._n_bytes

    def covering(self, image_shape: tuple[int, int]) -> DenseFeatures:
        """The same features of the same plane in other pixels: of an enlarged picture, for the plane it was made from.

        Both have their tensors in common; itself for its own shape.
        """
        if image_shape == self.image_shape:
            return self
        late = (Deferred(lambda: self.detail, _n_bytes(self._detail)), Deferred(lambda: self.pooled, 0))
        return DenseFeatures(self.semantic, *late, image_shape, self.fingerprint)

    def to(self, device: torch.device | str) -> DenseFeatures:
        """The same features on another device; these themselves where they are there already."""
        if self.semantic.device == torch.device(device):
            return self
        return DenseFeatures(
            self.semantic.to(device), self.detail.to(device), self.pooled.to(device), self.image_shape, self.fingerprint
        )


def _n_bytes(tensor: torch.Tensor | Deferred) -> int:
    return tensor.n_bytes if isinstance(tensor, Deferred) else tensor.element_size() * tensor.nelement()
