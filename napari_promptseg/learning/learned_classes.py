"""What live learning found: per class a change to the words' score, linear in the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.segmentation.decision import Rule, decide
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.refinement import Interpolation, Refiner

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LearnedClasses:
    """Classes as learned from strokes; applies to any plane encoded by the same model.

    Parameters
    ----------
    values : tuple of int
        Class values, 0 (background) first.
    weights : torch.Tensor
        ``(C, d)`` float32 over the detail channels followed by the joint-space ones; 0 for classes without strokes.
    bias : torch.Tensor
        ``(C,)``.
    learned : tuple of bool
        Which classes have strokes.
    prior_weight : float
        How far the words are believed for classes that were learned.
    area_shift : float
        See `logits`.
    penalty : float
        That was chosen.
    n_points : int
        Points learned from.
    fingerprint : str
        Of the encoder.
    """

    values: tuple[int, ...]
    weights: torch.Tensor
    bias: torch.Tensor
    learned: tuple[bool, ...]
    prior_weight: float
    area_shift: float
    penalty: float
    n_points: int
    fingerprint: str

    @classmethod
    def untouched(cls, values: tuple[int, ...], fingerprint: str) -> LearnedClasses:
        """Nothing learned: scores are those of the words."""
        n = len(values)
        return cls(values, torch.zeros(n, 0), torch.zeros(n), (False,) * n, 1.0, 0.0, 0.0, 0, fingerprint)

    def logits(self, features: DenseFeatures, prior: torch.Tensor | None = None) -> torch.Tensor:
        """Scores on the grid of the detail features.

        Parameters
        ----------
        features : DenseFeatures
            Of a plane encoded by the same model.
        prior : torch.Tensor, optional
            ``(C, h, w)`` logits of the words on any grid.

        Returns
        -------
        torch.Tensor
            ``(C, h', w')`` float32; rows of classes without strokes equal the prior exactly.

        Notes
        -----
        Points are as many for a small lesion as for everything else, so the bare scores draw small classes too
        large. The share of each class in this picture is estimated from the scores themselves by expectation
        maximisation (Saerens, Latinne & Decaestecker 2002) and `area_shift` times its logarithm is added. About one
        half is right, and not one, because points lie nearer to the centres of regions than chance would have it.
        """
        if features.fingerprint != self.fingerprint:
            raise InputError("The learned classes belong to another model: correct again, or choose that model.")
        grid = (int(features.detail.shape[0]), int(features.detail.shape[1]))
        device = features.detail.device
        flags = torch.tensor(self.learned, device=device)[:, None, None]
        base = torch.zeros(len(self.values), *grid, device=device)
        if prior is not None:
            base = F.interpolate(prior.float()[None], size=grid, mode="bilinear", align_corners=False)[0]
        if not any(self.learned):
            return base
        scores = linear_scores(features, self.weights.to(device)) + self.bias.to(device)[:, None, None]
        scores = scores + self.prior_weight * base
        if self.area_shift > 0:
            together = torch.where(flags, scores, base)
            share = class_shares(together.flatten(1))
            scores = scores + self.area_shift * torch.log(share * len(self.values) + 1e-3)[:, None, None]
        return torch.where(flags, scores, base)

    def scores(
        self, features: DenseFeatures, refiner: Refiner | None = None, prior: torch.Tensor | None = None
    ) -> PixelMaps:
        """Probabilities, one map per class, that can be read at every pixel; see `logits`."""
        chances = torch.softmax(self.logits(features, prior), dim=0)
        return (refiner or Bilinear(features.image_shape))(chances)

    def label_map(
        self,
        features: DenseFeatures,
        refiner: Refiner | None = None,
        corrections: Corrections | None = None,
        *,
        plane: int = 0,
        prior: torch.Tensor | None = None,
    ) -> LabelMap:
        """Label every pixel of one plane.

        Parameters
        ----------
        features : DenseFeatures
        refiner : Refiner, optional
            Of this plane's picture, made once (`segmentation.refinement.make_refiner`); bilinear without.
        corrections : Corrections, optional
            The user's own pixels on `plane` are exactly as painted.
        plane : int
        prior : torch.Tensor, optional
        """
        maps = self.scores(features, refiner, prior)
        n_classes = len(self.values) - 1
        decision = decide(maps, Rule.make([0.5] * n_classes, unknown=[False] * n_classes, ceiling=1.0))
        dtype = np.uint8 if max(self.values) < 256 else np.uint16
        table = np.array(self.values, dtype=dtype)
        labels = table[decision.index.cpu().numpy()]
        confidence = decision.confidence.half().cpu().numpy()
        if corrections is not None:
            own = corrections.on_plane(plane)
            labels = own.impose(labels, plane)
            for stroke in own:
                confidence[stroke.pixels] = 1.0
        made_by = {"method": "live", "fingerprint": self.fingerprint, "points": self.n_points, "penalty": self.penalty}
        return LabelMap(labels, confidence, table[decision.second.cpu().numpy()], {}, made_by)


class Bilinear(Interpolation):
    """No refinement, for a plane of which only the shape is known."""

    def __init__(self, shape: tuple[int, int], *, working_side: int = 512) -> None:
        super().__init__(np.zeros((*shape, 3), dtype=np.uint8), working_side=working_side)


def linear_scores(features: DenseFeatures, weights: torch.Tensor) -> torch.Tensor:
    """``(C, h', w')``: `weights` ``(C, d)`` applied to every cell, coarse and fine features each on their own grid."""
    detail = features.detail
    height, width, n_detail = detail.shape
    fine = _detail_scale(detail) * (weights[:, :n_detail] @ detail.reshape(-1, n_detail).float().T)
    semantic = _standardised(features.semantic)
    coarse = torch.einsum("hwd,cd->chw", semantic, weights[:, n_detail:])
    coarse = F.interpolate(coarse[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return fine.view(-1, height, width) + coarse


def cell_values(features: DenseFeatures, rows: Ints, columns: Ints) -> Floats:
    """``(n, d)`` features at pixels, in the order that `linear_scores` uses."""
    shape = features.image_shape
    detail = on_cells(features.detail.permute(2, 0, 1), shape, rows, columns) * _detail_scale(features.detail)
    semantic = on_cells(_standardised(features.semantic).permute(2, 0, 1), shape, rows, columns)
    return np.concatenate([detail, semantic], axis=1)


def on_cells(maps: torch.Tensor, shape: tuple[int, int], rows: Ints, columns: Ints) -> Floats:
    """Bilinear values ``(n, K)`` of ``(K, h, w)`` maps at pixels of a plane of `shape`."""
    height, width = int(maps.shape[-2]), int(maps.shape[-1])
    y = np.clip((rows + 0.5) * height / shape[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / shape[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    wy, wx = (y - top)[:, None], (x - left)[:, None]

    def at(row: Ints, column: Ints) -> Floats:
        taken = maps[:, torch.from_numpy(row), torch.from_numpy(column)]
        values: Floats = taken.T.double().cpu().numpy()
        return values

    upper = at(top, left) * (1 - wx) + at(top, right) * wx
    lower = at(bottom, left) * (1 - wx) + at(bottom, right) * wx
    out: Floats = upper * (1 - wy) + lower * wy
    return out


def class_shares(logits: torch.Tensor, *, iterations: int = 30, every: int = 5) -> torch.Tensor:
    """Share of each class among cells, ``(C,)``, from ``(C, n)`` logits that treat all classes as equally frequent."""
    some = logits[:, ::every] if logits.shape[1] > 50 * every else logits
    n_classes = logits.shape[0]
    share = torch.full((n_classes,), 1.0 / n_classes, device=logits.device)
    for _ in range(iterations):
        share = torch.softmax(some + torch.log(share * n_classes + 1e-4)[:, None], dim=0).mean(dim=1)
    return share


def _detail_scale(detail: torch.Tensor) -> float:
    """Brings the mean squared length of detail features to that of five levels of unit variance each."""
    sample = detail.reshape(-1, detail.shape[-1])[::37].float()
    return float((5.0 / sample.square().sum(dim=1).mean().clamp_min(1e-12)).sqrt())


def _standardised(semantic: torch.Tensor) -> torch.Tensor:
    """Joint-space features with mean 0 and variance 1 / d per channel in this picture."""
    flat = semantic.float()
    mean = flat.mean(dim=(0, 1), keepdim=True)
    spread = (flat - mean).square().mean().sqrt().clamp_min(1e-6)
    out: torch.Tensor = (flat - mean) / (spread * semantic.shape[-1] ** 0.5)
    return out
