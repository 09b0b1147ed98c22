"""Every state of the mask that a new one took the place of, so that nothing painted is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.prompts.modality_notes import KEY as MODALITIES
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

#: Memory for states, in bytes; the newest one is kept whatever its size.
LIMIT = 256 * 1024 * 1024


@dataclass(frozen=True, eq=False)
class State:
    """Labels of one plane, the classes they stand for, the corrections of that time and what had been predicted."""

    index: tuple[Any, ...]
    labels: npt.NDArray[Any]
    prompts: PromptSet
    corrections: Corrections | None = None
    predicted: LabelMap | None = None

    def says_the_same(self, other: State) -> bool:
        """Whether a step from one to the other would change nothing."""
        return (
            self.index == other.index
            and self.prompts == other.prompts
            and self.prompts.metadata.get(MODALITIES) == other.prompts.metadata.get(MODALITIES)
            and _ids(self.corrections) == _ids(other.corrections)
            and same(self.labels, other.labels)
        )


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
        """Remember a state that is about to be replaced; one that is kept already is not kept twice."""
        if self._before and self._before[-1].says_the_same(state):
            return
        self._before.append(state)
        self._after.clear()
        while len(self._before) > 1 and _memory(self._before) > LIMIT:
            self._before.pop(0)

    def peek(self, *, forward: bool = False) -> State | None:
        """The state that `step` would bring."""
        states = self._after if forward else self._before
        return states[-1] if states else None

    def drop(self, *, forward: bool = False) -> None:
        """Forget the state that `step` would bring, since it is what stands."""
        (self._after if forward else self._before).pop()

    def step(self, now: State, *, forward: bool = False) -> State:
        """Take the state before (or after) in exchange for the one that stands."""
        source, target = (self._after, self._before) if forward else (self._before, self._after)
        state = source.pop()
        target.append(now)
        return state


def _memory(states: list[State]) -> int:
    """Bytes of all maps; states in a row often share a prediction, which counts once."""
    arrays = {}
    for state in states:
        arrays[id(state.labels)] = state.labels
        if state.predicted is not None:
            found = [*vars(state.predicted).values(), *state.predicted.probabilities.values()]
            arrays.update((id(a), a) for a in found if isinstance(a, np.ndarray))
    return sum(a.nbytes for a in arrays.values())


def _ids(corrections: Corrections | None) -> tuple[str, ...]:
    return () if corrections is None else tuple(s.id for s in corrections)


def same(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> bool:
    """Whether two planes carry the same labels."""
    return first.shape == second.shape and bool(np.array_equal(first, second))
