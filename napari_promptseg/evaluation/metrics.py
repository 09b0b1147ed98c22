"""Exact definitions of the figures we report, so that two runs and two papers can be compared."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def confusion_matrix(truth: npt.ArrayLike, prediction: npt.ArrayLike, n: int) -> Counts:
    """Count pixels by true and predicted class.

    Parameters
    ----------
    truth, prediction : array-like of int
        Same shape, values ``0 .. n - 1``; leave ignored pixels out beforehand.
    n : int
        Number of classes.

    Returns
    -------
    numpy.ndarray
        ``(n, n)`` int64; rows are the truth. Matrices of several images may be added.

    Raises
    ------
    InputError
        If the shapes differ or a value is out of range.
    """
    true, guess = np.asarray(truth).ravel(), np.asarray(prediction).ravel()
    if np.shape(truth) != np.shape(prediction):
        raise InputError(f"Labels of shape {np.shape(truth)} cannot be compared with {np.shape(prediction)}.")
    for values in (true, guess):
        if values.size and not (values.min() >= 0 and values.max() < n):
            raise InputError(f"Class numbers must be 0 to {n - 1}, but {values.min()} to {values.max()} are there.")
    counts: Counts = np.bincount(true.astype(np.int64) * n + guess.astype(np.int64), minlength=n * n)
    return counts.reshape(n, n)


def present(counts: Counts) -> Mask:
    """``(n,)``: which classes occur in the truth."""
    found: Mask = counts.sum(axis=1) > 0
    return found


def class_iou(counts: Counts) -> npt.NDArray[np.float64]:
    """Intersection over union per class, ``(n,)``; 0 where neither truth nor prediction has the class.

    Notes
    -----
    ``TP / (TP + FP + FN)``, the Jaccard index.
    """
    hit = np.diag(counts).astype(float)
    values: npt.NDArray[np.float64] = hit / np.maximum(counts.sum(axis=0) + counts.sum(axis=1) - hit, 1)
    return values


def class_dice(counts: Counts) -> npt.NDArray[np.float64]:
    """Dice coefficient per class, ``(n,)``; 0 for a class that is never predicted, which is never dropped.

    Notes
    -----
    ``2 TP / (2 TP + FP + FN)``, the F1 score of pixels.
    """
    values: npt.NDArray[np.float64] = 2 * np.diag(counts) / np.maximum(counts.sum(axis=0) + counts.sum(axis=1), 1)
    return values


def pixel_accuracy(counts: Counts) -> float:
    """Share of pixels labelled rightly; NaN without pixels."""
    total = int(counts.sum())
    return float(np.trace(counts) / total) if total else float("nan")


def dice(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Dice of two masks of the same shape: 0 if only one of them is empty, 1 if both are."""
    a, b = _masks(prediction, truth)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def iou(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Intersection over union of two masks: 0 if only one of them is empty, 1 if both are."""
    a, b = _masks(prediction, truth)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def auc(scores: npt.ArrayLike, positive: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve: the chance that a positive pixel scores above a negative one, ties counting half.

    Parameters
    ----------
    scores : array-like of float
        ``(n,)``, finite.
    positive : array-like of bool
        ``(n,)``.
    weights : array-like of float, optional
        ``(n,)``, how many pixels each stands for.

    Returns
    -------
    float
        NaN if one of the two kinds is missing.

    Notes
    -----
    The rank statistic of Mann and Whitney, exact; no curve is sampled.
    """
    s = np.asarray(scores, np.float64).ravel()
    is_positive = np.asarray(positive, bool).ravel()
    w = np.ones_like(s) if weights is None else np.asarray(weights, np.float64).ravel()
    _, tie = np.unique(s, return_inverse=True)
    above = np.bincount(tie, weights=np.where(is_positive, w, 0))
    below = np.bincount(tie, weights=np.where(is_positive, 0, w))
    total = above.sum() * below.sum()
    if not total > 0:
        return float("nan")
    return float((above * (np.cumsum(below) - below / 2)).sum() / total)


def _masks(prediction: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Mask, Mask]:
    a, b = np.asarray(prediction, bool), np.asarray(truth, bool)
    if a.shape != b.shape:
        raise InputError(f"Masks of shape {a.shape} and {b.shape} cannot be compared.")
    return a, b
