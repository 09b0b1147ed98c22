"""Late fusion: each modality is scored by itself, and the scores are brought together cell by cell.

Without training, nothing tells a model that two pictures show one scene. What it says of each can be weighed, though:
by how far the user trusts a modality, and by how sure its map is at that place. The fused log-odds of a class against
background are the weighted mean of the modalities' own, a logarithmic opinion pool (Genest & Zidek 1986), so that a
threshold keeps its meaning and one modality alone stays exactly what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_promptseg.encoders.features import Deferred, DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.modality_notes import ModalityNote, matched, modality_notes, usual_weights
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.sampling import on_grid
from napari_promptseg.segmentation.scene import Scene
from napari_promptseg.segmentation.scoring import ScoreMaps

#: A map that is not sure at all still counts this much. Words are often sure and wrong on pictures unlike those they
#: were learned on: between 0 and 1 they lost more than they gained on RGB + thermal and RGB + NIR (docs/modalities.md).
LEAST_CONFIDENCE = 0.5

#: Longer side, in pixels, of the part of a picture that its detail is measured on.
_DETAIL_SIDE = 512


@dataclass(frozen=True, eq=False)
class Counted:
    """A modality that takes part in a segmentation.

    Parameters
    ----------
    scene : Scene
        Of this modality alone.
    weight : float
        Above 0.
    note : int or None
        Which of the prompt set's notes speaks of it.
    """

    scene: Scene
    weight: float
    note: int | None = None


def counted(scene: Scene, prompts: PromptSet) -> tuple[Counted, ...]:
    """The modalities of a scene that count for these prompts, in the scene's order.

    Parameters
    ----------
    scene : Scene
    prompts : PromptSet
        Its ``metadata["modalities"]`` gives the weights; a modality that no note speaks of has its usual one.

    Returns
    -------
    tuple of Counted
        At least one; of a scene of one modality that one, whatever its weight. Where all that have a weight above 0
        are absent, those that are there count alike.

    Raises
    ------
    InputError
        If the weights of all modalities are 0.
    """
    notes = modality_notes(prompts.metadata)
    scenes = scene.modalities
    found = matched([s.shows for s in scenes], notes)
    if len(scenes) == 1:
        return (Counted(scene, 1.0, found[0]),)
    usual = usual_weights([s.shows.shown_kind for s in scenes])
    weights = [usual[i] if j is None else notes[j].weight for i, j in enumerate(found)]
    if not any(weights):
        if not any(n.weight for n in notes):
            raise InputError("The weights of all modalities are 0: raise one of them.")
        weights = [1.0] * len(weights)
    return tuple(Counted(s, w, j) for s, w, j in zip(scenes, weights, found, strict=True) if w > 0)


def guide_of(parts: Sequence[Counted]) -> Scene:
    """The modality whose edges masks follow: a colour picture before grey ones, then the one with most detail.

    It does not depend on the order of the modalities.
    """
    if len(parts) == 1:
        return parts[0].scene
    return max((p.scene for p in parts), key=lambda s: (s.shows.shown_kind == "rgb", _detail(s), s.shows.name))


def confidence(chances: torch.Tensor) -> torch.Tensor:
    """How sure a map is at each cell.

    Parameters
    ----------
    chances : torch.Tensor
        ``(C + 1, h, w)`` calibrated probabilities, background first.

    Returns
    -------
    torch.Tensor
        ``(h, w)`` from `LEAST_CONFIDENCE` where all classes are equally likely to 1 where one is certain, linear in
        the entropy.
    """
    share = chances / chances.sum(dim=0, keepdim=True).clamp_min(1e-12)
    entropy = -(share * share.clamp_min(1e-12).log()).sum(dim=0)
    sure = (1 - entropy / math.log(chances.shape[0])).clamp(0, 1)
    return LEAST_CONFIDENCE + (1 - LEAST_CONFIDENCE) * sure


def fused(
    chances: Sequence[torch.Tensor],
    weights: Sequence[float],
    names: Sequence[str],
    *,
    trusted: Sequence[torch.Tensor] | None = None,
    sigmoid: bool = False,
) -> ScoreMaps:
    """Bring the maps of several modalities together.

    Parameters
    ----------
    chances : sequence of torch.Tensor
        Per modality ``(C + 1, h, w)`` calibrated probabilities, background first, before unknown names are capped.
    weights : sequence of float
        Per modality, above 0.
    names : sequence of str
        Of the modalities: they are summed in this order, so that the order given changes no bit.
    trusted : sequence of torch.Tensor, optional
        As `chances`, after capping, for the confidence: a name that the model does not know makes no map sure.
    sigmoid : bool
        Classes are independent (SigLIP) instead of sharing one softmax.

    Returns
    -------
    ScoreMaps
        Log-odds of each class against background, background itself 0, on the finest grid among the maps.

    Notes
    -----
    ``m_c = sum_i a_i m_ic / sum_i a_i`` with ``m_ic = log(p_ic / p_i0)`` (for a sigmoid ``logit(p_ic)``) and
    ``a_i = weight_i * confidence_i``, cell by cell.
    """
    grid = max(((int(c.shape[-2]), int(c.shape[-1])) for c in chances), key=math.prod)
    trusted = chances if trusted is None else trusted
    total = shares = None
    for i in sorted(range(len(chances)), key=lambda i: (names[i], weights[i])):
        values = chances[i].double().clamp(1e-30, 1)
        odds = torch.logit(values[1:], eps=1e-12) if sigmoid else values[1:].log() - values[:1].log()
        share = float(weights[i]) * confidence(trusted[i].double())
        odds, share = on_grid(odds, grid), on_grid(share[None], grid)
        total = share * odds if total is None else total + share * odds
        shares = share if shares is None else shares + share
    if total is None or shares is None:
        raise InputError("There is no modality to segment: tick at least one.")
    classes = (total / shares).float()
    return ScoreMaps(classes, torch.zeros_like(classes[0]))


class JointFeatures(DenseFeatures):
    """Features of several modalities side by side, for what is learned from labels on all of them.

    Parameters
    ----------
    scenes : sequence of Scene or None
        One per modality in the order of the prompt set's notes, of one encoder and one plane; None for one that is
        absent, for which zeros stand. Zero is the mean of every channel, so that it speaks for no class.

    Attributes
    ----------
    scene : Scene
        The modalities that are there, without their pictures, to be scored one by one and fused.

    Notes
    -----
    `semantic` is ``(h, w, M * d)`` and fits no text; `Segmenter.probabilities_of` scores `scene` instead.
    """

    def __init__(self, scenes: Sequence[Scene | None]) -> None:
        there = [replace(s, picture=None, beside=()) for s in scenes if s is not None]
        if not there:
            raise InputError("There is no modality to learn from: tick at least one.")
        parts = [None if s is None else s.features for s in scenes]
        first = there[0].features
        self.scene = replace(there[0], beside=tuple(there[1:]))
        n_bytes = len(parts) * max(s.features.n_bytes for s in there)
        detail = Deferred(lambda: _side_by_side([None if p is None else p.detail for p in parts]), n_bytes)
        semantic = _side_by_side([None if p is None else p.semantic for p in parts], centred=True)
        super().__init__(semantic, detail, first.pooled, first.image_shape, first.fingerprint)


def joint_features(parts: Sequence[Counted], prompts: PromptSet) -> DenseFeatures:
    """What live learning learns on: the features of the one modality that counts, or of all side by side.

    Parameters
    ----------
    parts : sequence of Counted
    prompts : PromptSet
        Its notes give the order of the blocks, and the places of those that are absent: where two and more count, what
        is learned on this picture fits pictures that have them all.

    Returns
    -------
    DenseFeatures
    """
    if len(parts) == 1 and sum(n.weight > 0 for n in modality_notes(prompts.metadata)) < 2:
        return parts[0].scene.features
    return JointFeatures(_blocks(parts, prompts))


def fitting(width: int, parts: Sequence[Counted], prompts: PromptSet) -> DenseFeatures:
    """The features that live weights of this width were learned on: those of one modality, or of all side by side.

    Raises
    ------
    InputError
        If they were learned on another number of modalities.
    """
    first = parts[0].scene.features
    own = int(first.detail.shape[-1]) + int(first.semantic.shape[-1])
    if width in (0, own):
        return first
    blocks = _blocks(parts, prompts)
    if width != own * len(blocks):
        raise InputError(
            f"What the strokes taught needs {width / own:g} modalities and {len(parts)} are there: "
            "add the others, or correct again."
        )
    return JointFeatures(blocks)


def _blocks(parts: Sequence[Counted], prompts: PromptSet) -> list[Scene | None]:
    """Scenes in the order of the notes, None where one is absent; after them those that no note speaks of."""
    by_note = {p.note: p.scene for p in parts if p.note is not None}
    named = [by_note.get(j) for j in range(len(modality_notes(prompts.metadata)))]
    return [*named, *(p.scene for p in parts if p.note is None)]


def described(stack: ImageStack, parts: Sequence[Counted], notes: Sequence[ModalityNote]) -> list[dict[str, object]]:
    """Plain values for provenance: every modality of the stack, its kind, its weight, and whether it was there."""
    used = {p.scene.view.modality: p.weight for p in parts}
    found = matched(stack.modalities, notes)
    out: list[dict[str, object]] = []
    for i, (m, j) in enumerate(zip(stack.modalities, found, strict=True)):
        kind = m.shown_kind if j is None or m.kind != "auto" else notes[j].kind
        out.append({"name": m.name, "kind": kind, "weight": used.get(i, 0.0), "present": not m.is_absent})
    return out


def _side_by_side(blocks: Sequence[torch.Tensor | None], *, centred: bool = False) -> torch.Tensor:
    """Join ``(h, w, d)`` blocks along the last axis, zeros for None; `centred` takes each channel's mean away."""
    there = [b for b in blocks if b is not None]
    if len({b.shape for b in there}) > 1:
        raise InputError("The modalities were encoded on different grids: encode the picture again.")
    if centred:
        blocks = [None if b is None else b.float() - b.float().mean(dim=(0, 1), keepdim=True) for b in blocks]
    nothing = torch.zeros_like(there[0], dtype=torch.float32 if centred else there[0].dtype)
    return torch.cat([nothing if b is None else b for b in blocks], dim=-1)


def _detail(scene: Scene) -> float:
    """Mean step between neighbouring pixels of the middle of the picture, each pixel the mean of four."""
    height, width = scene.view.shape
    top, left = (max(0, n - _DETAIL_SIDE) // 2 for n in (height, width))
    rows, columns = slice(top, top + _DETAIL_SIDE), slice(left, left + _DETAIL_SIDE)
    part = scene.view.picture(rows, columns) if scene.picture is None else scene.picture[rows, columns]
    grey = part.astype(np.float32).mean(axis=-1)
    half = grey[: len(grey) // 2 * 2, : grey.shape[1] // 2 * 2]
    if half.size:
        grey = half.reshape(half.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    return float(sum(np.abs(np.diff(grey, axis=a)).mean() if grey.shape[a] > 1 else 0.0 for a in (0, 1)))
