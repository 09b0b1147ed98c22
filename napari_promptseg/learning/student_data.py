"""What a student learns from: single pixels of encoded planes, with true labels or with those that prompts gave."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.tuning_data import TuningSample, pixel_weights, sampled
from napari_promptseg.prompts.multiview import learned_scores
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

Ints = npt.NDArray[np.int64]

#: Cells on the longer side of what is looked at in one piece; a larger plane is taken in pieces.
PIECE = 64


@dataclass(frozen=True, eq=False)
class Piece:
    """Some pixels of a plane, or of a part of a large one.

    Parameters
    ----------
    semantic : torch.Tensor
        ``(h, w, d)`` float16 joint vectors of the part.
    places : torch.Tensor
        ``(n, 2)`` float: x and y of the pixels in the part, from -1 to 1.
    own, detail : torch.Tensor
        ``(n, d)`` float32 and ``(n, d')`` float16: features at the pixels.
    offsets : torch.Tensor
        ``(C,)``: what the presence of each class in the plane adds to its logit.
    target : torch.Tensor
        ``(n,)`` int64 columns, 0 for background and ``c + 1`` for class c; -1 for a pixel nobody labelled.
    sure : torch.Tensor
        ``(n,)`` float: probability of the label, 1 for a true one.
    area : torch.Tensor
        ``(n,)`` float: how much of the labelled pixels each stands for.
    index : numpy.ndarray
        ``(n,)`` places of the pixels among those of their plane.
    """

    semantic: torch.Tensor
    places: torch.Tensor
    own: torch.Tensor
    detail: torch.Tensor
    offsets: torch.Tensor
    target: torch.Tensor
    sure: torch.Tensor
    area: torch.Tensor
    index: Ints

    def labelled(self, target: torch.Tensor, sure: torch.Tensor) -> Piece:
        """The same pixels with other labels."""
        return replace(self, target=target, sure=sure)


def true_pieces(samples: Sequence[TuningSample], prompts: PromptSet) -> list[list[Piece]]:
    """Labelled pixels as pieces, a list for each sample."""
    column = _columns(prompts)
    areas = torch.from_numpy(pixel_weights(samples, 1.0)).float()
    found, start = [], 0
    for sample in samples:
        stop = start + len(sample.values)
        target = torch.tensor([column[int(v)] for v in sample.values], dtype=torch.long)
        found.append(list(_pieces(sample, prompts, target, torch.ones(len(target)), areas[start:stop])))
        start = stop
    return found


def pseudo_pieces(
    features: DenseFeatures, labels: LabelMap, prompts: PromptSet, *, pixels: int, rng: np.random.Generator
) -> list[Piece]:
    """Pixels of a plane drawn evenly, labelled as the prompts label them."""
    height, width = features.image_shape
    drawn = rng.choice(height * width, min(pixels, height * width), replace=False)
    rows, columns = np.divmod(drawn.astype(np.int64), width)
    values = labels.labels[rows, columns].astype(np.int64)
    sure = torch.from_numpy(labels.confidence[rows, columns].astype(np.float32))
    column = _columns(prompts)
    target = torch.tensor([column[int(v)] for v in values], dtype=torch.long)
    sample = TuningSample(features, rows, columns, values, np.zeros(len(rows), np.int64))
    return list(_pieces(sample, prompts, target, sure, torch.ones(len(target))))


def _columns(prompts: PromptSet) -> dict[int, int]:
    return {0: 0, **{c.value: i + 1 for i, c in enumerate(prompts.classes)}}


def _pieces(
    sample: TuningSample, prompts: PromptSet, target: torch.Tensor, sure: torch.Tensor, area: torch.Tensor
) -> Iterator[Piece]:
    """The pixels of a sample part by part; a plane of usual size is one part."""
    features = sample.features
    height, width = features.image_shape
    grid = tuple(int(n) for n in features.semantic.shape[:2])
    learned = learned_scores(prompts, features)
    offsets = torch.zeros(len(prompts)) if learned is None else learned.offsets.float().cpu()
    own, detail = sampled(features.semantic, sample).cpu(), sampled(features.detail, sample).half().cpu()
    y = torch.from_numpy((sample.rows + 0.5) / height * grid[0])
    x = torch.from_numpy((sample.columns + 0.5) / width * grid[1])
    for top, bottom in _ranges(grid[0]):
        for left, right in _ranges(grid[1]):
            inside = (y >= top) & (y < bottom) & (x >= left) & (x < right)
            if not bool(inside.any()):
                continue
            at = torch.stack([(x - left) / (right - left), (y - top) / (bottom - top)], dim=1)[inside] * 2 - 1
            yield Piece(
                features.semantic[top:bottom, left:right].half().cpu().clone(),
                at.float(),
                own[inside],
                detail[inside],
                offsets,
                target[inside],
                sure[inside],
                area[inside],
                np.flatnonzero(inside.numpy()),
            )


def _ranges(cells: int) -> list[tuple[int, int]]:
    """An axis in equal parts of at most `PIECE` cells."""
    parts = -(-cells // PIECE)
    ends = [round(i * cells / parts) for i in range(parts + 1)]
    return list(itertools.pairwise(ends))
