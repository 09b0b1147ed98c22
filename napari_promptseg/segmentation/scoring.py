"""Frozen features against embedded words: one coarse map of logits per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.multiview import LearnedScores
from napari_promptseg.prompts.prompt_set import Pooling
from napari_promptseg.segmentation.background import background_logit

#: Cells scored at once.
_CELLS = 1 << 15


@runtime_checkable
class SuppliesBackground(Protocol):
    """An encoder that knows vectors of its own for "none of these", added to the user's background words."""

    def background_vectors(self) -> torch.Tensor:
        """``(b, d)`` float rows of unit length."""
        ...


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """Logits on the grid of the features.

    Parameters
    ----------
    classes : torch.Tensor
        ``(C, h, w)`` float32.
    background : torch.Tensor or None
        ``(h, w)`` float32; None where no background word stands against the classes.
    """

    classes: torch.Tensor
    background: torch.Tensor | None


def score(
    features: DenseFeatures,
    class_vectors: Sequence[torch.Tensor],
    background: torch.Tensor,
    encoder: Encoder,
    pooling: Pooling,
    learned: LearnedScores | None = None,
) -> ScoreMaps:
    """Score every cell against every class.

    Parameters
    ----------
    features : DenseFeatures
        Of one plane.
    class_vectors : sequence of torch.Tensor
        Per class ``(m, d)``: one row per text.
    background : torch.Tensor
        ``(b, d)``; may have no row.
    encoder : Encoder
        For ``logit_scale`` and ``logit_bias``.
    pooling : {"mean", "max"}
        Several texts of one class: score their mean direction, or take the best score at each cell.
    learned : LearnedScores, optional
        Temperature and presence of tuned classes.

    Returns
    -------
    ScoreMaps
        ``logit_scale * (features @ text) + logit_bias``.

    Raises
    ------
    InputError
        If features and texts have different lengths, which means that they come from different models.

    Notes
    -----
    Dense scoring as in MaskCLIP (Zhou et al. 2022). One matrix product serves all texts of all classes.
    """
    semantic = features.semantic
    height, width, length = semantic.shape
    rows = [_pooled(v, pooling) for v in class_vectors]
    if isinstance(encoder, SuppliesBackground):
        own = encoder.background_vectors().to(background)
        background = torch.cat([background, own]) if background.numel() else own
    n_background = int(background.shape[0]) if background.numel() else 0
    stacked = torch.cat([*rows, background] if n_background else rows)
    if stacked.shape[-1] != length:
        raise InputError(
            f"The words have {stacked.shape[-1]} numbers each and the picture's features {length}: "
            "they come from different models, segment the picture again."
        )
    stacked = stacked.to(device=semantic.device, dtype=torch.float32)
    # in parts, since the blended features of a large plane are float16 and would double twice
    flat = semantic.reshape(-1, length)
    cells = (flat[i : i + _CELLS] for i in range(0, flat.shape[0], _CELLS))
    cosines = torch.cat([stacked @ part.float().T for part in cells], dim=1)
    scale = encoder.logit_scale * (1.0 if learned is None else learned.scale)
    logits = (cosines * scale + encoder.logit_bias).view(-1, height, width)
    maps, start = [], 0
    for row in rows:
        stop = start + row.shape[0]
        maps.append(logits[start] if stop - start == 1 else logits[start:stop].amax(dim=0))
        start = stop
    classes = torch.stack(maps)
    if learned is not None:
        classes = classes + learned.offsets.to(classes)[:, None, None]
    return ScoreMaps(classes, background_logit(logits[start:]) if n_background else None)


def _pooled(vectors: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """The rows that are scored: all of them for ``"max"``, their mean direction for ``"mean"``."""
    if pooling == "max" or vectors.shape[0] == 1:
        return vectors
    return F.normalize(vectors.mean(dim=0, keepdim=True), dim=-1)
