"""Whether learning helped, judged on strokes that it did not see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_promptseg.learning.corrections import Corrections, Stroke

#: Labels of some pixels of one plane: ``predict(plane, rows, columns) -> (n,)`` class values.
Predict = Callable[[int, npt.NDArray[np.int64], npt.NDArray[np.int64]], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Verdict:
    """Held-out scores before and after.

    Parameters
    ----------
    before, after : float or None
        Mean Dice over the classes of the held-out strokes; None where nothing could be held out.
    n_strokes : int
        Strokes that were held out.
    """

    before: float | None
    after: float | None
    n_strokes: int

    @property
    def kept(self) -> bool:
        """Better, or nothing to judge by."""
        return self.before is None or self.after is None or self.after >= self.before

    @property
    def sentence(self) -> str:
        """For the user, for example ``"held-out Dice 0.71 → 0.83 from 14 strokes, kept"``."""
        if self.before is None or self.after is None:
            return "too few strokes to hold some out: correct every class at least twice to have the result checked"
        plural = "stroke" if self.n_strokes == 1 else "strokes"
        ending = "kept" if self.kept else "not kept"
        return f"held-out Dice {self.before:.2f} → {self.after:.2f} from {self.n_strokes} {plural}, {ending}"


def split(corrections: Corrections, *, share: float = 0.25, seed: int = 0) -> tuple[Corrections, Corrections]:
    """Strokes to learn from and strokes to judge by.

    Parameters
    ----------
    corrections : Corrections
    share : float
        Of each class's strokes, at least one where a class has two or more; a class with one stroke keeps it for
        learning.
    seed : int

    Returns
    -------
    learn, held_out : Corrections
        In their order; a set of points (kind ``"point"``) with several pixels is itself divided.
    """
    rng = np.random.default_rng(seed)
    learn: list[Stroke] = []
    held: list[Stroke] = []
    for value in corrections.values:
        strokes = [part for s in corrections.of_class(value) for part in _halves(s, share, rng)]
        n_held = max(1, round(share * len(strokes))) if len(strokes) > 1 else 0
        out = set(rng.choice(len(strokes), n_held, replace=False).tolist())
        learn += [s for i, s in enumerate(strokes) if i not in out]
        held += [s for i, s in enumerate(strokes) if i in out]
    place = {s.id: i for i, s in enumerate(corrections)}

    def ordered(strokes: list[Stroke]) -> Corrections:
        return Corrections(tuple(sorted(strokes, key=lambda s: place[s.id.split("/")[0]])))

    return ordered(learn), ordered(held)


def judge(before: Predict, after: Predict, held_out: Corrections, shape: tuple[int, int]) -> Verdict:
    """Compare two ways to label on held-out strokes.

    Parameters
    ----------
    before, after : callable
        See `Predict`.
    held_out : Corrections
    shape : tuple of int
        ``(Y, X)`` of the planes.

    Notes
    -----
    Within a stroke pixels are nearly copies, so each stroke counts the same, whatever its size: Dice is computed from
    shares of strokes.
    """
    if len(held_out) == 0 or len(held_out.values) < 2:
        return Verdict(None, None, len(held_out))
    return Verdict(_dice(before, held_out, shape), _dice(after, held_out, shape), len(held_out))


def _dice(predict: Predict, held_out: Corrections, shape: tuple[int, int]) -> float:
    true, guess, weight = [], [], []
    for plane in held_out.planes:
        own = held_out.on_plane(plane)
        owner = own.owners(plane, shape)
        rows, columns = np.nonzero(owner >= 0)
        stroke = owner[rows, columns]
        sizes = np.bincount(stroke, minlength=len(own))
        true.append(np.array([s.value for s in own.strokes])[stroke])
        guess.append(np.asarray(predict(plane, rows, columns)))
        weight.append(1.0 / sizes[stroke])
    t, g, w = np.concatenate(true), np.concatenate(guess), np.concatenate(weight)
    # A class with many strokes must not decide alone.
    for value in np.unique(t):
        w[t == value] /= w[t == value].sum()
    scores = [2 * w[(t == v) & (g == v)].sum() / (w[t == v].sum() + w[g == v].sum()) for v in np.unique(t)]
    return float(np.mean(scores))


def _halves(stroke: Stroke, share: float, rng: np.random.Generator) -> list[Stroke]:
    """A set of single points as two strokes, anything else as it is."""
    rows, columns = stroke.pixels
    if stroke.kind != "point" or rows.size < 2:
        return [stroke]
    out = np.zeros(rows.size, dtype=bool)
    out[rng.choice(rows.size, max(1, round(share * rows.size)), replace=False)] = True
    return [
        Stroke.from_pixels(
            rows[part], columns[part], stroke.value, plane=stroke.plane, kind="point", id=f"{stroke.id}/{n}"
        )
        for n, part in enumerate((~out, out))
    ]
