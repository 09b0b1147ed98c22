"""Concepts learned from regions, looked for in another picture by words, by details, and by the picture itself.

A region of one picture says little about how bright or how contrasted the same thing is in the next. So the pixels of
which words and details are surest lend the picture its own idea of the thing and of what surrounds it: self-support
(Fan et al., Self-support few-shot semantic segmentation, ECCV 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import inference_of, key, region_values
from napari_promptseg.segmentation.linear_head import detail_scale, linear_scores, standardised
from napari_promptseg.segmentation.scoring import ScoreMaps

#: Share of a picture's cells that stand for the thing at most, and share that stands for what is not it.
SUREST, LEAST = 0.03, 0.7

#: Of the surest cells those count that score more than halfway between surroundings and regions. Where none does, the
#: thing may still be there under another light: then those that score more than the surroundings did on average.
HALFWAY, ABSENT = 0.0, -0.5

#: Logit of a cell that is as the picture's surest are; the opposite for those that stand for the rest.
SURE_LOGIT = 3.0


@dataclass(frozen=True, eq=False)
class RegionHead:
    """What regions taught of one class beside its unified vector.

    Parameters
    ----------
    value : int
    weights : torch.Tensor
        ``(d,)`` over detail and standardised joint channels, see `linear_head.linear_scores`.
    bias : float
        With it the regions score one half on average and what surrounds them minus one half.
    trust : float
        Multiplies the logit of words and pseudo-text, which is added.
    level : tuple of float
        How far details, and trusted words and pseudo-text, count beside the picture's own support: they remember how
        the regions scored, and so see when a picture does not show the thing.
    veto : torch.Tensor, optional
        ``(d + 1,)`` weights and bias that tell the class from what the user said it is not: one half and minus one
        half. What is nearer to that is not taken, however sure the rest is.
    """

    value: int
    weights: torch.Tensor
    bias: float
    trust: float
    level: tuple[float, float] = (0.0, 0.0)
    veto: torch.Tensor | None = None

    def logits(self, features: DenseFeatures, margin: torch.Tensor) -> torch.Tensor:
        """Logits of the class against everything else.

        Parameters
        ----------
        features : DenseFeatures
        margin : torch.Tensor
            ``(h, w)`` logits of words and pseudo-text, on any grid.

        Returns
        -------
        torch.Tensor
            ``(h', w')`` float32 on the grid of the details.
        """
        grid = (int(features.detail.shape[0]), int(features.detail.shape[1]))
        seen = linear_scores(features, self.weights[None].to(features.detail.device))[0] + self.bias
        said = F.interpolate(margin.float()[None, None], size=grid, mode="bilinear", align_corners=False)[0, 0]
        said = self.trust * said.to(seen)
        beside = 2 * SURE_LOGIT * (self.level[0] * seen + self.level[1] * said)
        if self.veto is None:
            return supported(features, seen + said) + beside
        row = self.veto.to(seen)
        against = (linear_scores(features, row[None, :-1])[0] + row[-1]).clamp_max(0)
        return supported(features, seen + said + 2 * against) + beside + 4 * SURE_LOGIT * against


def supported(features: DenseFeatures, first: torch.Tensor) -> torch.Tensor:
    """Score every cell by how much it is like the picture's surest cells and unlike its least sure.

    Parameters
    ----------
    features : DenseFeatures
    first : torch.Tensor
        ``(h', w')`` logits on the grid of the details.

    Returns
    -------
    torch.Tensor
        ``(h', w')``: along the difference of the two means, halfway between them 0; `first` itself where no cell of it
        is above `ABSENT`.
    """
    flat = first.flatten()
    order = flat.argsort(descending=True)
    top = order[: max(1, round(SUREST * len(order)))]
    sure = top[flat[top] > HALFWAY]
    sure = sure if len(sure) else top[flat[top] > ABSENT]
    least = order[len(order) - max(1, round(LEAST * len(order))) :]
    if not len(sure):
        return first
    thing, rest = _mean_at(features, sure, first.shape), _mean_at(features, least, first.shape)
    way = thing - rest
    length = way.square().sum().clamp_min(1e-12)
    bias = -((thing + rest) / 2) @ way
    return (2 * SURE_LOGIT / length) * (linear_scores(features, way[None])[0] + bias)


def _mean_at(features: DenseFeatures, cells: torch.Tensor, grid: torch.Size) -> torch.Tensor:
    """``(d,)`` mean of detail and standardised joint channels over cells of the detail's grid, given by number."""
    detail = features.detail
    fine = detail.reshape(-1, detail.shape[-1])[cells].float().mean(dim=0) * detail_scale(detail)
    share = torch.zeros(grid[0] * grid[1], device=detail.device)
    share[cells] = 1.0 / len(cells)
    height, width, length = features.semantic.shape
    # cells of the coarse grid count as often as their pixels were chosen
    coarse = F.interpolate(share.view(1, 1, *grid), size=(height, width), mode="area")[0, 0].flatten()
    coarse = coarse / coarse.sum().clamp_min(1e-12)
    return torch.cat([fine, coarse @ standardised(features.semantic).reshape(-1, length)])


def region_heads(prompts: PromptSet) -> list[RegionHead]:
    """The heads in use, in order of the class values.

    Raises
    ------
    InputError
        If one is damaged.
    """
    learned = prompts.learned
    found: list[RegionHead] = []
    if learned is None:
        return found
    for value in region_values(prompts):
        row, trust = learned.tensors.get(key("detail", value)), learned.tensors.get(key("trust", value))
        if row is None or trust is None or inference_of(prompts, value) == "words":
            continue
        if row.ndim != 1 or len(row) < 2 or not np.isfinite(row).all():
            raise InputError("What the regions taught is damaged in the prompt file: draw them again.")
        weights = torch.from_numpy(np.array(row, np.float32))
        veto = learned.tensors.get(key("veto", value))
        against = None if veto is None else torch.from_numpy(np.array(veto, np.float32))
        level = learned.tensors.get(key("level", value), np.zeros(2, np.float32))
        own = (float(level[0]), float(level[1]))
        found.append(RegionHead(value, weights[:-1], float(weights[-1]), float(trust[0]), own, against))
    return found


def with_region_heads(
    prompts: PromptSet,
    heads: list[RegionHead],
    features: DenseFeatures,
    chances: torch.Tensor,
    scores: ScoreMaps,
) -> torch.Tensor:
    """Logits of all classes with those of region concepts looked at closely.

    Parameters
    ----------
    prompts : PromptSet
    heads : list of RegionHead
    features : DenseFeatures
    chances : torch.Tensor
        ``(C + 1, h, w)``, background first.
    scores : ScoreMaps
        That the chances were made of.

    Returns
    -------
    torch.Tensor
        ``(C + 1, h', w')`` on the grid of the details; other classes stand to background as before.
    """
    grid = (int(features.detail.shape[0]), int(features.detail.shape[1]))
    logs = chances.clamp_min(1e-20).log()
    margins = logs[1:] - logs[:1] if scores.background is None else scores.classes - scores.background
    out = F.interpolate(logs[None], size=grid, mode="bilinear", align_corners=False)[0]
    places = {c.value: i for i, c in enumerate(prompts.classes)}
    for head in heads:
        if head.value in places:
            out[1 + places[head.value]] = out[0] + head.logits(features, margins[places[head.value]])
    return out
