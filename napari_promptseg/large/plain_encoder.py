"""An encoder for masks from words: what they do not need is not computed.

Of the embedded model the finer features and the picture's own embedding take as long as two thirds of the rest, and
tiles cannot put them off as a whole picture does.
"""

from __future__ import annotations

from typing import Any

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.prompts.prompt_set import PromptSet


def suffices(prompts: PromptSet) -> bool:
    """Whether masks of a set need the joint features alone: names, and prompts tuned as words are."""
    return prompts.learned is None or not prompts.learned.tensors


class PlainEncoder:
    """Another encoder without its finer features and its embedding of the whole picture, for which zeros stand.

    Parameters
    ----------
    encoder : Encoder
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_plane(self, picture: Any, **options: Any) -> DenseFeatures:
        """As the encoder does; `DenseFeatures.semantic` is the encoder's own."""
        found = self._encoder.encode_plane(picture, **options)
        semantic = found.semantic
        return DenseFeatures(
            semantic,
            semantic.new_zeros((*semantic.shape[:2], 1)),
            semantic.new_zeros(semantic.shape[2]),
            found.image_shape,
            found.fingerprint,
        )
