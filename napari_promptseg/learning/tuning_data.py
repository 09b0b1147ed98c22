"""What prompts are tuned on: labelled pixels of encoded planes, grouped in strokes, some of them held out."""

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
from napari_promptseg.learning.sampling import sample_points

Ints = npt.NDArray[np.int64]

#: Label of pixels that nobody has annotated.
IGNORED = 255


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
    """

    features: DenseFeatures
    rows: Ints
    columns: Ints
    values: Ints
    strokes: Ints
    complete: bool = False

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
        parts: list[tuple[Ints, Ints, int]] = []
        for value in np.unique(labels):
            if value == IGNORED:
                continue
            at = np.flatnonzero(labels == value)
            at = rng.choice(at, min(len(at), 4 * per_stroke * strokes_per_class), replace=False)
            rows, columns = np.divmod(at.astype(np.int64), labels.shape[1])
            seeds = rng.choice(len(at), min(len(at), strokes_per_class), replace=False)
            far = (rows[:, None] - rows[seeds]) ** 2 + (columns[:, None] - columns[seeds]) ** 2
            nearest = far.argmin(axis=1)
            for s in range(len(seeds)):
                mine = np.flatnonzero(nearest == s)[:per_stroke]
                parts.append((rows[mine], columns[mine], int(value)))
        return cls(
            features,
            np.concatenate([r for r, _, _ in parts]) if parts else np.zeros(0, np.int64),
            np.concatenate([c for _, c, _ in parts]) if parts else np.zeros(0, np.int64),
            np.concatenate([np.full(len(r), v) for r, _, v in parts]) if parts else np.zeros(0, np.int64),
            np.concatenate([np.full(len(r), i) for i, (r, _, _) in enumerate(parts)])
            if parts
            else np.zeros(0, np.int64),
            complete,
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
            See `sampling.sample_points`.
        """
        points = sample_points(
            corrections.on_plane(plane),
            (features.image_shape[0], features.image_shape[1]),
            per_stroke=per_stroke,
            per_class=per_class,
            seed=seed,
        )
        return cls(features, points.rows, points.columns, points.values, points.strokes)

    def subset(self, keep: npt.NDArray[np.bool_]) -> TuningSample:
        """Only some pixels; what is known of the whole picture stays."""
        return replace(
            self,
            rows=self.rows[keep],
            columns=self.columns[keep],
            values=self.values[keep],
            strokes=self.strokes[keep],
        )


def hold_out(
    samples: Sequence[TuningSample], share: float, seed: int
) -> tuple[list[TuningSample], list[TuningSample], int]:
    """Part the strokes of each class into those learned from and those that judge.

    Returns
    -------
    train, held : list of TuningSample
        As long as `samples`; no stroke is in both.
    count : int
        Number of strokes in all.

    Raises
    ------
    InputError
        If no class has two strokes, so that nothing can be held out.
    """
    rng = np.random.default_rng(seed)
    by_class: dict[int, list[tuple[int, int]]] = {}
    for i, sample in enumerate(samples):
        for value in np.unique(sample.values):
            for stroke in np.unique(sample.strokes[sample.values == value]):
                by_class.setdefault(int(value), []).append((i, int(stroke)))
    judged: set[tuple[int, int, int]] = set()
    for value, strokes in sorted(by_class.items()):
        if len(strokes) > 1:
            n = min(max(1, round(share * len(strokes))), len(strokes) - 1)
            judged.update((*strokes[k], value) for k in rng.permutation(len(strokes))[:n])
    if not any(value for _, _, value in judged):
        raise InputError(
            "Prompts are tuned from at least two strokes of a class, so that one can judge what the other taught: "
            "paint another one."
        )
    train, held = [], []
    for i, sample in enumerate(samples):
        out = np.array(
            [(i, int(s), int(v)) in judged for s, v in zip(sample.strokes, sample.values, strict=True)], dtype=bool
        )
        train.append(sample.subset(~out))
        held.append(sample.subset(out))
    return train, held, sum(len(s) for s in by_class.values())


def sampled(grid: torch.Tensor, sample: TuningSample) -> torch.Tensor:
    """Features at the pixels of a sample, interpolated: ``(h, w, d)`` to ``(n, d)`` float32."""
    height, width = sample.features.image_shape
    x = (torch.from_numpy(sample.columns).float() + 0.5) / width * 2 - 1
    y = (torch.from_numpy(sample.rows).float() + 0.5) / height * 2 - 1
    places = torch.stack([x, y], dim=-1)[None, None].to(grid.device)
    maps = grid.permute(2, 0, 1)[None].float()
    picked = functional.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
    return picked[0, :, 0].T.contiguous()


def balanced_weights(samples: Sequence[TuningSample]) -> torch.Tensor:
    """``(n,)`` weights of all pixels: each class counts the same, and within it each stroke."""
    keys = [
        (int(v), i, int(s))
        for i, sample in enumerate(samples)
        for v, s in zip(sample.values, sample.strokes, strict=True)
    ]
    pixels: dict[tuple[int, int, int], int] = {}
    strokes: dict[int, int] = {}
    for key in keys:
        if key not in pixels:
            strokes[key[0]] = strokes.get(key[0], 0) + 1
        pixels[key] = pixels.get(key, 0) + 1
    return torch.tensor([1 / (pixels[k] * strokes[k[0]]) for k in keys])


def mean_dice(values: Ints, predicted: Ints) -> float:
    """Mean over the classes painted (background too) of the Dice coefficient of pixels."""
    scores = []
    for value in np.unique(values):
        hit = np.sum((values == value) & (predicted == value))
        scores.append(2 * hit / (np.sum(values == value) + np.sum(predicted == value)))
    return float(np.mean(scores)) if scores else 0.0
