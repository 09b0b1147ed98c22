"""What learned prompts carry beside vectors: a student's decoder, and live learning's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import BACKGROUND, REGION, LearnedPrompts, value_of
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.decoder import Decoder
from napari_promptseg.segmentation.linear_head import LinearHead

#: Names of their tensors begin with these words, and their facts have them as keys.
STUDENT, LIVE = "student", "live"

#: What does not fit other vectors, for `without_heads`; what regions taught is fitted to theirs too.
HEADS = (STUDENT, LIVE, REGION)

#: Of the way live weights are stored.
LIVE_VERSION = 1

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


def live_head(prompts: PromptSet) -> LinearHead | None:
    """The weights that live learning left for classes of the set, if it left any.

    Returns
    -------
    LinearHead
        In the order of the set, background first; classes without weights are scored by their words.

    Raises
    ------
    InputError
        If they are stored in another way, or damaged.
    """
    learned = prompts.learned
    if learned is None or LIVE not in learned.facts:
        return None
    facts = learned.facts[LIVE]
    values = (BACKGROUND, *(c.value for c in prompts.classes))
    rows = [learned.tensors.get(f"{LIVE}/class/{value}") for value in values]
    lengths = {row.shape for row in rows if row is not None}
    if not lengths:
        return None
    try:
        if facts["version"] != LIVE_VERSION or len(lengths) > 1:
            raise ValueError
        (length,) = lengths.pop()
        stacked = torch.from_numpy(np.stack([np.zeros(length, np.float32) if r is None else r for r in rows]))
        return LinearHead(
            values=values,
            weights=stacked[:, :-1],
            bias=stacked[:, -1],
            learned=tuple(r is not None for r in rows),
            prior_weight=float(facts["prior_weight"]),
            area_shift=float(facts["area_shift"]),
            fingerprint=learned.fingerprint,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("The live weights in the prompt file do not fit this release: tune again.") from error


def live_tensors(head: LinearHead) -> tuple[Tensors, Mapping[str, Any]]:
    """Tensors and facts as learned prompts store them: per learned class its weights followed by its bias."""
    rows = torch.cat([head.weights, head.bias[:, None]], dim=1).cpu().numpy()
    tensors = {f"{LIVE}/class/{v}": r for v, r, known in zip(head.values, rows, head.learned, strict=True) if known}
    return tensors, {"version": LIVE_VERSION, "prior_weight": head.prior_weight, "area_shift": head.area_shift}


def without_heads(learned: LearnedPrompts, heads: Sequence[str] = HEADS) -> LearnedPrompts:
    """The vectors without what was learned on top of them, which does not fit others."""
    tensors = {k: v for k, v in learned.tensors.items() if k.partition("/")[0] not in heads}
    return replace(learned, tensors=tensors, facts={k: v for k, v in learned.facts.items() if k not in heads})
