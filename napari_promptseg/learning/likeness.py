"""Which of the user's strokes a pixel looks most like, in the features that live learning uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.learned_classes import cell_values
from napari_promptseg.learning.sampling import sample_points


@dataclass(frozen=True)
class Likeness:
    """A stroke, and how much a pixel looks like it.

    Parameters
    ----------
    stroke : Stroke
    similarity : float
        Cosine in ``[-1, 1]`` between the pixel's features and the mean of the stroke's.
    """

    stroke: Stroke
    similarity: float


def most_alike(
    features: Mapping[int, DenseFeatures], corrections: Corrections, plane: int, at: tuple[int, int]
) -> Likeness | None:
    """The stroke that a pixel looks most like.

    Parameters
    ----------
    features : mapping of int to DenseFeatures
        By plane, of one model; strokes on other planes are left out.
    corrections : Corrections
    plane : int
        Of the pixel; it must be among `features`.
    at : tuple of int
        ``(row, column)``.

    Returns
    -------
    Likeness or None
        None where no stroke lies on a plane with features.
    """
    row, column = (np.array([n], dtype=np.int64) for n in at)
    pixel = cell_values(features[plane], row, column)[0].cpu().numpy()
    found: list[Likeness] = []
    for number, own in features.items():
        strokes = corrections.on_plane(number)
        points = sample_points(strokes, own.image_shape)
        if not len(points):
            continue
        values = cell_values(own, points.rows, points.columns).cpu().numpy()
        for which in np.unique(points.strokes):
            mean = values[points.strokes == which].mean(axis=0)
            scale = float(np.linalg.norm(mean) * np.linalg.norm(pixel))
            cosine = float(mean @ pixel) / scale if scale > 0 else 0.0
            found.append(Likeness(strokes.strokes[int(which)], cosine))
    return max(found, key=lambda f: f.similarity, default=None)
