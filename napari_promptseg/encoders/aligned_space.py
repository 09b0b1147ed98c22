"""The joint space of the embedded model: how pixels and sentences get there.

A pixel's vector is ``conse + head``. ConSE (Norouzi et al., ICLR 2014) lets the ImageNet classifier's probabilities
weigh the sentence embeddings of the class names; cells that look alike lend each other their vectors, with a Gaussian
for nearness as in NACLIP (Hajimiri et al., WACV 2025). The head is a small network on features of several depths that
was trained on labelled pixels and kept near ConSE for names that it was not trained on. One further dimension holds
the head's own logit for "none of the names", so that background is a vector like any other. What the whole picture
shows (ConSE of its mean) lends the names that fit it a constant, except names that ImageNet has nothing near to.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.aligned_trunk import STRIDE, Level

#: Stages on the grid of the result, on the coarse grid, and on half of it (the 1280-channel convolution).
FINE_STAGES = (0, 1, 2)
COARSE_STAGES = (4, 6)
TOP_STAGE = 7

#: Stride of the result's grid.
FINE_STRIDE = 8

#: Channels of the first coarse stage, whose cosines say which cells look alike.
ALIKE_CHANNELS = 112

#: Leading channels, of the fine stages and the first coarse one, that are also read against the picture's own mean.
CONTRAST_CHANNELS = 192

_CONTRAST_FLOOR = 1.0
_CONTRAST_GAIN = 2.0
_TEMPERATURE = 2.0
_BEST = 10
_ALIKE = 0.1
_NEAR_CELLS = 2.5

#: Most cells compared with each other at once, to bound memory.
_MOST_CELLS = 4096


class Grids(NamedTuple):
    """One picture's maps ``(c, y, x)``, each on a grid of its own.

    Attributes
    ----------
    fine : tuple of int
        Grid of `low` and of the result.
    low, middle, top : torch.Tensor
        Stages 0 to 2 at stride 8, 4 and 6 at stride 16, the last convolution at stride 32.
    wide : torch.Tensor
        `middle` averaged at stride 64: what lies around a cell.
    """

    fine: tuple[int, int]
    low: torch.Tensor
    middle: torch.Tensor
    wide: torch.Tensor
    top: torch.Tensor


def contrast(values: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Features against the picture's own mean and spread, all of one shape; the floor keeps flat pictures quiet."""
    return _CONTRAST_GAIN * (values - mean) / (spread + _CONTRAST_FLOOR)


class JointSpace(nn.Module):
    """Frozen parts that take features and sentence embeddings into one space of 385 dimensions.

    Parameters
    ----------
    tensors : dict of str to torch.Tensor
        ``classifier (1000, 1280)`` and ``classifier_bias``; ``class_vectors (1000, 384)``, the ImageNet names;
        ``name_vectors (m, 384)``, all names that familiarity is judged by; the head's ``fine_weight``,
        ``coarse_weight``, ``wide_weight``, ``top_weight`` and ``contrast_weight``, one per map that it reads,
        ``hidden_bias``, ``out_weight``, ``out_bias``; the factors ``conse_weight`` and ``prior_weight``;
        ``prior_free (k, 384)``, orthonormal directions in which the whole picture says nothing;
        ``mean_vector (384,)``, the mean of the ImageNet names.
    """

    classifier: torch.Tensor
    classifier_bias: torch.Tensor
    class_vectors: torch.Tensor
    name_vectors: torch.Tensor
    fine_weight: torch.Tensor
    coarse_weight: torch.Tensor
    wide_weight: torch.Tensor
    top_weight: torch.Tensor
    contrast_weight: torch.Tensor
    hidden_bias: torch.Tensor
    out_weight: torch.Tensor
    out_bias: torch.Tensor
    conse_weight: torch.Tensor
    prior_weight: torch.Tensor
    prior_free: torch.Tensor
    mean_vector: torch.Tensor

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in tensors.items():
            self.register_buffer(name, value.float())

    @classmethod
    def from_file(cls, path: Path) -> JointSpace:
        """Read the sidecar."""
        from safetensors.torch import load_file

        return cls(load_file(str(path)))

    @property
    def dimension(self) -> int:
        """Length of a joint vector: the sentence embedding and one for background."""
        return int(self.class_vectors.shape[1]) + 1

    def text(self, sentences: torch.Tensor) -> torch.Tensor:
        """Sentence embeddings ``(n, 384)`` to unit joint vectors ``(n, 385)``; differentiable."""
        return functional.pad(functional.normalize(sentences, dim=-1), (0, 1))

    def background(self) -> torch.Tensor:
        """The one direction of "none of the names": ``(1, 385)``."""
        return functional.one_hot(torch.tensor([self.dimension - 1]), self.dimension).to(self.classifier)

    def pooled(self, embedding: torch.Tensor) -> torch.Tensor:
        """The image tower's own embedding in the joint space: ``(384,)`` to ``(385,)``."""
        return functional.pad(embedding, (0, 1))

    def pixels(self, levels: list[Level], size: tuple[int, int]) -> torch.Tensor:
        """Joint vectors ``(h, w, 385)`` on the stride-8 grid, in logits: not of unit length."""
        fine, low, middle, wide, top = grids(levels, size)
        # all is linear up to the hidden layer, so contrast goes into this picture's weights instead of its large maps
        n_low, n_contrast = low.shape[0], self.contrast_weight.shape[1]
        own_fine, shift_fine = _against_own_mean(self.contrast_weight[:, :n_low], low.flatten(1))
        own_middle, shift_middle = _against_own_mean(self.contrast_weight[:, n_low:], middle.flatten(1))
        fine_weight = self.fine_weight + own_fine
        middle_weight = self.coarse_weight + functional.pad(own_middle, (0, middle.shape[0] + n_low - n_contrast))
        shift = self.hidden_bias + shift_fine + shift_middle
        hidden = torch.addmm(shift, low.flatten(1).T, fine_weight.T).view(*fine, -1)
        # a linear map and bilinear enlarging commute, so many channels stay on their small grids
        coarser = ((middle, middle_weight), (wide, self.wide_weight), (top, self.top_weight))
        maps = [(values.flatten(1).T @ weight.T).view(*values.shape[1:], -1) for values, weight in coarser]
        hidden = functional.gelu(with_enlarged(hidden, maps)).flatten(0, 1)
        alike = _mean_on(middle[:ALIKE_CHANNELS], (top.shape[1], top.shape[2]))
        conse = self.conse_weight * self._conse(top, alike)
        prior = self.prior_weight * self._whole(top.flatten(1))
        # what the prior adds to an average name, it adds to background too
        shared = self.out_bias + torch.cat([prior, (prior @ self.mean_vector)[None]])
        vectors = torch.addmm(shared, hidden, self.out_weight.T).view(*fine, -1)
        return with_enlarged(vectors, [functional.pad(conse, (0, 1)).view(*top.shape[1:], -1)])

    def _whole(self, top: torch.Tensor) -> torch.Tensor:
        """ConSE of the whole picture, which lends its cells the names that fit it: ``(384,)``."""
        best, index = (self.classifier @ top.mean(1) + self.classifier_bias).softmax(-1).topk(_BEST)
        whole = functional.normalize(best @ self.class_vectors[index], dim=-1)
        return whole - self.prior_free.T @ (self.prior_free @ whole)

    def _conse(self, top: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
        """ConSE of every cell, lent to those that look like it: ``(h * w, 384)`` of unit length."""
        logits = torch.addmm(self.classifier_bias, top.flatten(1).T, self.classifier.T)
        best, index = (logits / _TEMPERATURE).softmax(-1).topk(_BEST, dim=-1)
        # the few best shares in a matrix of zeros: one product is faster than gathering the names' vectors
        shares = torch.zeros_like(logits).scatter_(1, index, best)
        conse = functional.normalize(shares @ self.class_vectors, dim=-1)
        return functional.normalize(_lent(conse, alike), dim=-1)


def grids(levels: list[Level], size: tuple[int, int]) -> Grids:
    """The maps that a picture is read from, the deeper the coarser.

    The deepest stage and the widest look are averaged before anything is computed of them: neighbouring cells of a
    tower whose last stride was replaced by dilation say nearly the same.
    """
    fine = (size[0] // FINE_STRIDE, size[1] // FINE_STRIDE)
    coarse = (size[0] // STRIDE, size[1] // STRIDE)
    half = (-(-coarse[0] // 2), -(-coarse[1] // 2))
    quarter = (max(1, round(coarse[0] / 4)), max(1, round(coarse[1] / 4)))
    low = _stacked([levels[stage].averaged(fine, size) for stage in FINE_STAGES])
    middle = _stacked([levels[stage].averaged(coarse, size) for stage in COARSE_STAGES])
    top = _mean_on(levels[TOP_STAGE].on_grid(coarse, size), half)
    return Grids(fine, low, middle, _mean_on(middle, quarter), top)


def _stacked(maps: list[torch.Tensor]) -> torch.Tensor:
    """Maps ``(c, h, w)`` as one, channels together in memory as in each."""
    return torch.cat([m.permute(1, 2, 0) for m in maps], dim=-1).permute(2, 0, 1)


def _mean_on(values: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """``(c, h, w)`` averaged to ``(c, *grid)``."""
    kernel = (values.shape[1] // grid[0], values.shape[2] // grid[1])
    if (kernel[0] * grid[0], kernel[1] * grid[1]) == (values.shape[1], values.shape[2]):
        # the same, several times as fast
        return functional.avg_pool2d(values[None], kernel)[0]
    return functional.adaptive_avg_pool2d(values, grid)


def _lent(values: torch.Tensor, alike: torch.Tensor) -> torch.Tensor:
    """Mean of each cell's values ``(h * w, d)`` over cells that look alike, in ``(c, h, w)``, and are near."""
    h, w = alike.shape[1:]
    if h * w > _MOST_CELLS:
        return values
    unit = functional.normalize(alike.flatten(1), dim=0)
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    at = torch.stack([rows.flatten(), columns.flatten()], dim=1).to(values)
    # beyond a tenth of a thousandth the Gaussian is left alone: numbers close to 0 are slow on many processors
    near = torch.exp((torch.cdist(at, at).square() / (-2 * _NEAR_CELLS**2)).clamp_min(-9))
    weights = torch.addmm(near, unit.T, unit, alpha=1 / _ALIKE).softmax(-1)
    return weights @ values


def _against_own_mean(weight: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`weight` on the `contrast` of the first channels, as weights on the channels themselves and a constant.

    Parameters
    ----------
    weight : torch.Tensor
        ``(k, m)``.
    values : torch.Tensor
        ``(c, n)``, c not under m.
    """
    first = values[: weight.shape[1]]
    mean = first.mean(1)
    # the general routine for standard deviations takes longer than a layer of the tower
    spread = (first.square().mean(1) - mean.square()).clamp_min(0).sqrt()
    scaled = weight * (_CONTRAST_GAIN / (spread + _CONTRAST_FLOOR))
    return scaled, -scaled @ mean


def with_enlarged(values: torch.Tensor, maps: list[torch.Tensor]) -> torch.Tensor:
    """``(h, w, d)`` plus smaller maps ``(h', w', d)``, each enlarged bilinearly.

    As products of matrices, since the general routine would reorder every map; all maps in one, since to add to a
    large map takes longer than to enlarge a small one.
    """
    grid = values.shape[:2]
    columns, tall = [], []
    for each in maps:
        rows, across = (_bilinear(have, want, each) for have, want in zip(each.shape[:2], grid, strict=True))
        tall.append((rows @ each.flatten(1)).view(grid[0], each.shape[1], -1))
        columns.append(across)
    return torch.baddbmm(values, torch.cat(columns, 1).expand(grid[0], -1, -1), torch.cat(tall, 1))


def _bilinear(have: int, want: int, like: torch.Tensor) -> torch.Tensor:
    """Weights ``(want, have)`` of linear interpolation between cell centres, held at the ends."""
    step = torch.eye(have, device=like.device, dtype=like.dtype)[None]
    return functional.interpolate(step, want, mode="linear", align_corners=False)[0].T
