"""Holding out whole planes where there are several: what judges is then another picture, as it will be in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.learning.learned_classes import on_cells
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.validation import held_out_dice, hold_out
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

Ints = npt.NDArray[np.int64]

#: With fewer labelled planes parts of them are held out, since each is needed to learn from.
ENOUGH_PLANES = 4


def left_out(
    samples: Sequence[TuningSample], share: float, seed: int
) -> tuple[list[TuningSample], list[TuningSample], int]:
    """Part labelled planes into those learned from and those that judge.

    Parameters
    ----------
    samples : sequence of TuningSample
    share : float
        Of the planes; of the strokes where planes are fewer than `ENOUGH_PLANES`, see `hold_out`.
    seed : int

    Returns
    -------
    teaching, judging : list of TuningSample
    count : int
        Number of strokes in all.

    Raises
    ------
    InputError
        If nothing can be held out.
    """
    if len(samples) < ENOUGH_PLANES:
        return hold_out(samples, share, seed)
    classes = [{int(v) for v in np.unique(s.values)} - {0} for s in samples]
    order = np.random.default_rng(seed).permutation(len(samples)).tolist()
    judging: list[int] = []
    for i in order:
        rest = set().union(*(classes[j] for j in order if j != i and j not in judging))
        # what judges must have been taught by another plane
        if len(judging) < max(1, round(share * len(samples))) and classes[i] and classes[i] <= rest:
            judging.append(i)
    if not judging:
        return hold_out(samples, share, seed)
    count = sum(len(np.unique(s.strokes)) for s in samples)
    return [s for i, s in enumerate(samples) if i not in judging], [samples[i] for i in sorted(judging)], count


def drawn_values(logits: torch.Tensor, prompts: PromptSet) -> Ints:
    """Class values ``(n,)`` that pixels would get, from ``(n, C + 1)`` logits with background first."""
    limits = torch.tensor([min(max(c.threshold, 1e-6), 1 - 1e-6) for c in prompts.classes])
    margins = (logits[:, 1:] - logits[:, :1]).cpu()
    best = margins.argmax(dim=1)
    sure = margins.gather(1, best[:, None])[:, 0] >= torch.logit(limits).to(margins)[best]
    values = np.array([0, *(c.value for c in prompts.classes)])
    found: Ints = values[torch.where(sure, best + 1, 0).numpy()]
    return found


def at_pixels(maps: torch.Tensor, sample: TuningSample) -> torch.Tensor:
    """``(n, C)`` values of maps ``(C, h, w)`` at the pixels of a sample."""
    return on_cells(maps.permute(1, 2, 0), sample.features.image_shape, sample.rows, sample.columns)


def dice_of(segmenter: Segmenter, prompts: PromptSet, samples: Sequence[TuningSample]) -> float:
    """Agreement of what prompts draw with held-out pixels, see `held_out_dice`; edges are not refined."""
    judges = [s for s in samples if len(s.values)]
    drawn = [
        drawn_values(at_pixels(segmenter.probabilities_of(s.features, prompts), s).clamp_min(1e-6).log(), prompts)
        for s in judges
    ]
    return held_out_dice(judges, np.concatenate(drawn))
