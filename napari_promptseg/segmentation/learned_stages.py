"""What each thing that a set has learned made of its masks: words, tuned prompts, a student, modalities, strokes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch

from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fusion import counted
from napari_promptseg.segmentation.grouping import without_grouping
from napari_promptseg.segmentation.learned_heads import FINE, GROUPED, LIVE, STUDENT, without_heads
from napari_promptseg.segmentation.live_heads import without_live
from napari_promptseg.segmentation.scene import Scene
from napari_promptseg.segmentation.segmenter import Segmenter

#: In the order in which each adds to those before it; live weights come from strokes or from labelled images.
StageName = Literal["words", "prompts", "student", "modalities", "labels", "strokes"]


def stages(prompts: PromptSet) -> dict[StageName, PromptSet]:
    """The set as it was with words alone, and after each thing it learned; the last one is the set itself."""
    learned = prompts.learned
    found: dict[StageName, PromptSet] = {"words": replace(prompts, learned=None)}
    if learned is None:
        return {"words": prompts}
    vectors = without_heads(learned, (STUDENT, LIVE, GROUPED, FINE))
    if vectors.arrays():
        found["prompts"] = replace(prompts, learned=vectors)
    if any(name.startswith(f"{STUDENT}/") for name in learned.tensors):
        found["student"] = without_grouping(without_live(prompts))
    if GROUPED in learned.facts:
        found["modalities"] = without_live(prompts)
    if LIVE in learned.facts:
        facts = learned.facts[LIVE]
        by_hand = isinstance(facts, Mapping) and facts.get("edges") is True
        found["strokes" if by_hand else "labels"] = prompts
    return found


def stage_chances(segmenter: Segmenter, prompts: PromptSet, scene: Scene) -> dict[str, torch.Tensor]:
    """Probabilities of a plane at each of the `stages`, on its features' grids; several modalities are fused.

    Returns
    -------
    dict of str to torch.Tensor
        ``(C + 1, h, w)`` float32 each, background first; a grid is finer from the student or the strokes on.

    Raises
    ------
    InputError
        If what was learned belongs to another model, or is damaged.
    """
    return {name: segmenter.coarse_probabilities(of, scene=scene) for name, of in stages(prompts).items()}


def chances_apart(segmenter: Segmenter, prompts: PromptSet, scene: Scene) -> dict[str, torch.Tensor]:
    """What each modality that counts would say by itself, by its name; empty where there is one.

    Returns
    -------
    dict of str to torch.Tensor
        ``(C + 1, h, w)`` float32 each, background first.
    """
    parts = counted(scene, prompts)
    if len(parts) < 2:
        return {}
    return {p.scene.shows.name: segmenter.coarse_probabilities(prompts, scene=p.scene.alone) for p in parts}
