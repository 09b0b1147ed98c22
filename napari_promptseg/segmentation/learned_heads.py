"""What learned prompts carry beside vectors: a student's decoder; live learning's weights are in `live_heads`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.prompts.learned import REGION, LearnedPrompts, value_of
from napari_promptseg.segmentation.decoder import Decoder

#: Names of their tensors begin with these words, and their facts have them as keys.
STUDENT, LIVE, GROUPED, FINE = "student", "live", "gopt", "fine"

#: What does not fit other vectors, for `without_heads`; what regions taught is fitted to theirs too.
HEADS = (STUDENT, LIVE, REGION, GROUPED, FINE)

Tensors = dict[str, npt.NDArray[Any]]


@lru_cache(maxsize=4)
def student_of(learned: LearnedPrompts) -> Decoder | None:
    """The decoder that was learned with the prompts, if there is one.

    Raises
    ------
    InputError
        If it is of another architecture, or damaged.
    """
    layers = [k for k in learned.tensors if k.startswith(f"{STUDENT}/") and value_of(k) is None]
    own = {k.removeprefix(f"{STUDENT}/"): learned.tensors[k] for k in layers}
    return Decoder.from_tensors(own, learned.facts.get(STUDENT, {})) if own else None


def student_tensors(decoder: Decoder, shown: Mapping[int, int]) -> Tensors:
    """A decoder as learned prompts store it, and how many labelled pixels of each class value it was shown."""
    layers = {f"{STUDENT}/{name}": value for name, value in decoder.tensors().items()}
    return layers | {f"{STUDENT}/class/{value}": np.array([n], np.int64) for value, n in shown.items()}


def without_heads(learned: LearnedPrompts, heads: Sequence[str] = HEADS) -> LearnedPrompts:
    """The vectors without what was learned on top of them, which does not fit others."""
    tensors = {k: v for k, v in learned.tensors.items() if k.partition("/")[0] not in heads}
    return replace(learned, tensors=tensors, facts={k: v for k, v in learned.facts.items() if k not in heads})
