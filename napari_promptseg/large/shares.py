"""Who gets which blocks: neighbours to one worker, which then has most of their tiles in memory already."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Shares:
    """Runs of consecutive numbers, one per worker; who has none left takes half of the longest run.

    Parameters
    ----------
    numbers : sequence of int
        Blocks to be done, in the order of the plan.
    workers : sequence of str
        Those there at the beginning; others may come, and some may go.
    """

    def __init__(self, numbers: Sequence[int], workers: Sequence[str]) -> None:
        self._again: deque[int] = deque()
        n = max(1, len(workers))
        cuts = [round(i * len(numbers) / n) for i in range(n + 1)]
        self._runs: dict[str, deque[int]] = {
            worker: deque(numbers[cuts[i] : cuts[i + 1]]) for i, worker in enumerate(workers or ("",))
        }

    def again(self, number: int) -> None:
        """Give a number out once more, before all others."""
        self._again.append(number)

    def next_for(self, worker: str) -> int | None:
        """The next number for a worker; None when all are given out."""
        if self._again:
            return self._again.popleft()
        run = self._runs.get(worker)
        if not run:
            longest = max(self._runs.values(), key=len)
            if not longest:
                return None
            run = deque(longest.pop() for _ in range((len(longest) + 1) // 2))
            run.reverse()
            self._runs[worker] = run
        return run.popleft()
