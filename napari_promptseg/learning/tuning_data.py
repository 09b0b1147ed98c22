"""What prompts are tuned on: labelled pixels of encoded planes, grouped in strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.learning.sampling import looks_of, sample_points

Ints = npt.NDArray[np.int64]

#: Label of pixels that nobody has annotated.
IGNORED = 255

#: Share of a plane from which on its annotation says how large the classes are.
_MOSTLY = 0.5


@dataclass(frozen=True, eq=False)
class TuningSample:
    """Labelled pixels of one plane.

    Parameters
    ----------
    features : DenseFeatures
        Of the plane.
    rows, columns : numpy.ndarray
        ``(n,)`` pixel positions.
    values : numpy.ndarray
        ``(n,)`` class values; 0 is background.
    strokes : numpy.ndarray
        ``(n,)`` number of the stroke each pixel belongs to: a stroke is held out or learned from as a whole.
    complete : bool
        A class without pixels here is not in the picture; otherwise nothing is known of it.
    areas : numpy.ndarray, optional
        ``(n,)`` how many labelled pixels each stands for, where they were drawn from more.
    """

    features: DenseFeatures
    rows: Ints
    columns: Ints
    values: Ints
    strokes: Ints
    complete: bool = False
    areas: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        sizes = {len(a) for a in (self.rows, self.columns, self.values, self.strokes)}
        if len(sizes) != 1:
            raise InputError("Each labelled pixel needs a row, a column, a class and a stroke.")
        height, width = self.features.image_shape
        if len(self.rows) and not (
            self.rows.min() >= 0
            and self.columns.min() >= 0
            and self.rows.max() < height
            and self.columns.max() < width
            and self.values.min() >= 0
        ):
            raise InputError(f"A labelled pixel lies outside the plane of {height} x {width} pixels.")

    @classmethod
    def from_labels(
        cls,
        features: DenseFeatures,
        labels: npt.NDArray[Any],
        *,
        per_stroke: int = 30,
        strokes_per_class: int = 8,
        complete: bool = False,
        seed: int = 0,
    ) -> TuningSample:
        """Draw pixels from a label image, sparse or full.

        Parameters
        ----------
        labels : numpy.ndarray
            ``(Y, X)`` class values, 0 background, 255 not annotated.
        per_stroke, strokes_per_class : int
            Each class's area is parted into compact groups of pixels, which count as strokes; so many pixels are
            drawn from each.
        complete : bool
            All of the picture is annotated, so that classes without pixels are not in it.
        seed : int

        Raises
        ------
        InputError
            If the shape is not the plane's.
        """
        if tuple(labels.shape) != tuple(features.image_shape):
            raise InputError(f"The labels have shape {labels.shape} but the image {features.image_shape}.")
        rng = np.random.default_rng(seed)
        rows, columns, values, strokes, areas = [], [], [], [], []
        n_strokes = 0
        for value in np.unique(labels[labels != IGNORED]):
            places = np.flatnonzero(labels == value)
            some = rng.choice(places, min(len(places), 4 * per_stroke * strokes_per_class), replace=False)
            y, x = np.divmod(some.astype(np.int64), labels.shape[1])
            seeds = rng.choice(len(some), min(len(some), strokes_per_class), replace=False)
            nearest = ((y[:, None] - y[seeds]) ** 2 + (x[:, None] - x[seeds]) ** 2).argmin(axis=1)
            for s in range(len(seeds)):
                group = np.flatnonzero(nearest == s)
                mine = group[:per_stroke]
                rows.append(y[mine])
                columns.append(x[mine])
                values.append(np.full(len(mine), int(value)))
                strokes.append(np.full(len(mine), n_strokes))
                areas.append(np.full(len(mine), len(places) * len(group) / len(some) / len(mine)))
                n_strokes += 1
        known = np.count_nonzero(labels != IGNORED) >= _MOSTLY * labels.size
        return cls(
            features,
            _joined(rows),
            _joined(columns),
            _joined(values),
            _joined(strokes),
            complete,
            _joined(areas, float) if known else None,
        )

    @classmethod
    def from_corrections(
        cls,
        features: DenseFeatures,
        corrections: Corrections,
        plane: int = 0,
        *,
        per_stroke: int = 20,
        per_class: int = 300,
        seed: int = 0,
    ) -> TuningSample:
        """Draw pixels from a user's strokes on one plane.

        Parameters
        ----------
        features : DenseFeatures
            Of that plane.
        corrections : Corrections
            Those of other planes are left out.
        plane : int
        per_stroke, per_class, seed : int
            See `sampling.sample_points`. Of a set of single points each is a stroke of its own.
        """
        own = corrections.on_plane(plane)
        points = sample_points(
            own,
            (features.image_shape[0], features.image_shape[1]),
            per_stroke=per_stroke,
            per_class=per_class,
            seed=seed,
        )
        return cls(features, points.rows, points.columns, points.values, looks_of(points, own))

    def subset(self, keep: npt.NDArray[np.bool_]) -> TuningSample:
        """Only some pixels; what is known of the whole picture stays."""
        return replace(
            self,
            rows=self.rows[keep],
            columns=self.columns[keep],
            values=self.values[keep],
            strokes=self.strokes[keep],
            areas=None if self.areas is None else self.areas[keep],
        )


def _joined(parts: list[npt.NDArray[Any]], dtype: type = np.int64) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)


def sampled(grid: torch.Tensor, sample: TuningSample) -> torch.Tensor:
    """Features at the pixels of a sample, interpolated: ``(h, w, d)`` to ``(n, d)`` float32."""
    height, width = sample.features.image_shape
    x = (torch.from_numpy(sample.columns).float() + 0.5) / width * 2 - 1
    y = (torch.from_numpy(sample.rows).float() + 0.5) / height * 2 - 1
    places = torch.stack([x, y], dim=-1)[None, None].to(grid.device)
    maps = grid.permute(2, 0, 1)[None].float()
    picked = functional.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
    return picked[0, :, 0].T.contiguous()


def pixel_weights(samples: Sequence[TuningSample], by_area: float) -> npt.NDArray[np.float64]:
    """How much each labelled pixel counts.

    Parameters
    ----------
    samples : sequence of TuningSample
    by_area : float
        From 0, where each class counts the same and, within it, each stroke, to 1, where a pixel counts by the area it
        stands for. Without areas in all samples it is 0.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` of all pixels in order, 1 in all.
    """
    if not sum(len(s.values) for s in samples):
        return np.zeros(0)
    areas = [s.areas for s in samples if s.areas is not None]
    area = np.concatenate(areas) if len(areas) == len(samples) else None
    values = np.concatenate([s.values for s in samples])
    image = np.repeat(np.arange(len(samples)), [len(s.values) for s in samples])
    keys = np.stack([image, values, np.concatenate([s.strokes for s in samples])], axis=1)
    _, stroke, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    stroke = stroke.ravel()
    weights: npt.NDArray[np.float64] = 1 / size[stroke]
    if area is not None:
        weights *= np.bincount(stroke, area)[stroke] ** by_area
    for value in np.unique(values):
        of_class = values == value
        weights[of_class] /= weights[of_class].sum()
        if area is not None:
            weights[of_class] *= area[of_class].sum() ** by_area
    weights /= weights.sum()
    return weights
