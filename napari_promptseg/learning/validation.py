"""Whether learning helped, judged on strokes that it did not see: one verdict for every way to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.learning.tuning_data import TuningSample, pixel_weights
from napari_promptseg.prompts.prompt_set import PromptSet

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Verdict:
    """Held-out scores before and after learning.

    Parameters
    ----------
    before, after : float
        Mean Dice, see `held_out_dice`.
    n_strokes : int
        Strokes in all, held-out ones included.
    noun : str
        What they are called.
    """

    before: float
    after: float
    n_strokes: int
    noun: str = "stroke"

    @property
    def kept(self) -> bool:
        """Better than before; what is only as good is not worth a change."""
        return self.after > self.before

    @property
    def sentence(self) -> str:
        """One line for the user: ``held-out Dice 0.71 → 0.83 from 14 strokes, kept``."""
        plural = self.noun if self.n_strokes == 1 else f"{self.noun}s"
        ending = "kept" if self.kept else "not kept"
        # a small gain is not shown as none: "0.92 → 0.92, kept" would read as a fault
        digits = next((n for n in (2, 3, 4) if round(self.before, n) != round(self.after, n)), 2)
        dice = f"{self.before:.{digits}f} → {self.after:.{digits}f}"
        return f"held-out Dice {dice} from {self.n_strokes} {plural}, {ending}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What came of learning, the same for every way to learn.

    Parameters
    ----------
    given : PromptSet
        As they were.
    candidate : PromptSet
        With what was learned, kept or not.
    verdict : Verdict
        On held-out strokes.
    cancelled : bool
        Stopped early; the state so far was judged.
    seconds : float
    """

    #: As the command line and reports call it.
    method: ClassVar[str]

    given: PromptSet
    candidate: PromptSet
    verdict: Verdict
    cancelled: bool = False
    seconds: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether what was learned is better than what was there."""
        return self.verdict.kept

    @property
    def prompts(self) -> PromptSet:
        """The ones to use: with what was learned if it is kept, otherwise as they were given."""
        return self.candidate if self.kept else self.given

    @property
    def sentence(self) -> str:
        """One line for the user."""
        return self.verdict.sentence

    def report(self) -> dict[str, Any]:
        """Plain values for a ``.promptseg`` file."""
        return {
            "method": self.method,
            "sentence": self.sentence,
            "held_out_dice_before": self.verdict.before,
            "held_out_dice_after": self.verdict.after,
            "strokes": self.verdict.n_strokes,
            "kept": self.kept,
            "cancelled": self.cancelled,
            **self.facts(),
        }

    def facts(self) -> dict[str, Any]:
        """What this way to learn has to report besides."""
        return {}


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
            "Learning needs at least two strokes of one class, so that one can judge what the other taught: "
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


def held_out_dice(samples: Sequence[TuningSample], predicted: Ints) -> float:
    """Agreement of labels with held-out strokes.

    Parameters
    ----------
    samples : sequence of TuningSample
        With the pixels that judge.
    predicted : numpy.ndarray
        ``(n,)`` class values given to all their pixels, in order.

    Returns
    -------
    float
        Mean over the painted classes, background among them, of the Dice coefficient; 0 without pixels.

    Notes
    -----
    Within a stroke pixels are nearly copies of each other, so each stroke counts the same whatever its size, and each
    class the same whatever the number of its strokes: a large stroke or a busy class cannot decide alone. Where the
    areas are known, since labels cover the picture, pixels count by the area they stand for instead, as in the
    finished mask.
    """
    values = np.concatenate([s.values for s in samples]) if samples else np.zeros(0, np.int64)
    weights = pixel_weights(samples, 1.0)
    scores = []
    for value in np.unique(values):
        true, guess = values == value, predicted == value
        scores.append(2 * weights[true & guess].sum() / (weights[true].sum() + weights[guess].sum()))
    return float(np.mean(scores)) if scores else 0.0
