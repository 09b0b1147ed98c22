"""Live learning: from a few strokes to a new mask in the time of a blink, without an optimiser to tune."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial import cKDTree

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.anchored import Examples, balanced_weights
from napari_promptseg.learning.anchored_fit import fit_anchored, witnesses_of
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.learning.learned_classes import LearnedClasses, cell_values, on_cells
from napari_promptseg.learning.sampling import Points, looks_of, sample_points

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LiveSettings:
    """How live learning learns.

    Parameters
    ----------
    penalties : tuple of float
        Candidates; the one that explains left-out strokes best is taken, and of equal ones the first. Left-out points
        are as easy as those learned from, lying in the middle of regions, so weaker ones were seen to win there
        and to lose in the picture.
    prior_weights : tuple of float
        How far the words are believed where every class has corrections; chosen in the same way, so that words that
        do not fit the picture cannot hurt.
    area_shift : float
        How far the areas of the classes, as the learned scores themselves suggest, move the decision: 0 treats all
        classes as equally frequent, 1 as frequent as they seem. See `LearnedClasses.logits`.
    spread : float
        Exponent of the area that a point speaks for in its weight: 0 weighs all points of a class equally.
    fade : float
        After so many strokes (or single points) of a class a further one weighs half as much as the first; infinite
        for equal weights. See `LiveLearner.fit`.
    points_per_stroke, points_per_class : int
        See `sample_points`.
    witnesses : int
        Pixels of each plane that speak for the words where some class has few strokes. See `LiveLearner.fit`.
    witness_weight : float
        Of all witnesses together, against all points of strokes; less with every stroke of the class that has fewest.
    enough : int
        Strokes of each class from which on there are no witnesses and strokes alone judge the words.
    folds : int
        Parts in which strokes are left out to choose the penalty.
    seed : int
    """

    penalties: tuple[float, ...] = (0.1, 0.03, 0.3)
    prior_weights: tuple[float, ...] = (0.0, 1.0)
    area_shift: float = 0.65
    spread: float = 0.5
    fade: float = 1.0
    points_per_stroke: int = 20
    points_per_class: int = 300
    witnesses: int = 256
    witness_weight: float = 0.15
    enough: int = 6
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError("Live learning needs at least one penalty, each above 0.")
        if not 0 <= self.area_shift <= 1 or not 0 <= self.spread <= 1:
            raise InputError("The settings area_shift and spread of live learning lie between 0 and 1.")
        if not self.fade > 0:
            raise InputError("The setting fade of live learning must be above 0.")


@dataclass(frozen=True)
class LiveLearner:
    """Learns classes from strokes in closed form where it can and by one convex solve where it cannot.

    Examples
    --------
    >>> learned = LiveLearner().fit(features, corrections, values=(0, 1))  # doctest: +SKIP
    >>> learned.label_map(features, refiner, corrections)  # doctest: +SKIP
    """

    settings: LiveSettings = field(default_factory=LiveSettings)

    def fit(
        self,
        features: DenseFeatures | Mapping[int, DenseFeatures],
        corrections: Corrections,
        values: Sequence[int],
        prior: torch.Tensor | Mapping[int, torch.Tensor] | None = None,
    ) -> LearnedClasses:
        """Learn from the strokes of one or several planes.

        Parameters
        ----------
        features : DenseFeatures or mapping of int to DenseFeatures
            Of the plane 0, or by plane. Strokes on planes without features are left out.
        corrections : Corrections
        values : sequence of int
            Class values in the order of the maps; 0, background, comes first.
        prior : torch.Tensor or mapping of int to torch.Tensor, optional
            ``(C, h, w)`` logits of the words, in the order of `values`, on any grid that covers the plane.

        Returns
        -------
        LearnedClasses
            Classes without strokes score exactly as `prior` does.

        Raises
        ------
        InputError
            If `values` does not begin with 0 or names a class twice, a stroke has a class not among them, or maps do
            not fit.

        Notes
        -----
        Logistic regression on the joint-space and detail features of a few points per stroke, classes of equal
        weight, anchored at the words (see `anchored`). Points are drawn where the user looks and not where the
        picture is: a point's weight grows with the area nearer to it than to any other point (Voronoi cell), the
        usual answer to a biased sample. Strokes are biased too: the first ones are drawn in the middle of what is
        meant, later ones where the mask was wrong, most along borders. With equal weights the few wrong pixels would
        count as much as the many right ones, and a correction could make the mask worse. What n strokes leave wrong
        falls about as 1 / n, and so does the weight of the strokes after them; see `standing`.

        Where some class has few strokes or none, pixels from all over the plane speak for the words, see
        `fit_anchored`. The first strokes of a person stand where the words are wrong: left-out ones always prefer to
        drop the words, and areas guessed from a handful of strokes can take a class out of the picture altogether.
        """
        given = dict(features) if isinstance(features, Mapping) else {0: features}
        priors = dict(prior) if isinstance(prior, Mapping) else {} if prior is None else {0: prior}
        order = tuple(int(v) for v in values)
        self._check(order, given, priors, corrections)
        settings = self.settings
        parts = [
            sample_points(
                corrections.on_plane(plane),
                given[plane].image_shape,
                per_stroke=settings.points_per_stroke,
                per_class=settings.points_per_class,
                seed=settings.seed,
            )
            for plane in sorted(given)
        ]
        fingerprint = next(iter(given.values())).fingerprint
        points = [p for p in parts if len(p)]
        if not points:
            return LearnedClasses.untouched(order, fingerprint)
        examples, column, group = _examples(points, given, priors, corrections, order, settings)
        learned = np.zeros(len(order), dtype=bool)
        learned[np.unique(column)] = True
        # With every class corrected often the words are only a hint and may be dropped; otherwise the classes without
        # strokes live by them, and the others must stay comparable.
        scarce = _scarcity(column, group, learned, settings.enough) if priors else 0.0
        shares = (1.0,) if scarce else settings.prior_weights if priors else (0.0,)
        seen = [(given[int(p.planes[0])], priors[int(p.planes[0])]) for p in points if int(p.planes[0]) in priors]
        fit = fit_anchored(
            examples,
            learned,
            group,
            settings.penalties,
            shares=shares,
            folds=settings.folds,
            witnesses=[witnesses_of(f, maps, settings.witnesses) for f, maps in seen] if settings.witnesses else (),
            witness_weight=settings.witness_weight * scarce,
        )
        return LearnedClasses(
            values=order,
            weights=fit.change.weights.float().cpu(),
            bias=fit.change.bias.float().cpu(),
            learned=tuple(bool(f) for f in learned),
            prior_weight=float(fit.share),
            area_shift=_area_shift(settings, column.size, learned) * (1 - scarce),
            penalty=float(fit.penalty),
            n_points=int(column.size),
            fingerprint=fingerprint,
        )

    @staticmethod
    def _check(
        values: tuple[int, ...],
        features: Mapping[int, DenseFeatures],
        priors: Mapping[int, torch.Tensor],
        corrections: Corrections,
    ) -> None:
        if not values or values[0] != 0 or len(set(values)) != len(values):
            raise InputError(f"The class values {values} must begin with 0 for background and differ from each other.")
        if not features:
            raise InputError("There are no features to learn from: segment the image first.")
        if len({f.fingerprint for f in features.values()}) > 1:
            raise InputError("The planes were encoded by different models: encode them again with one.")
        strange = [v for v in corrections.values if v not in values]
        if strange:
            raise InputError(f"There are corrections of the class {strange[0]}, which is not in the list of classes.")
        for plane, maps in priors.items():
            if maps.ndim != 3 or maps.shape[0] != len(values):
                raise InputError(
                    f"The scores of plane {plane} have the shape {tuple(maps.shape)}; "
                    f"one map for each of {len(values)} classes is needed."
                )


def _examples(
    points: Sequence[Points],
    features: Mapping[int, DenseFeatures],
    priors: Mapping[int, torch.Tensor],
    corrections: Corrections,
    values: tuple[int, ...],
    settings: LiveSettings,
) -> tuple[Examples, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Points of some planes as examples, with the column of each, and the look that it is left out with."""
    x, known, columns, density, groups = [], [], [], [], []
    n_groups = 0
    for p in points:
        plane = int(p.planes[0])
        own = features[plane]
        x.append(cell_values(own, p.rows, p.columns))
        known.append(_prior_at(priors.get(plane), own, p, len(values)))
        columns.append(np.array([values.index(int(v)) for v in p.values], dtype=np.int64))
        looks = looks_of(p, corrections.on_plane(plane))
        density.append(_areas(p, own.image_shape) ** settings.spread * standing(p, looks, settings.fade))
        groups.append(looks + n_groups)
        n_groups = int(groups[-1].max()) + 1
    column = np.concatenate(columns)
    weights = torch.from_numpy(balanced_weights(column, np.concatenate(density)))
    device = x[0].device
    examples = Examples(torch.cat(x), torch.cat(known), torch.from_numpy(column).to(device), weights.to(device))
    return examples, column, np.concatenate(groups)


def _scarcity(
    column: npt.NDArray[np.int64], groups: npt.NDArray[np.int64], learned: npt.NDArray[np.bool_], enough: int
) -> float:
    """1 where a class has one stroke or none, 0 where all have `enough`."""
    if not learned.all():
        return 1.0
    least = min(len(np.unique(groups[column == c])) for c in range(learned.size))
    return max(0.0, (enough - least) / (enough - 1)) if enough > 1 else 0.0


def _prior_at(prior: torch.Tensor | None, features: DenseFeatures, points: Points, n_classes: int) -> torch.Tensor:
    """``(n, C)`` float32 prior logits at the points, 0 without a prior."""
    if prior is None:
        return torch.zeros(len(points), n_classes, device=features.semantic.device)
    return on_cells(prior.permute(1, 2, 0), features.image_shape, points.rows, points.columns)


def _areas(points: Points, shape: tuple[int, int], side: int = 96) -> Floats:
    """Share of the plane that is nearer to each point than to any other: ``(n,)``, in cells of a coarse grid."""
    height, width = (max(1, round(side * n / max(shape))) for n in shape)
    y = (np.arange(height) + 0.5) * shape[0] / height
    x = (np.arange(width) + 0.5) * shape[1] / width
    cells = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(np.stack([points.rows + 0.5, points.columns + 0.5], axis=1)).query(cells)
    counts: Floats = np.bincount(nearest, minlength=len(points)).astype(np.float64)
    # Points crowded within one cell still speak for something.
    return counts + 0.5


def _area_shift(settings: LiveSettings, n_points: int, learned: npt.NDArray[np.bool_]) -> float:
    """Of the learned classes: the more pixels were corrected, the less is left to guess from areas."""
    if not learned.all() or learned.size < 2:
        return 0.0
    rounds = max(1.0, n_points / (20 * learned.size))
    return settings.area_shift / math.sqrt(rounds)


def standing(points: Points, groups: npt.NDArray[np.int64], fade: float) -> Floats:
    """What each point of one plane counts for by the place of its stroke among those of its class.

    Parameters
    ----------
    points : Points
    groups : numpy.ndarray
        ``(n,)``: points that are one look at the class, as those of a brush stroke are.
    fade : float
        See `LiveSettings`.

    Returns
    -------
    numpy.ndarray
        ``(n,)``: ``1 / (1 + k / fade)`` with k groups in earlier strokes of the class.
    """
    out = np.ones(len(points))
    for value in np.unique(points.values):
        earlier = 0
        for stroke in np.unique(points.strokes[points.values == value]):
            own = points.strokes == stroke
            out[own] = 1 / (1 + earlier / fade)
            earlier += np.unique(groups[own]).size
    return out
