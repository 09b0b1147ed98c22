"""Live learning over several labelled images: one convex solve, weights that travel with the prompts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.learning.anchored import Examples
from napari_promptseg.learning.anchored_fit import fit_anchored, witnesses_of
from napari_promptseg.learning.held_out_planes import at_pixels, dice_of, left_out
from napari_promptseg.learning.learned_classes import LearnedClasses, cell_values
from napari_promptseg.learning.tuning_data import TuningSample, pixel_weights
from napari_promptseg.learning.validation import Outcome, Verdict
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.live_heads import with_live_head, without_live
from napari_promptseg.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class AcrossSettings:
    """How live learning learns from several images.

    Parameters
    ----------
    penalties : tuple of float
        Candidates per labelled pixel; the one that explains images left out best is taken. The first is taken where
        there is one image, which cannot say what will hold for others: it stays close to the words.
    prior_weights : tuple of float
        How far the words are believed, the first where there is one image.
    by_area : float
        How far pixels count by the area they stand for, see `tuning_data.pixel_weights`.
    points_per_class : int
        Most pixels of a class that are learned from.
    witnesses : int
        Pixels of all images together that speak for the words where some class has no labels.
    folds : int
        Parts in which images are left out.
    held_out : float
        Share of the labels that judges.
    seed : int
    """

    penalties: tuple[float, ...] = (0.5, 0.1, 0.02, 0.004)
    prior_weights: tuple[float, ...] = (1.0, 0.0)
    by_area: float = 0.5
    points_per_class: int = 1500
    witnesses: int = 1024
    folds: int = 5
    held_out: float = 0.25
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class LiveResult(Outcome):
    """What came of live learning over several images.

    The verdict is of weights that had not seen the held-out labels; the weights themselves come from all labels.

    Parameters
    ----------
    penalty, prior_weight : float
        That were chosen.
    """

    method = "live"

    penalty: float
    prior_weight: float

    def facts(self) -> dict[str, Any]:
        """What was chosen."""
        return {"penalty": self.penalty, "prior_weight": self.prior_weight}


def learn_live(
    segmenter: Segmenter,
    prompts: PromptSet,
    samples: Sequence[TuningSample],
    *,
    settings: AcrossSettings | None = None,
    progress: Progress = silent,
) -> LiveResult:
    """Learn from labelled pixels of one or many images, as from strokes.

    Parameters
    ----------
    segmenter : Segmenter
        Scores the words, which the weights are anchored at.
    prompts : PromptSet
    samples : sequence of TuningSample
        Encoded with the segmenter's model.
    settings : AcrossSettings, optional
    progress : callable

    Returns
    -------
    LiveResult

    Raises
    ------
    InputError
        If there are too few labels to hold some out, or features come from another model.

    Notes
    -----
    The problem of `LiveLearner` (CLAP, LP++), with what several images add to it: penalty and belief in the words are
    chosen by leaving out images, not strokes.
    """
    began = time.perf_counter()
    chosen = settings or AcrossSettings()
    values = (0, *(c.value for c in prompts.classes))
    known = [s.subset(np.isin(s.values, values)) for s in samples]
    used = [s for s in known if len(s.values)]
    if any(s.features.fingerprint != segmenter.encoder.fingerprint for s in used):
        raise InputError("The picture was encoded with another model than the one in use: segment it again.")
    teaching, judging, n_strokes = left_out(used, chosen.held_out, chosen.seed)
    plain = without_live(prompts)  # weights learned before are learned anew
    model = segmenter.encoder.name
    progress(0, 2, "learning from a part of the labels")
    trial = with_live_head(plain, fit_live(segmenter, plain, teaching, chosen), model)
    verdict = Verdict(dice_of(segmenter, plain, judging), dice_of(segmenter, trial, judging), n_strokes)
    progress(1, 2, "learning from all labels")
    head = fit_live(segmenter, plain, used, chosen)
    candidate = with_live_head(plain, head, model)
    progress(2, 2, "learned")
    return LiveResult(
        given=prompts,
        candidate=candidate,
        verdict=verdict,
        penalty=head.penalty,
        prior_weight=head.prior_weight,
        seconds=time.perf_counter() - began,
    )


def fit_live(
    segmenter: Segmenter, prompts: PromptSet, samples: Sequence[TuningSample], settings: AcrossSettings
) -> LearnedClasses:
    """Weights from all pixels of some samples, on top of what the prompts say; nothing is held out.

    Parameters
    ----------
    segmenter : Segmenter
    prompts : PromptSet
    samples : sequence of TuningSample
        At least one, with pixels of classes of the set and of background only.
    settings : AcrossSettings

    Returns
    -------
    LearnedClasses
        In the order of the set, background first.
    """
    samples = _thinned(samples, settings)
    values = (0, *(c.value for c in prompts.classes))
    priors = [segmenter.probabilities_of(s.features, prompts).clamp_min(1e-4).log() for s in samples]
    place = {v: i for i, v in enumerate(values)}
    column = np.array([place[int(v)] for s in samples for v in s.values], dtype=np.int64)
    learned = np.isin(np.arange(len(values)), column)
    x = torch.cat([cell_values(s.features, s.rows, s.columns) for s in samples])
    weights = torch.from_numpy(pixel_weights(samples, settings.by_area) * len(column)).to(x)
    prior = torch.cat([at_pixels(known, s) for s, known in zip(samples, priors, strict=True)]).to(x)
    examples = Examples(x, prior, torch.from_numpy(column).to(x.device), weights)
    image = np.repeat(np.arange(len(samples)), [len(s.values) for s in samples])
    # classes without labels live by the words, and the others must stay comparable
    shares = settings.prior_weights if learned.all() else settings.prior_weights[:1]
    each = max(1, settings.witnesses // len(samples))
    fit = fit_anchored(
        examples,
        learned,
        image,
        tuple(p * len(column) for p in settings.penalties),
        shares=shares,
        folds=min(settings.folds, len(samples)),
        witnesses=[]
        if learned.all()
        else [witnesses_of(s.features, known, each) for s, known in zip(samples, priors, strict=True)],
    )
    return LearnedClasses(
        values=values,
        weights=fit.change.weights.float().cpu(),
        bias=fit.change.bias.float().cpu(),
        learned=tuple(bool(k) for k in learned),
        prior_weight=float(fit.share),
        area_shift=0.0,
        fingerprint=segmenter.encoder.fingerprint,
        penalty=float(fit.penalty),
        n_points=len(column),
    )


def _thinned(samples: Sequence[TuningSample], settings: AcrossSettings) -> list[TuningSample]:
    """At most so many pixels of a class, drawn evenly over all; those left speak for the others' areas."""
    values = np.concatenate([s.values for s in samples])
    keep = np.ones(len(values), dtype=bool)
    factor = np.ones(len(values))
    rng = np.random.default_rng(settings.seed)
    for value in np.unique(values):
        of_class = np.flatnonzero(values == value)
        if len(of_class) > settings.points_per_class:
            factor[of_class] = len(of_class) / settings.points_per_class
            keep[rng.permutation(of_class)[settings.points_per_class :]] = False
    found, start = [], 0
    for sample in samples:
        stop = start + len(sample.values)
        areas = None if sample.areas is None else sample.areas * factor[start:stop]
        found.append(replace(sample, areas=areas).subset(keep[start:stop]))
        start = stop
    return [s for s in found if len(s.values)]
