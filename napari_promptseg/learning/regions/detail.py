"""What the joint space does not see of a region: one direction in joint and detail features, in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.learning.learned_classes import cell_values
from napari_promptseg.learning.regions.drawn import Pixels
from napari_promptseg.learning.regions.unified import Evidence

#: Of the mean variance, added to every variance: a few pixels of one picture know little of how features vary.
SHRINKAGE = 10.0

#: Weight of words and pseudo-text beside the details where the model does not know the name; 1 where it does.
UNSURE = 0.5

#: How far details, and words and pseudo-text, count beside each picture's own support: where the model knows the name,
#: and where it does not. Chosen on every second picture of five packs, and on planes without a tumour.
LEVEL_KNOWN, LEVEL_UNKNOWN = (0.0, 0.5), (0.75, 0.0)

#: Words and pseudo-text count as much as the details where they tell the region by this logit or more, else less.
_SURE_MARGIN = 1.0


def detail_tensors(pixels: Pixels, evidence: Evidence, margins: torch.Tensor) -> dict[str, npt.NDArray[Any]]:
    """Weights and bias of the details, and how far words and pseudo-text are believed beside them.

    Parameters
    ----------
    pixels : Pixels
    evidence : Evidence
        Of the same pixels.
    margins : torch.Tensor
        ``(n,)`` logits by words and pseudo-text.

    Notes
    -----
    Linear discriminant analysis with the covariance within region and surroundings shrunk towards a multiple of the
    identity, which lies near to the difference of the means. Of one region in one picture, weaker shrinkage finds what
    holds in that picture alone. Scaled so that region and surroundings are one apart, about 0. Where the user said what
    is not the class, a second direction tells it from that alone.
    """
    rows = cells(pixels).double()
    inside = (evidence.weights * evidence.labels).double()
    others = (evidence.weights * (1 - evidence.labels)).double()
    apart = float(_means_apart(inside, others, margins.double()))
    most = 1.0 if evidence.known else UNSURE
    trust = most / max(apart, _SURE_MARGIN) if apart > 0 else 0.0
    area = torch.from_numpy(pixels.areas).to(rows)
    found = {"detail": _discriminant(rows, inside, others, area), "trust": np.array([trust], np.float32)}
    found["level"] = np.array(LEVEL_KNOWN if evidence.known else LEVEL_UNKNOWN, np.float32)
    refused = torch.from_numpy(pixels.said & ~pixels.labels).to(rows)
    if bool(refused.any()):
        found["veto"] = _discriminant(rows, inside, others * refused, area)
    return found


def _discriminant(
    rows: torch.Tensor, inside: torch.Tensor, others: torch.Tensor, area: torch.Tensor
) -> npt.NDArray[np.float32]:
    """Weights followed by the bias, of pixels with weights for one side and the other: one half and minus one half."""
    inside, others = inside / inside.sum(), others / others.sum().clamp_min(1e-12)
    thing, rest = inside @ rows, others @ rows
    within = area * ((inside > 0) | (others > 0))
    within = within / within.sum()
    mine = (inside > 0)[:, None].to(rows)
    centred = rows - mine * thing - (1 - mine) * rest
    covariance = (centred * within[:, None]).T @ centred
    covariance.diagonal().add_(SHRINKAGE * covariance.diagonal().mean().clamp_min(1e-12))
    way = torch.linalg.solve(covariance, thing - rest)
    way = way / ((thing - rest) @ way).clamp_min(1e-12)
    bias = -((thing + rest) / 2) @ way
    row: npt.NDArray[np.float32] = torch.cat([way, bias[None]]).float().cpu().numpy()
    return row


def _means_apart(inside: torch.Tensor, others: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return inside @ values / inside.sum() - others @ values / others.sum().clamp_min(1e-12)


def cells(pixels: Pixels) -> torch.Tensor:
    """``(n, d)`` features as `linear_head.linear_scores` weighs them, at the pixels."""
    parts, order = [], []
    for number, features in enumerate(pixels.planes):
        mine = np.flatnonzero(pixels.plane == number)
        if mine.size:
            parts.append(cell_values(features, pixels.rows[mine], pixels.columns[mine]))
            order.append(mine)
    back = np.argsort(np.concatenate(order), kind="stable")
    return torch.cat(parts)[torch.from_numpy(back).to(parts[0].device)]
