"""How far corrected planes reach, by what they say of each other."""

from __future__ import annotations

import numpy as np
import torch

from napari_promptseg.learning.place_growth import GROWTHS, fitting_growth, planes_between
from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane


def test_planes_between_others_are_guessed_and_at_most_three():
    assert planes_between([("axial", 3), ("axial", 9), ("coronal", 1)]) == []
    assert planes_between([("axial", 9), ("axial", 3), ("axial", 5)]) == [("axial", 5)]
    many = planes_between([("axial", p) for p in range(20)])
    assert len(many) == 3
    assert ("axial", 0) not in many
    assert ("axial", 19) not in many


def fitted(labels, planes):
    corrected = [CorrectedPlane("axial", p, labels[p]) for p in planes]
    prior = ByPlace(labels.shape, (1.0, 1.0, 1.0), (0, 1), corrected)
    looks = {p: torch.from_numpy(np.where(labels[p] == 1, 0.7, 0.3)) for p in planes}
    keys = planes_between([("axial", p) for p in planes])
    return fitting_growth(
        prior,
        keys,
        lambda key: labels[key[1]],
        lambda key: torch.stack([1 - looks[key[1]], looks[key[1]]]).float(),
        (0, 1),
    )


def test_smooth_outlines_reach_far_and_folded_ones_do_not():
    z, y, x = np.ogrid[:30, :40, :40]
    ball = ((y - 20) ** 2 + (x - 20) ** 2 <= 100 + z).astype(np.uint8)
    assert fitted(np.broadcast_to(ball, (30, 40, 40)), (2, 12, 22, 28)) == GROWTHS[0]
    folded = np.kron(np.random.default_rng(0).random((30, 8, 8)) > 0.5, np.ones((1, 5, 5))).astype(np.uint8)
    assert fitted(folded, (2, 12, 22, 28)) >= 2
    assert fitted(folded, (2, 12)) == 1  # nothing between two
