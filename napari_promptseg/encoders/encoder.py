"""The one face every frozen model shows, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.progress import Progress, silent

#: How well a model knows a name; ``"not judged"`` where nothing was measured that could tell.
Familiarity = Literal["known", "related", "unknown", "not judged"]

#: One resized pass (interaction), or overlapping windows at full detail (the final mask).
Quality = Literal["fast", "fine"]


class Encoder(Protocol):
    """A frozen image tower and text tower in one joint space.

    Attributes
    ----------
    name : str
        As the user chose it, for example ``"embedded"``.
    fingerprint : str
        Hex digest of configuration, weights and dense mode: features with another one do not fit.
    device : torch.device
    embedding_dim : int
        Length d of the joint space's vectors.
    logit_scale, logit_bias : float
        Turn cosines into logits as the model was trained to.
    sigmoid : bool
        Whether scores are independent per class (SigLIP) rather than a softmax over classes.
    """

    name: str
    fingerprint: str
    device: torch.device
    embedding_dim: int
    logit_scale: float
    logit_bias: float
    sigmoid: bool

    def encode_plane(
        self, picture: npt.NDArray[np.uint8], *, quality: Quality = "fast", progress: Progress = silent
    ) -> DenseFeatures:
        """Encode one ``(Y, X, 3)`` uint8 picture of any size and aspect."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Embed finished sentences: ``(n, d)`` float32 on `device`, each row of unit length."""
        ...

    def familiarity(self, names: Sequence[str]) -> list[tuple[Familiarity, tuple[str, ...]]]:
        """For each bare class name, whether the model knows it, and the nearest names it learned."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain facts for provenance: name, family, fingerprint, parameters, licence, input size."""
        ...
