"""From probability maps to the label of each pixel, its confidence and what came second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from napari_promptseg.segmentation.pixel_maps import PixelMaps

#: Pixels decided at once where labels change, to bound memory.
_POINTS = 1 << 18


@dataclass(frozen=True)
class Rule:
    """When a class is drawn.

    Parameters
    ----------
    thresholds : tuple of float
        Per class: ``p_c / (p_c + p_0)`` must reach it, else the pixel is background.
    drawable : tuple of bool
        Per class: whether it may be drawn at all. One that may not can still come second.
    """

    thresholds: tuple[float, ...]
    drawable: tuple[bool, ...]

    @classmethod
    def make(cls, thresholds: Sequence[float], *, unknown: Sequence[bool], ceiling: float) -> Rule:
        """A class of unknown name is drawable only under a threshold below its ceiling."""
        drawable = tuple(not u or t < ceiling for t, u in zip(thresholds, unknown, strict=True))
        return cls(tuple(float(t) for t in thresholds), drawable)


@dataclass(frozen=True, eq=False)
class Decision:
    """Indices, 0 for background and ``c + 1`` for class ``c``, all of one shape.

    Parameters
    ----------
    index, second : torch.Tensor
        uint8 or int32.
    confidence, second_confidence : torch.Tensor
        float32, probabilities of what `index` and `second` say.
    """

    index: torch.Tensor
    confidence: torch.Tensor
    second: torch.Tensor
    second_confidence: torch.Tensor


def rank(values: torch.Tensor, rule: Rule) -> Decision:
    """Decide cells from probabilities ``(C + 1, ...)``, background first.

    Notes
    -----
    The best class competes with background by its own threshold; a class that loses is not replaced by the
    next one, so that raising a threshold never adds a pixel to any class. Of equal classes the first wins.

    The best two of many maps are found in one sweep of minima and maxima over integer keys: the bits of a
    non-negative float order like integers, and its lowest bits are replaced by the class's number. That
    rounds a probability by less than one part in 10 000 for up to 1000 classes, and takes a tenth of the
    time of two ``max`` calls with indices.
    """
    n_maps = values.shape[0]
    mask = (1 << max(1, (n_maps - 1).bit_length())) - 1
    values = values.clamp(0, 1).contiguous()
    nothing = values[0].clone()
    numbers = mask - torch.arange(n_maps, dtype=torch.int32, device=values.device)
    keys = values.view(torch.int32)
    keys.bitwise_and_(~mask).bitwise_or_(numbers.view(-1, *[1] * (values.ndim - 1)))
    best = torch.full_like(keys[0], -1)
    second = torch.full_like(keys[0], -1)
    for key, drawable in zip(keys[1:], rule.drawable, strict=True):
        if drawable:
            second = torch.maximum(second, torch.minimum(best, key))
            best = torch.maximum(best, key)
        else:
            second = torch.maximum(second, key)
    wins, found = _passes(best, nothing, rule, mask)
    index = torch.where(wins, found, 0)
    runner = torch.where(wins, torch.maximum(second, keys[0]), torch.maximum(best, second))
    confidence = torch.where(wins, best.bitwise_and(~mask).view(torch.float32), nothing)
    chance = runner.bitwise_and(~mask).view(torch.float32)
    return Decision(index, confidence, mask - runner.bitwise_and(mask), chance)


def _passes(best: torch.Tensor, nothing: torch.Tensor, rule: Rule, mask: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the best class reaches its threshold, and which class it is."""
    found = mask - best.bitwise_and(mask)
    if not any(rule.drawable):
        return torch.zeros_like(best, dtype=torch.bool), found
    chance = best.bitwise_and(~mask).view(torch.float32)
    used = {t for t, drawable in zip(rule.thresholds, rule.drawable, strict=True) if drawable}
    if len(used) == 1:
        threshold: torch.Tensor | float = used.pop()
    else:
        threshold = chance.new_tensor([0.0, *rule.thresholds])[found.long()]
    return chance * (1 - threshold) >= nothing * threshold, found


def decide(maps: PixelMaps, rule: Rule) -> Decision:
    """Labels of every pixel.

    Notes
    -----
    Labels are decided on the working grid. Between four working cells that agree every interpolated pixel
    agrees with them, since both the comparison of two classes and a threshold are linear in the
    probabilities; only where cells differ are single pixels read, with the picture's own full-resolution
    values, and decided again. The cost is that of the outlines and not of the area.
    """
    coarse = rank(maps.on_working_grid(), rule)
    if maps.shape == maps.working_shape:
        return coarse
    height, width = maps.working_shape
    rows, near_rows = _cells(maps.shape[0], height, coarse.index.device)
    columns, near_columns = _cells(maps.shape[1], width, coarse.index.device)
    padded = F.pad(coarse.index[None, None].float(), (1, 1, 1, 1), mode="replicate")[0, 0]
    corner = padded[:-1, :-1]
    mixed = (corner != padded[1:, :-1]) | (corner != padded[:-1, 1:]) | (corner != padded[1:, 1:])
    small = torch.uint8 if maps.base.shape[0] <= 256 else torch.int32
    index = _spread(coarse.index.to(small), near_rows, near_columns)
    second = _spread(coarse.second.to(small), near_rows, near_columns)
    confidence, chance = (
        F.interpolate(cells[None, None], size=maps.shape, mode="bilinear")[0, 0].contiguous()
        for cells in (coarse.confidence, coarse.second_confidence)
    )
    open_pixels = torch.nonzero(_spread(mixed, rows, columns).view(-1))[:, 0]
    for start in range(0, open_pixels.shape[0], _POINTS):
        at = open_pixels[start : start + _POINTS]
        y = torch.div(at, maps.shape[1], rounding_mode="floor")
        fine = rank(maps.at(y, at - y * maps.shape[1]), rule)
        index.view(-1).index_copy_(0, at, fine.index.to(small))
        second.view(-1).index_copy_(0, at, fine.second.to(small))
        confidence.view(-1).index_copy_(0, at, fine.confidence)
        chance.view(-1).index_copy_(0, at, fine.second_confidence)
    return Decision(index, confidence, second, chance)


def _spread(cells: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Repeat cells over pixels: ``(h, w)`` to ``(len(rows), len(columns))``."""
    # whole rows are copied both times, which is three times as fast as picking columns
    return cells.T.contiguous().index_select(0, columns).T.contiguous().index_select(0, rows)


def _cells(n_pixels: int, n_cells: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Per pixel: the gap between cell centres it lies in (0 before the first centre), and its nearest cell."""
    place = (torch.arange(n_pixels, device=device, dtype=torch.float64) + 0.5) * (n_cells / n_pixels)
    return (place + 0.5).floor().long(), place.floor().long().clamp(max=n_cells - 1)
