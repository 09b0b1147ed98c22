"""Everything that the pixels of one class's regions teach, as the tensors of a region concept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.concepts.vocabulary import shipped_vocabularies
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.learning.regions.detail import detail_tensors
from napari_promptseg.learning.regions.distillation import distil
from napari_promptseg.learning.regions.drawn import Pixels
from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.learning.regions.unified import Evidence, fit_unified, region_means
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.multiview import LearnedScores, SlotTower
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.pseudo_text import initial_transform
from napari_promptseg.prompts.region_concepts import INFERENCES, Inference
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.scoring import SuppliesBackground, score
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
    unlabelled: Sequence[DenseFeatures] = (),
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
    unlabelled : sequence of DenseFeatures
        Of further images, for the text-free student.
    """
    encoder = segmenter.encoder
    of_class = next(c for c in prompts.classes if c.value == value)
    known = segmenter.known(prompts)[prompts.names.index(of_class.name)] == "known"
    evidence = evidence_of(encoder, prompts, pixels, known)
    inside, around = region_means(evidence)
    transform = transform_of(encoder, tower).to(inside.device)
    start = transform(inside[None], around[None])[0]
    sentences = (of_class.sentences or (of_class.name,))[:MOST_SENTENCES]
    words = words_vector(encoder, prompts, value).to(evidence.vectors)
    found = fit_unified(tower, sentences, start, evidence, words, settings, going)
    vector = found.gain * found.unit
    if evidence.compensated is not None:
        vector = vector + evidence.compensated
    tensors = {
        "unified": vector.cpu().numpy(),
        "offset": np.array([found.bias], np.float32),
        "tokens": found.tokens.cpu().numpy(),
        "residual": found.residual.cpu().numpy(),
        "gain": np.array([found.gain], np.float32),
    }
    if settings.detail:
        with torch.no_grad():
            margins = evidence.margins(found.unit)
        tensors |= detail_tensors(pixels, evidence, margins)
    if settings.distil:
        student = distil(
            found,
            evidence,
            pixels,
            unlabelled=unlabelled,
            steps=settings.distil_steps,
            seed=settings.seed,
            going=going,
        )
        tensors |= student.tensors()
    return ConceptFit(tensors, INFERENCES if settings.distil else INFERENCES[:2], found.drift)


def evidence_of(encoder: Encoder, prompts: PromptSet, pixels: Pixels, known: bool) -> Evidence:
    """Joint vectors, background logits and weights of the pixels.

    Parameters
    ----------
    encoder : Encoder
    prompts : PromptSet
    pixels : Pixels
    known : bool
        Whether the model knows the class's name.
    """
    vectors = pixels.read([f.semantic for f in pixels.planes])
    scale = prompts.learned.scale if prompts.learned is not None else 1.0
    embedded = embed_prompts(encoder, with_fitting_background(prompts, encoder))
    compensated = None
    if not known and isinstance(encoder, SuppliesBackground) and not len(embedded.background):
        compensated = encoder.background_vectors().to(vectors).sum(dim=0)
    against = torch.zeros(len(pixels), device=vectors.device)
    if compensated is None:
        none = LearnedScores(scale, torch.zeros(1))
        maps = []
        for features in pixels.planes:
            found = score(features, embedded.class_vectors[:1], embedded.background, encoder, "mean", none).background
            maps.append(torch.zeros(*features.semantic.shape[:2], 1) if found is None else found[..., None])
        against = pixels.read([m.to(vectors.device) for m in maps])[:, 0] - encoder.logit_bias
    return Evidence(
        vectors,
        against,
        torch.from_numpy(pixels.labels).to(vectors),
        torch.from_numpy(pixels.weights()).to(vectors),
        float(encoder.logit_scale) * scale,
        known,
        compensated,
    )


def words_margins(segmenter: Segmenter, prompts: PromptSet, value: int, pixels: Pixels) -> torch.Tensor | None:
    """``(n,)`` logits of a class by its words alone, where the model knows its name; None where not."""
    place = [c.value for c in prompts.classes].index(value)
    if segmenter.known(prompts)[place] != "known":
        return None
    evidence = evidence_of(segmenter.encoder, prompts, pixels, known=True)
    return evidence.margins(words_vector(segmenter.encoder, prompts, value).to(evidence.vectors))


def words_vector(encoder: Encoder, prompts: PromptSet, value: int) -> torch.Tensor:
    """``(d,)`` unit vector of a class's name, synonyms and sentences; what was learned of it before is left out."""
    alone = replace(prompts, classes=tuple(c for c in prompts.classes if c.value == value), learned=None)
    return F.normalize(embed_prompts(encoder, alone).class_vectors[0].mean(dim=0), dim=0)


def transform_of(encoder: Encoder, tower: SlotTower) -> torch.nn.Module:
    """The model's text transform; see `initial_transform`."""
    names = sorted({name for vocabulary in shipped_vocabularies().values() for name in vocabulary.names})
    return initial_transform(encoder, tower, names)
