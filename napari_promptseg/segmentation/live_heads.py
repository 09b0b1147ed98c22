"""Live learning's weights among learned prompts: layer upon layer, each learned on top of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import BACKGROUND, LearnedPrompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.learned_heads import FINE, LIVE, without_heads
from napari_promptseg.segmentation.linear_head import LinearHead
from napari_promptseg.segmentation.settings import SegmentationSettings

#: Of the way the weights are stored. In version 1 there was one layer, a row ``(d + 1,)`` per class.
LIVE_VERSION = 2

#: Edges of live masks: a narrow window on the features' own grid, since the features already follow edges.
LIVE_EDGES = SegmentationSettings(
    refinement="guided", guided_side=256, guided_radius=3, guided_strength=1e-3, working_side=512
)


def live_heads(prompts: PromptSet) -> tuple[LinearHead, ...]:
    """The weights that live learning left for classes of the set, the first learned first; empty if it left none.

    Returns
    -------
    tuple of LinearHead
        In the order of the set, background first. The first adds to the words, each other one to those before it.

    Raises
    ------
    InputError
        If they are stored in another way, or damaged.
    """
    learned = prompts.learned
    if learned is None or LIVE not in learned.facts:
        return ()
    values = (BACKGROUND, *(c.value for c in prompts.classes))
    stored = [learned.tensors.get(_name(value)) for value in values]
    try:
        layers, rows = _read(learned.facts[LIVE], [s for s in stored if s is not None])
        if not rows:
            return ()
        none, given = np.zeros_like(rows[0]), iter(rows)
        # layers first: (n, C, d + 2)
        stacked = torch.from_numpy(np.stack([none if s is None else next(given) for s in stored], axis=1))
        return tuple(
            LinearHead(
                values=values,
                weights=rows_of[:, : int(facts.get("width", rows_of.shape[1] - 2))],
                bias=rows_of[:, -2],
                learned=tuple(bool(flag) for flag in rows_of[:, -1]),
                prior_weight=float(facts["prior_weight"]),
                area_shift=float(facts["area_shift"]),
                fingerprint=learned.fingerprint,
            )
            for facts, rows_of in zip(layers, stacked, strict=True)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("The live weights in the prompt file do not fit this release: tune again.") from error


def with_live_head(prompts: PromptSet, head: LinearHead, model: str, *, edges: bool = False) -> PromptSet:
    """A set that is scored with these weights on top of all that it had learned before.

    Parameters
    ----------
    prompts : PromptSet
    head : LinearHead
        For the classes of the set.
    model : str
        Name of the encoder.
    edges : bool
        Masks get the edges of `narrowed`, as while strokes are painted.

    Raises
    ------
    InputError
        If what the set had learned belongs to another model.
    """
    learned = prompts.learned or LearnedPrompts(head.fingerprint, model)
    if learned.fingerprint != head.fingerprint:
        raise InputError("The learned classes belong to another model: correct again, or choose that model.")
    before = live_heads(prompts)
    layers = [*before, head]
    tensors = {}
    # one learned on several modalities is wider than one learned on one
    widest = max(int(layer.weights.shape[1]) for layer in layers)
    for value in head.values:
        rows = [_row(layer, value, widest) for layer in layers]
        if any(row[-1] for row in rows):
            tensors[_name(value)] = np.stack(rows)
    facts: dict[str, Any] = {
        "version": LIVE_VERSION,
        "layers": [
            {"prior_weight": h.prior_weight, "area_shift": h.area_shift, "width": int(h.weights.shape[1])}
            for h in layers
        ],
        "edges": edges,
    }
    stored = replace(learned, tensors={**learned.tensors, **tensors}, facts={**learned.facts, LIVE: facts})
    return replace(prompts, learned=stored)


def without_live(prompts: PromptSet) -> PromptSet:
    """The set as it was before live learning, and without what pixels taught beside it; itself where there was none."""
    if prompts.learned is None or LIVE not in prompts.learned.facts:
        return prompts
    return replace(prompts, learned=without_heads(prompts.learned, (LIVE, FINE)))


def narrowed(settings: SegmentationSettings, prompts: PromptSet, *, whole: bool) -> SegmentationSettings:
    """How masks of a set get their edges: as in `LIVE_EDGES` where its live weights ask for it.

    Parameters
    ----------
    settings : SegmentationSettings
        Only ``"guided"`` edges are narrowed: others were chosen on purpose.
    prompts : PromptSet
    whole : bool
        The plane is worked on whole. Windows of a large one are not refined, since a mask has to follow the brush.
    """
    learned = prompts.learned
    facts = {} if learned is None else learned.facts.get(LIVE, {})
    if settings.refinement != "guided" or not isinstance(facts, Mapping) or facts.get("edges") is not True:
        return settings
    if not whole:
        return replace(settings, refinement="none")
    return replace(
        settings,
        guided_side=LIVE_EDGES.guided_side,
        guided_radius=LIVE_EDGES.guided_radius,
        guided_strength=LIVE_EDGES.guided_strength,
        working_side=LIVE_EDGES.working_side,
    )


def _name(value: int) -> str:
    return f"{LIVE}/class/{value}"


def _read(facts: Any, stored: list[npt.NDArray[Any]]) -> tuple[list[Any], list[npt.NDArray[np.float32]]]:
    """Facts of each layer, and per class ``(n, d + 2)``: weights, bias, and whether the layer has the class."""
    version = facts["version"]
    if version == 1:
        rows = [np.append(row, np.float32(1))[None] for row in stored]
        layers = [facts]
    else:
        rows, layers = stored, list(facts["layers"])
    shapes = {row.shape for row in rows}
    if version not in (1, LIVE_VERSION) or len(shapes) > 1 or any(len(s) != 2 or s[0] != len(layers) for s in shapes):
        raise ValueError("weights of another shape")
    return layers, [row.astype(np.float32) for row in rows]


def _row(head: LinearHead, value: int, length: int) -> npt.NDArray[np.float32]:
    """``(length + 2,)`` of one class in a layer, zeros after its own weights."""
    if value not in head.values or not head.learned[head.values.index(value)]:
        return np.zeros(length + 2, np.float32)
    at = head.values.index(value)
    weights = head.weights[at].float().cpu().numpy()
    weights = np.pad(weights, (0, length - weights.size))
    return np.append(weights, [np.float32(head.bias[at]), np.float32(1)]).astype(np.float32)
