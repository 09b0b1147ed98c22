"""How long work of many equal steps will still take, said as a person would."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable


class TimeLeft:
    """Estimates from the latest steps, so that a machine that grew busy or idle is believed soon.

    Parameters
    ----------
    total : int
        Steps there are.
    latest : int
        Steps that count.
    clock : callable
        Gives seconds.
    """

    def __init__(self, total: int, *, latest: int = 12, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self._clock = clock
        self._ends: deque[float] = deque([clock()], maxlen=latest + 1)

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        self._ends.append(self._clock())

    @property
    def seconds(self) -> float | None:
        """Still to go; None before the first step is done."""
        if len(self._ends) < 2:
            return None
        return max(0, self.total - self.done) * (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    @property
    def text(self) -> str:
        """``"about 2 min left"``; empty before the first step is done."""
        seconds = self.seconds
        return "" if seconds is None else in_words(seconds)


def in_words(seconds: float) -> str:
    """A time to wait, no more exact than it is known."""
    if seconds < 5:
        return "a few seconds left"
    if seconds < 55:
        return f"about {5 * math.ceil(seconds / 5)} s left"
    if seconds < 55 * 60:
        return f"about {math.ceil(seconds / 60)} min left"
    hours, minutes = divmod(math.ceil(seconds / 300) * 5, 60)
    return f"about {hours} h {minutes} min left"
