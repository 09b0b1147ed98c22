"""Words for a number, with the chance that the same thing measured again gets the same word."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scatter:
    """How much a measure differs between two drawings of one region.

    Parameters
    ----------
    floor : float
        Standard deviation of the difference for a region of any size, in the measure's own unit.
    pixels : float
        Part that shrinks with the region: divided by its diameter in pixels.

    Notes
    -----
    The values in this package come from ``python -m scripts.concept_scatter``, which draws simulated regions twice.
    """

    floor: float
    pixels: float = 0.0

    def at(self, diameter: float) -> float:
        """Standard deviation for a region of that diameter in pixels."""
        return math.hypot(self.floor, self.pixels / max(diameter, 1.0))


@dataclass(frozen=True)
class Gradation:
    """Words in order, parted by borders.

    Parameters
    ----------
    words : tuple of str
        One more than borders, from low to high.
    borders : tuple of float
        Ascending; a value on a border gets the higher word.
    scatter : Scatter
        In the unit of `scale` of the measure.
    scale : callable
        Applied to values and borders before distances are taken, for example `math.log2` for ratios.
    """

    words: tuple[str, ...]
    borders: tuple[float, ...]
    scatter: Scatter
    scale: Callable[[float], float] = float

    def judge(self, value: float, diameter: float) -> tuple[str, float]:
        """Word for a value and the chance, in ``[0, 1]``, that a second drawing gets the same word."""
        index = sum(value >= border for border in self.borders)
        low = self.scale(self.borders[index - 1]) if index else -math.inf
        high = self.scale(self.borders[index]) if index < len(self.borders) else math.inf
        return self.words[index], chance_between(self.scale(value), low, high, self.scatter.at(diameter))


def chance_between(value: float, low: float, high: float, spread: float) -> float:
    """Chance that a normal variable about `value` with standard deviation `spread` lies between two borders."""
    if spread <= 0:
        return float(low <= value <= high)
    return normal((high - value) / spread) - normal((low - value) / spread)


def normal(x: float) -> float:
    """The standard normal distribution function."""
    return 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
