"""What was learned from drawn regions, inside a prompt set: which inference is in use, and switching it.

Everything a region concept knows is kept, whichever inference is in use, under tensors named ``"region/what/value"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import REGION, LearnedPrompts, value_of
from napari_promptseg.prompts.prompt_set import PromptSet

#: How a region concept is looked for: by its words; by words and pseudo-text; by a vector made for each image.
Inference = Literal["words", "pseudo-text", "text-free"]
INFERENCES: tuple[Inference, ...] = get_args(Inference)

#: Of the way it is stored.
VERSION = 1

Tensors = dict[str, npt.NDArray[Any]]


def key(what: str, value: int) -> str:
    """Name of a tensor of one class."""
    return f"{REGION}/{what}/{value}"


def region_values(prompts: PromptSet) -> tuple[int, ...]:
    """Values of the classes that were learned from regions, in order."""
    if prompts.learned is None:
        return ()
    mark = f"{REGION}/inference/"
    return tuple(sorted(v for k in prompts.learned.tensors if k.startswith(mark) and (v := value_of(k)) is not None))


def inference_of(prompts: PromptSet, value: int) -> Inference | None:
    """The inference in use for a class; None where it was not learned from regions."""
    learned = prompts.learned
    found = None if learned is None else learned.tensors.get(key("inference", value))
    if found is None:
        return None
    place = int(found[0])
    if not 0 <= place < len(INFERENCES):
        raise InputError("What was learned from regions is of a later release: update, or draw the regions again.")
    return INFERENCES[place]


def with_inference(prompts: PromptSet, value: int, inference: Inference) -> PromptSet:
    """The same prompts with another inference in use for one class.

    Raises
    ------
    InputError
        If the class was not learned from regions, or there is no such inference.
    """
    if inference not in INFERENCES:
        raise InputError(f"There is no inference {inference!r}: use {', '.join(INFERENCES)}.")
    learned = prompts.learned
    if learned is None or key("inference", value) not in learned.tensors:
        name = next((c.name for c in prompts.classes if c.value == value), str(value))
        raise InputError(f"The class {name!r} was not learned from a region: draw one first.")
    tensors = {**learned.tensors, key("inference", value): np.array([INFERENCES.index(inference)], np.int8)}
    views = {v: rows for v, rows in learned.views.items() if v != value}
    if inference != "words":
        views[value] = np.asarray(learned.tensors[key("unified", value)], np.float32)[None]
    # sorted, so that switching there and back gives the same file
    return replace(
        prompts, learned=replace(learned, views=dict(sorted(views.items())), tensors=dict(sorted(tensors.items())))
    )


def with_concept(
    prompts: PromptSet, fingerprint: str, model: str, value: int, tensors: Mapping[str, Any], inference: Inference
) -> PromptSet:
    """Prompts with what was learned for one class; what was there of it before is replaced.

    Parameters
    ----------
    fingerprint, model : str
        Of the encoder.
    value : int
    tensors : mapping
        Arrays by what they are, ``"unified"`` among them.
    inference : Inference
    """
    learned = prompts.learned or LearnedPrompts(fingerprint, model)
    kept = {k: v for k, v in learned.tensors.items() if not (k.startswith(f"{REGION}/") and value_of(k) == value)}
    own = {key(what, value): np.asarray(array) for what, array in tensors.items()}
    kept |= own | {key("inference", value): np.array([INFERENCES.index(inference)], np.int8)}
    facts = {**learned.facts, REGION: {"version": VERSION}}
    return with_inference(replace(prompts, learned=replace(learned, tensors=kept, facts=facts)), value, inference)


def without_region(prompts: PromptSet, value: int) -> PromptSet:
    """Prompts without what regions taught of one class; its words and sentences stay."""
    learned = prompts.learned
    if learned is None or key("inference", value) not in learned.tensors:
        return prompts
    tensors = {k: v for k, v in learned.tensors.items() if not (k.startswith(f"{REGION}/") and value_of(k) == value)}
    views = {v: rows for v, rows in learned.views.items() if v != value}
    return replace(prompts, learned=replace(learned, views=views, tensors=tensors))


def without_details(prompts: PromptSet) -> PromptSet:
    """The same concepts by words, pseudo-text and students alone, without what was learned on detail features."""
    learned = prompts.learned
    if learned is None:
        return prompts
    marks = tuple(f"{REGION}/{what}/" for what in ("detail", "trust", "level", "veto"))
    kept = {k: v for k, v in learned.tensors.items() if not k.startswith(marks)}
    return prompts if len(kept) == len(learned.tensors) else replace(prompts, learned=replace(learned, tensors=kept))


def offset_of(learned: LearnedPrompts, value: int) -> float:
    """What is added to a class's logit where its unified vector is in use."""
    found = learned.tensors.get(key("offset", value))
    return 0.0 if found is None or value not in learned.views else float(found[0])
