"""Weights on the features of all modalities, and of each by itself: convex problems, anchored at the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.learning.anchored import Examples, Gram, LinearChange, fit_change
from napari_promptseg.learning.anchored_fit import fit_anchored
from napari_promptseg.learning.modalities.scenes import LabelledScene
from napari_promptseg.learning.modalities.settings import ModalitySettings
from napari_promptseg.learning.tuning_data import pixel_weights
from napari_promptseg.segmentation.grouping import PartedHead

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Table:
    """Labelled pixels of several scenes in a row.

    Parameters
    ----------
    examples : Examples
    scene : numpy.ndarray
        ``(n,)``: number of the scene of each.
    groups : numpy.ndarray
        ``(n,)``: what is left out together, a scene, or a stroke where there is one scene.
    learned : numpy.ndarray
        ``(C,)``: which classes have pixels.
    """

    examples: Examples
    scene: Ints
    groups: Ints
    learned: npt.NDArray[np.bool_]


def table_of(
    scenes: Sequence[LabelledScene],
    features: Sequence[torch.Tensor],
    priors: Sequence[torch.Tensor],
    values: Sequence[int],
    settings: ModalitySettings,
) -> Table:
    """Pixels with their features ``(n_i, k)`` and prior logits ``(n_i, C)`` per scene."""
    samples = [s.sample.pixels for s in scenes]
    place = {v: i for i, v in enumerate(values)}
    columns = np.array([place[int(v)] for s in samples for v in s.values], dtype=np.int64)
    weights = pixel_weights(samples, settings.by_area) * len(columns)
    scene = np.repeat(np.arange(len(samples)), [len(s.values) for s in samples])
    keep = _thinned(columns, settings)
    # those left speak for the others
    for value in np.unique(columns):
        of_class = columns == value
        weights[of_class & keep] *= weights[of_class].sum() / max(weights[of_class & keep].sum(), 1e-12)
    x = torch.cat(list(features))
    index = torch.from_numpy(np.flatnonzero(keep)).to(x.device)
    groups = scene if len(samples) > 1 else np.concatenate([s.strokes for s in samples])
    examples = Examples(
        x[index],
        torch.cat(list(priors)).to(x)[index],
        torch.from_numpy(columns[keep]).to(x.device),
        torch.from_numpy(weights[keep]).to(x),
    )
    learned = np.isin(np.arange(len(values)), columns)
    return Table(examples, scene[keep], groups[keep], learned)


def fit_head(table: Table, n_parts: int, values: Sequence[int], settings: ModalitySettings) -> tuple[PartedHead, float]:
    """Weights from all pixels of a table, and the penalty that was chosen by leaving out scenes."""
    n = len(table.scene)
    several = len(np.unique(table.scene)) > 1
    fit = fit_anchored(
        table.examples,
        table.learned,
        table.groups,
        tuple(p * n for p in settings.penalties),
        shares=settings.prior_weights if table.learned.all() else settings.prior_weights[:1],
        folds=min(settings.folds, len(np.unique(table.scene))) if several else 1,
    )
    return parted(fit.change, n_parts, values, table.learned, fit.share), fit.penalty / n


def left_out_heads(
    table: Table, n_parts: int, values: Sequence[int], head: PartedHead, penalty: float, folds: int
) -> list[tuple[set[int], PartedHead]]:
    """Heads that have not seen some of the scenes, each with the scenes it has not seen.

    What prompters are taught by: a head that knows a picture's labels has nothing left to ask of its features. With one
    scene, parts of its strokes are left out instead, and the scene counts as unseen by each.
    """
    units = np.unique(table.groups)
    parts = np.arange(len(units)) % max(2, min(folds, len(units)))
    gram, found = Gram(table.examples.features), []
    single = len(np.unique(table.scene)) == 1
    for part in np.unique(parts):
        out = np.isin(table.groups, units[parts == part])
        if out.all():
            continue
        inside = torch.from_numpy(~out).to(table.examples.weights)
        examples = Examples(
            table.examples.features,
            head.prior_weight * table.examples.prior,
            table.examples.columns,
            table.examples.weights * inside,
        )
        known = table.learned & np.isin(np.arange(table.learned.size), table.examples.columns.cpu().numpy()[~out])
        change = fit_change(examples, known, penalty * len(out) * float(inside.mean()), gram=gram)
        unseen = {0} if single else {int(i) for i in np.unique(table.scene[out])}
        found.append((unseen, parted(change, n_parts, values, known, head.prior_weight)))
    return found


def parted(
    change: LinearChange, n_parts: int, values: Sequence[int], learned: npt.NDArray[np.bool_], prior_weight: float
) -> PartedHead:
    """A solution on features side by side as a head."""
    return PartedHead(
        tuple(values),
        change.weights.float().detach().cpu(),
        change.bias.float().detach().cpu(),
        tuple(bool(k) for k in learned),
        float(prior_weight),
        n_parts,
    )


def logits_at(head: PartedHead, x: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
    """``(n, C)`` scores of pixels with features ``(n, k)`` side by side, as `PartedHead.logits` gives them on grids."""
    known = torch.tensor(head.learned, device=x.device)
    scores = head.prior_weight * prior + x @ head.weights.T.to(x) + head.bias.to(x)
    return torch.where(known, scores, prior)


def _thinned(columns: Ints, settings: ModalitySettings) -> npt.NDArray[np.bool_]:
    """At most so many pixels of a class, drawn evenly over all."""
    keep = np.ones(len(columns), dtype=bool)
    rng = np.random.default_rng(settings.seed)
    for value in np.unique(columns):
        of_class = np.flatnonzero(columns == value)
        if len(of_class) > settings.points_per_class:
            keep[rng.permutation(of_class)[settings.points_per_class :]] = False
    return keep
