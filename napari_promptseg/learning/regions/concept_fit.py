"""Everything that the pixels of one class's regions teach, as the tensors of a region concept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.concepts.vocabulary import shipped_vocabularies
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.learning.regions.drawn import Pixels
from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.learning.regions.unified import Evidence, fit_unified
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.multiview import LearnedScores, SlotTower
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.pseudo_text import initial_transform
from napari_promptseg.prompts.region_concepts import Inference
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.scoring import score
from napari_promptseg.segmentation.segmenter import Segmenter

#: Sentences read together with the slot, at most: each costs a pass of the text tower in every step.
MOST_SENTENCES = 4


@dataclass(frozen=True, eq=False)
class ConceptFit:
    """What was learned for one class.

    Parameters
    ----------
    tensors : dict of str to numpy.ndarray
        As `region_concepts.with_concept` takes them.
    inferences : tuple of Inference
        That they serve.
    drift : float
    """

    tensors: dict[str, npt.NDArray[Any]]
    inferences: tuple[Inference, ...]
    drift: float


def fit_concept(
    segmenter: Segmenter,
    tower: SlotTower,
    prompts: PromptSet,
    value: int,
    pixels: Pixels,
    settings: RegionSettings,
    going: Callable[[], bool],
) -> ConceptFit:
    """Fit one class to its pixels.

    Parameters
    ----------
    segmenter : Segmenter
    tower : SlotTower
        On the device of the pixels' features.
    prompts : PromptSet
        Without what regions taught before.
    value : int
    pixels : Pixels
    settings : RegionSettings
    going : callable
        Asked before every step; False ends it.
    """
    encoder = segmenter.encoder
    evidence = evidence_of(encoder, prompts, pixels)
    inside, around = region_means(evidence)
    transform = transform_of(encoder, tower).to(inside.device)
    start = transform(inside[None], around[None])[0]
    of_class = next(c for c in prompts.classes if c.value == value)
    sentences = (of_class.sentences or (of_class.name,))[:MOST_SENTENCES]
    found = fit_unified(tower, sentences, start, evidence, settings, going)
    tensors = {
        "unified": (found.gain * found.unit).cpu().numpy(),
        "offset": np.array([found.offset], np.float32),
        "tokens": found.tokens.cpu().numpy(),
    }
    return ConceptFit(tensors, ("words", "pseudo-text"), found.drift)


def evidence_of(encoder: Encoder, prompts: PromptSet, pixels: Pixels) -> Evidence:
    """Joint vectors, background logits and weights of the pixels."""
    scale = prompts.learned.scale if prompts.learned is not None else 1.0
    vectors = pixels.read([f.semantic for f in pixels.planes])
    fitting = with_fitting_background(prompts, encoder)
    embedded = embed_prompts(encoder, fitting)
    against = []
    for features in pixels.planes:
        none = LearnedScores(scale, torch.zeros(1))
        found = score(features, embedded.class_vectors[:1], embedded.background, encoder, "mean", none).background
        against.append(torch.zeros(*features.semantic.shape[:2]) if found is None else found)
    maps = {i: m[..., None].to(vectors.device) for i, m in enumerate(against)}
    return Evidence(
        vectors,
        pixels.read(maps)[:, 0] - encoder.logit_bias,
        torch.from_numpy(pixels.labels).to(vectors),
        torch.from_numpy(pixels.weights()).to(vectors),
        float(encoder.logit_scale) * scale,
    )


def region_means(evidence: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    """``(d,)`` mean joint vectors of the class's pixels and of all others; each plane counts the same."""
    inside, others = evidence.weights * evidence.labels, evidence.weights * (1 - evidence.labels)
    return (inside @ evidence.vectors) / inside.sum(), (others @ evidence.vectors) / others.sum().clamp_min(1e-12)


def transform_of(encoder: Encoder, tower: SlotTower) -> torch.nn.Module:
    """The model's text transform; see `initial_transform`."""
    names = sorted({name for vocabulary in shipped_vocabularies().values() for name in vocabulary.names})
    return initial_transform(encoder, tower, names)
