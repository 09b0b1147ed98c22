"""Every state of the mask that a new one took the place of, so that nothing painted is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.prompts.prompt_set import PromptSet

#: Memory for states, in bytes; the newest one is kept whatever its size.
LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class State:
    """Labels of one plane, the classes they stand for, and the corrections of that time."""

    index: tuple[Any, ...]
    labels: npt.NDArray[Any]
    prompts: PromptSet
    corrections: Any = None


class History:
    """States before and after the one in the layer."""

    def __init__(self) -> None:
        self._before: list[State] = []
        self._after: list[State] = []

    @property
    def can_go_back(self) -> bool:
        """Whether there is a state before."""
        return bool(self._before)

    @property
    def can_go_forward(self) -> bool:
        """Whether a step back can be taken again."""
        return bool(self._after)

    def clear(self) -> None:
        """Forget all states."""
        self._before.clear()
        self._after.clear()

    def keep(self, state: State) -> None:
        """Remember a state that is about to be replaced."""
        self._before.append(state)
        self._after.clear()
        while len(self._before) > 1 and sum(s.labels.nbytes for s in self._before) > LIMIT:
            self._before.pop(0)

    def peek(self, *, forward: bool = False) -> State | None:
        """The state that `step` would bring."""
        states = self._after if forward else self._before
        return states[-1] if states else None

    def step(self, now: State, *, forward: bool = False) -> State:
        """Take the state before (or after) in exchange for the one that stands."""
        source, target = (self._after, self._before) if forward else (self._before, self._after)
        state = source.pop()
        target.append(now)
        return state


def same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether two planes carry the same labels."""
    return first.shape == second.shape and bool(np.array_equal(first, second))
