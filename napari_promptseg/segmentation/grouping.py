"""What grouping prompt tuning left with a prompt set: prompters in the image tower, and weights on what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.grouping import GroupingSettings, Prompters
from napari_promptseg.prompts.learned import BACKGROUND, LearnedPrompts
from napari_promptseg.prompts.modality_notes import ModalityNote
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.learned_heads import GROUPED, without_heads
from napari_promptseg.segmentation.linear_head import linear_scores
from napari_promptseg.segmentation.sampling import on_grid

#: Changes with every change of the prompters, of what is measured, or of how they are stored.
ARCHITECTURE = 2

_PROMPTER = f"{GROUPED}/prompter."


@dataclass(frozen=True, eq=False)
class PartedHead:
    """A change to the words' score, linear in the features of one or several modalities and in their measured values.

    Parameters
    ----------
    values : tuple of int
        Class values, 0 (background) first.
    weights : torch.Tensor
        ``(C, M * d + k)``: per modality over the detail channels followed by the joint-space ones, and last over what
        was measured of all (`segmentation.measured`).
    n_parts : int
        M.
    bias : torch.Tensor
        ``(C,)``.
    learned : tuple of bool
        Which classes have weights; the others score as the words do.
    prior_weight : float
        How far the words are believed for classes that were learned.
    """

    values: tuple[int, ...]
    weights: torch.Tensor
    bias: torch.Tensor
    learned: tuple[bool, ...]
    prior_weight: float
    n_parts: int = 1

    def logits(self, parts: Sequence[DenseFeatures], values: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        """Scores ``(C, h', w')`` on the grid of the details.

        Parameters
        ----------
        parts : sequence of DenseFeatures
            Per modality.
        values : torch.Tensor
            ``(h'', w'', k)`` measured values on any grid.
        prior : torch.Tensor
            ``(C, h, w)`` logits of the words on any grid.
        """
        detail = parts[0].detail
        device, grid = detail.device, (int(detail.shape[0]), int(detail.shape[1]))
        base = on_grid(prior.float().to(device), grid)
        if not any(self.learned):
            return base
        width = int(detail.shape[-1]) + int(parts[0].semantic.shape[-1])
        weights = self.weights.to(device)
        if weights.shape[1] != width * len(parts) + values.shape[-1]:
            raise InputError("What was tuned for several modalities does not fit this model: tune them again.")
        measured = torch.einsum("hwk,ck->chw", values.float(), weights[:, width * len(parts) :])
        scores = self.prior_weight * base + self.bias.to(device)[:, None, None] + on_grid(measured, grid)
        for j, part in enumerate(parts):
            scores = scores + linear_scores(part, weights[:, j * width : (j + 1) * width])
        return torch.where(torch.tensor(self.learned, device=device)[:, None, None], scores, base)


@dataclass(frozen=True, eq=False)
class Grouping:
    """Everything that was learned for one scene in several modalities.

    Parameters
    ----------
    notes : tuple of ModalityNote
        The modalities; prompters add to the tokens of the first.
    prompters : Prompters or None
        None where they did not help, or were not asked for.
    joint : PartedHead
        For pictures that have all modalities.
    alone : tuple of PartedHead
        For each modality by itself; what is there of them is averaged where some are missing.
    """

    notes: tuple[ModalityNote, ...]
    prompters: Prompters | None
    joint: PartedHead
    alone: tuple[PartedHead, ...]

    @property
    def n_weights(self) -> int:
        """Numbers in the weights, without those of the prompters."""
        return sum(h.weights.numel() + h.bias.numel() for h in (self.joint, *self.alone))


def grouping_of(prompts: PromptSet) -> Grouping | None:
    """What was learned for the classes of a set; None where nothing was.

    Raises
    ------
    InputError
        If it is of another architecture, or damaged.
    """
    if prompts.learned is None or GROUPED not in prompts.learned.facts:
        return None
    return _read(prompts.learned, tuple(c.value for c in prompts.classes))


def with_grouping(
    prompts: PromptSet, grouping: Grouping, *, fingerprint: str, model: str, facts: dict[str, Any] | None = None
) -> PromptSet:
    """A set that is scored with this grouping on top of what else it has learned.

    Parameters
    ----------
    prompts : PromptSet
    grouping : Grouping
        For the classes of the set.
    fingerprint, model : str
        Of the encoder.
    facts : dict, optional
        Plain values to keep beside it.
    """
    learned = prompts.learned or LearnedPrompts(fingerprint, model)
    if learned.fingerprint != fingerprint:
        raise InputError("What was learned belongs to another model: choose that model, or tune again.")
    tensors: dict[str, npt.NDArray[Any]] = {}
    heads = {"joint": grouping.joint, **{f"alone{j}": h for j, h in enumerate(grouping.alone)}}
    for name, head in heads.items():
        for value, row in _rows(head).items():
            tensors[f"{GROUPED}/{name}/{value}"] = row
    prompters = grouping.prompters
    if prompters is not None:
        for name, values in prompters.state_dict().items():
            tensors[f"{_PROMPTER}{name}"] = values.detach().cpu().numpy()
    kept = {
        **(facts or {}),
        "architecture": ARCHITECTURE,
        "names": [n.name for n in grouping.notes],
        "kinds": [n.kind for n in grouping.notes],
        "settings": None if prompters is None else prompters.settings.as_dict() | {"stages": list(prompters.stages)},
        "widths": None if prompters is None else list(prompters.widths),
        "n_classes": None if prompters is None else prompters.n_classes,
        "prior_weights": {name: head.prior_weight for name, head in heads.items()},
    }
    before = without_heads(learned, (GROUPED,))
    stored = replace(before, tensors={**before.tensors, **tensors}, facts={**before.facts, GROUPED: kept})
    return replace(prompts, learned=stored)


def without_grouping(prompts: PromptSet) -> PromptSet:
    """The set as it was before; itself where there was none."""
    if prompts.learned is None or GROUPED not in prompts.learned.facts:
        return prompts
    return replace(prompts, learned=without_heads(prompts.learned, (GROUPED,)))


@lru_cache(maxsize=8)
def _read(learned: LearnedPrompts, classes: tuple[int, ...]) -> Grouping:
    facts = learned.facts[GROUPED]
    if not isinstance(facts, dict) or facts.get("architecture") != ARCHITECTURE:
        raise InputError("What was tuned for several modalities does not fit this release: tune the modalities again.")
    values = (BACKGROUND, *classes)
    try:
        notes = tuple(ModalityNote(n, k) for n, k in zip(facts["names"], facts["kinds"], strict=True))
        n = len(notes)
        joint = _head(learned, "joint", values, n, float(facts["prior_weights"]["joint"]))
        alone = tuple(
            _head(learned, f"alone{j}", values, 1, float(facts["prior_weights"][f"alone{j}"])) for j in range(n)
        )
        return Grouping(notes, _prompters(learned, facts, n), joint, alone)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise InputError("What was tuned for several modalities is damaged in this file: tune them again.") from error


def _prompters(learned: LearnedPrompts, facts: dict[str, Any], n: int) -> Prompters | None:
    if facts["settings"] is None:
        return None
    settings = GroupingSettings.from_dict(facts["settings"])
    assert settings.stages is not None
    widths = dict(zip(settings.stages, facts["widths"], strict=True))
    made = Prompters(widths, torch.zeros(int(facts["n_classes"]), 1), n - 1, settings)
    state = {k.removeprefix(_PROMPTER): torch.from_numpy(np.array(v)) for k, v in learned.tensors.items()}
    made.load_state_dict({k: v for k, v in state.items() if not k.startswith(f"{GROUPED}/") and k in made.state_dict()})
    return made.eval().requires_grad_(False)


def _rows(head: PartedHead) -> dict[int, npt.NDArray[np.float32]]:
    """``(M * d + k + 1,)`` of each class that has weights."""
    rows = {}
    for i, value in enumerate(head.values):
        if head.learned[i]:
            row = torch.cat([head.weights[i], head.bias[i : i + 1]]).float().cpu().numpy()
            rows[value] = row.astype(np.float32)
    return rows


def _head(learned: LearnedPrompts, name: str, values: tuple[int, ...], n_parts: int, prior_weight: float) -> PartedHead:
    rows = {v: learned.tensors[k] for v in values if (k := f"{GROUPED}/{name}/{v}") in learned.tensors}
    width = max((r.size for r in rows.values()), default=1) - 1
    weights, bias = torch.zeros(len(values), width), torch.zeros(len(values))
    for i, value in enumerate(values):
        if value in rows:
            row = torch.from_numpy(np.array(rows[value], dtype=np.float32))
            weights[i], bias[i] = row[:-1], row[-1]
    return PartedHead(values, weights, bias, tuple(v in rows for v in values), prior_weight, n_parts)
