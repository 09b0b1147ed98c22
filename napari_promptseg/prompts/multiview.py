"""Multi-view prompts: several learned contexts around one class name, each looking at a different side of it.

After MVP-SEG (Guo et al. 2023, arXiv 2304.06957): one global prompt says whether a class is in the picture, K view
prompts say where, and their maps are summed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.encoders.text import SLOT
from napari_promptseg.errors import InputError, ModelError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import offset_of

#: Words the contexts start from, the global prompt's first; further views begin again with other tokens.
STARTS = ("a photo of a", "there is a", "a close-up of the", "one part of the", "the texture of a", "the outline of a")


@runtime_checkable
class SlotTower(Protocol):
    """A text tower that takes learned tokens (`encoders.text.TextTower`, `encoders.aligned.JointTextTower`)."""

    slot_width: int

    def encode_with_slots(self, texts: Sequence[str], slots: torch.Tensor | None) -> torch.Tensor:
        """``(n, d)`` unit rows, differentiable in `slots`."""
        ...

    def token_vectors(self, word: str) -> torch.Tensor:
        """``(m, slot_width)`` token embeddings of a word."""
        ...


def text_tower(encoder: Encoder) -> SlotTower:
    """The encoder's text tower; `ModelError` if it takes no learned tokens."""
    tower = getattr(encoder, "text_tower", None)
    if not isinstance(tower, SlotTower):
        raise ModelError(
            f"The model {encoder.name!r} takes no learned tokens: correct it live, or choose another model."
        )
    return tower


def initial_context(tower: SlotTower, n_views: int, n_tokens: int, generator: torch.Generator) -> torch.Tensor:
    """Tokens to start from: words of a caption, different for each view.

    Returns
    -------
    torch.Tensor
        ``(1 + n_views, n_tokens, slot_width)``. Captions shorter than `n_tokens` are repeated; a little noise
        keeps repeated ones apart.
    """
    contexts = []
    for i in range(1 + n_views):
        tokens = tower.token_vectors(STARTS[i % len(STARTS)])
        repeated = tokens[torch.arange(n_tokens, device=tokens.device) % len(tokens)].float()
        noise = torch.randn(repeated.shape, generator=generator).to(repeated)
        contexts.append(repeated + 0.02 * repeated.std() * noise)
    return torch.stack(contexts)


def embed_views(tower: SlotTower, names: Sequence[str], context: torch.Tensor) -> torch.Tensor:
    """Every name in every context, in one batch of the text tower; differentiable in the context.

    Parameters
    ----------
    names : sequence of str
        C bare names.
    context : torch.Tensor
        ``(1 + K, m, width)``, or ``(1 + K, C, m, width)`` with tokens of each class's own.

    Returns
    -------
    torch.Tensor
        ``(1 + K, C, d)`` unit rows, the global prompt first.
    """
    m, n = context.shape[-2], len(names)
    if context.ndim == 3:
        context = context[:, None].expand(-1, n, -1, -1)
    texts = [f"{SLOT * m} {name}" for name in names] * len(context)
    vectors = tower.encode_with_slots(texts, context.reshape(-1, m, context.shape[-1]))
    return vectors.view(len(context), n, -1)


def presence(cosines: torch.Tensor, gamma: float | torch.Tensor, tau: float | torch.Tensor) -> torch.Tensor:
    """Whether a class is in the picture, from the map of its global prompt.

    Parameters
    ----------
    cosines : torch.Tensor
        ``(..., h, w)`` products of the features with the global prompt.
    gamma, tau : float
        Sharpness of the attention over pixels, and temperature.

    Returns
    -------
    torch.Tensor
        ``(...)`` in ``(0, 1)``: ``sigmoid(sum_hw(m * softmax_hw(gamma * m)) / tau)``.
    """
    flat = cosines.flatten(-2)
    return torch.sigmoid((flat * torch.softmax(gamma * flat, dim=-1)).sum(dim=-1) / tau)


def presences(
    unit: torch.Tensor, prompts: torch.Tensor, gamma: float | torch.Tensor, tau: float | torch.Tensor
) -> torch.Tensor:
    """Presence of classes in one picture.

    Parameters
    ----------
    unit : torch.Tensor
        ``(h, w, d)`` features of unit length, whatever length the encoder gives them: `gamma` and `tau` are for
        cosines.
    prompts : torch.Tensor
        ``(n, d)`` global prompts of unit length.
    gamma, tau : float
        See `presence`.

    Returns
    -------
    torch.Tensor
        ``(n,)``.
    """
    return presence((unit.flatten(0, 1) @ prompts.T).T.view(len(prompts), *unit.shape[:2]), gamma, tau)


@dataclass(frozen=True, eq=False)
class LearnedScores:
    """How learned prompts change the scoring of one picture.

    Parameters
    ----------
    scale : float
        Multiplies the logit scale for classes and background alike.
    offsets : torch.Tensor
        ``(C,)`` added to the logits of the classes in order: ``log g_c``, so that a softmax over them is the refined
        map ``m_c * g_c`` brought back to 1; 0 for classes without a global prompt. A concept learned from regions has
        an offset of its own.
    """

    scale: float
    offsets: torch.Tensor


def learned_scores(prompts: PromptSet, features: DenseFeatures) -> LearnedScores | None:
    """Scale and presence for one picture; None where nothing was learned.

    Raises
    ------
    InputError
        If the prompts were learned with another model.
    """
    learned = prompts.learned
    if learned is None:
        return None
    if learned.fingerprint != features.fingerprint:
        raise InputError(
            f"These prompts were tuned with the model {learned.model!r} ({learned.fingerprint[:8]}), not with the one "
            f"in use ({features.fingerprint[:8]}): choose that model, or tune again."
        )
    offsets = torch.zeros(len(prompts), device=features.semantic.device)
    shown = [i for i, c in enumerate(prompts.classes) if c.value in learned.global_views]
    if shown:
        unit = functional.normalize(features.semantic.float(), dim=-1)
        rows = np.stack([learned.global_views[prompts.classes[i].value] for i in shown])
        present = presences(unit, torch.tensor(rows, device=unit.device), learned.gamma, learned.tau)
        offsets[shown] = present.clamp_min(1e-4).log()
    for i, c in enumerate(prompts.classes):
        offsets[i] += offset_of(learned, c.value)
    return LearnedScores(learned.scale, offsets)


def apply_learned(prompts: PromptSet, class_vectors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Class vectors ``(m, d)`` with those of tuned classes replaced by one row, the mean over their views."""
    if prompts.learned is None:
        return class_vectors
    replaced = []
    for c, vectors in zip(prompts.classes, class_vectors, strict=True):
        own = prompts.learned.vector(c.value)
        replaced.append(vectors if own is None else torch.tensor(own).to(vectors)[None])
    return replaced


def learned_background(prompts: PromptSet, background: torch.Tensor) -> torch.Tensor:
    """Background vectors ``(b, d)`` with the learned one added, if there is one."""
    own = None if prompts.learned is None else prompts.learned.vector(0)
    return background if own is None else torch.cat([background, torch.tensor(own).to(background)[None]])


def view_maps(prompts: PromptSet, value: int, features: DenseFeatures) -> npt.NDArray[np.float32]:
    """What each view of a class sees.

    Returns
    -------
    numpy.ndarray
        ``(1 + K, h, w)`` cosines on the features' grid, the global prompt first; without it ``(K, h, w)``.

    Raises
    ------
    InputError
        If the class was not tuned.
    """
    learned = prompts.learned
    if learned is None or value not in learned.views:
        name = next((c.name for c in prompts.classes if c.value == value), str(value))
        raise InputError(f"The class {name!r} has no learned views: tune its prompts first.")
    rows = learned.views[value]
    if value in learned.global_views:
        rows = np.concatenate([learned.global_views[value][None], rows])
    vectors = torch.tensor(rows, device=features.semantic.device)
    maps = torch.einsum("hwd,kd->khw", features.semantic.float(), vectors)
    found: npt.NDArray[np.float32] = maps.cpu().numpy()
    return found


def mean_correlation(maps: npt.NDArray[np.float32]) -> float:
    """Mean pairwise Pearson correlation of K maps ``(K, h, w)``; 1 for a single one."""
    flat = torch.from_numpy(np.ascontiguousarray(maps)).flatten(1).double()
    flat = functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)
    if len(flat) < 2:
        return 1.0
    pairs = torch.triu_indices(len(flat), len(flat), offset=1)
    return float((flat @ flat.T)[pairs[0], pairs[1]].mean())
