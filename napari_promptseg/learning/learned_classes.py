"""What live learning found: per class a change to the words' score, linear in the features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.segmentation.decision import Rule, decide
from napari_promptseg.segmentation.label_map import LabelMap
from napari_promptseg.segmentation.linear_head import LinearHead, detail_scale, standardised
from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.refinement import Interpolation, Refiner

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LearnedClasses(LinearHead):
    """Classes as learned from strokes; see `LinearHead`.

    Parameters
    ----------
    penalty : float
        That was chosen.
    n_points : int
        Points learned from.
    """

    penalty: float = 0.0
    n_points: int = 0

    @classmethod
    def untouched(cls, values: tuple[int, ...], fingerprint: str) -> LearnedClasses:
        """Nothing learned: scores are those of the words."""
        n = len(values)
        return cls(values, torch.zeros(n, 0), torch.zeros(n), (False,) * n, 1.0, 0.0, fingerprint)

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
        second, chance = table[decision.second.cpu().numpy()], decision.second_confidence.half().cpu().numpy()
        if corrections is not None:
            own = corrections.on_plane(plane)
            labels = own.impose(labels, plane)
            for stroke in own:
                confidence[stroke.pixels], chance[stroke.pixels] = 1.0, 0.0
        made_by = {"method": "live", "fingerprint": self.fingerprint, "points": self.n_points, "penalty": self.penalty}
        return LabelMap(labels, confidence, second, chance, {}, made_by)


class Bilinear(Interpolation):
    """No refinement, for a plane of which only the shape is known."""

    def __init__(self, shape: tuple[int, int], *, working_side: int = 512) -> None:
        super().__init__(np.zeros((*shape, 3), dtype=np.uint8), working_side=working_side)


def cell_values(features: DenseFeatures, rows: Ints, columns: Ints) -> torch.Tensor:
    """``(n, d)`` float32 features at pixels, in the order that `linear_scores` uses."""
    shape = features.image_shape
    detail = on_cells(features.detail, shape, rows, columns) * detail_scale(features.detail)
    semantic = on_cells(standardised(features.semantic), shape, rows, columns)
    return torch.cat([detail, semantic], dim=1)


def on_cells(maps: torch.Tensor, shape: tuple[int, int], rows: Ints, columns: Ints) -> torch.Tensor:
    """Bilinear values ``(n, K)`` float32 of ``(h, w, K)`` maps at pixels of a plane of `shape`."""
    height, width, n_maps = maps.shape
    y = np.clip((rows + 0.5) * height / shape[0] - 0.5, 0, height - 1)
    x = np.clip((columns + 0.5) * width / shape[1] - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    wy, wx = y - top, x - left
    corners = np.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right])
    shares = np.stack([(1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx])
    # rows of whole cells: each is one piece of memory
    taken = maps.reshape(-1, n_maps)[torch.from_numpy(corners).to(maps.device)].float()
    return torch.einsum("kn,knd->nd", torch.from_numpy(shares).to(taken), taken)
