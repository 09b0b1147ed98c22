"""What is done with drawn regions in the worker; nothing in here touches a layer or a widget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.drawn_concept import DrawnConcept
from napari_promptseg.gui.engine import Engine, ModelChoice
from napari_promptseg.gui.layers import PlaneSource
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.concepts.concept import Concept
    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.learning.regions import DrawnRegion, RegionResult, RegionSettings
    from napari_promptseg.prompts.prompt_set import ImageKind, PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Longest side of a thumbnail in pixels: twice what is shown, for sharp screens.
THUMBNAIL = 160


@dataclass(frozen=True, eq=False)
class Described:
    """What came of describing a region.

    Parameters
    ----------
    concept : Concept
    thumbnail : numpy.ndarray
        ``(y, x, 3)`` uint8.
    model_facts : dict
        Of the model that ranked the names; empty where none did.
    """

    concept: Concept
    thumbnail: npt.NDArray[np.uint8]
    model_facts: dict[str, Any]


def describe(
    engine: Engine,
    model: ModelChoice | None,
    source: PlaneSource,
    mask: npt.NDArray[np.bool_],
    kind: ImageKind | None,
    quality: str,
    progress: Progress,
) -> Described:
    """Words and thumbnail of a region; without a model only what is measured.

    Raises
    ------
    InputError
        If the mask is no region, see `concepts.region.Region.from_mask`.
    """
    from napari_promptseg.concepts.description import describe_region
    from napari_promptseg.concepts.multimodal.crop import crop_region

    stack = source.stack()
    facts: dict[str, Any] = {}
    encoder, features = None, None
    if model is not None:
        facts = engine.load(model, progress)
        features = engine.look(source, quality, progress)
        assert engine.segmenter is not None  # load has raised otherwise
        encoder = engine.segmenter.encoder
    concept = describe_region(stack, mask, image_kind=kind, encoder=encoder, features=features)
    return Described(concept, crop_region(stack, mask, side=THUMBNAIL).pixels, facts)


def guess(
    engine: Engine,
    model: ModelChoice,
    prompts: PromptSet,
    drawn: Sequence[DrawnConcept],
    quality: str,
    progress: Progress,
) -> PromptSet:
    """Prompts with what regions say at once, not judged.

    Raises
    ------
    InputError
        If a class has no region that shows it.
    """
    from napari_promptseg.learning.regions.first_guess import guess_regions

    segmenter, regions = regions_of(engine, model, drawn, quality, progress)
    return guess_regions(segmenter, prompts, regions, progress=progress)


def learn(
    engine: Engine,
    model: ModelChoice,
    prompts: PromptSet,
    drawn: Sequence[DrawnConcept],
    quality: str,
    progress: Progress,
    *,
    settings: RegionSettings | None = None,
) -> RegionResult:
    """Prompts learned from regions.

    What the classes learned from regions before is left out first, so that the verdict compares with their words.

    Raises
    ------
    InputError
        If a class has no region that shows it.
    """
    from napari_promptseg.learning.regions import learn_regions
    from napari_promptseg.prompts.region_concepts import without_region

    segmenter, regions = regions_of(engine, model, drawn, quality, progress)
    for region in regions:
        prompts = without_region(prompts, region.value)
    return learn_regions(segmenter, prompts, regions, settings=settings, progress=progress)


def regions_of(
    engine: Engine, model: ModelChoice, drawn: Sequence[DrawnConcept], quality: str, progress: Progress
) -> tuple[Segmenter, list[DrawnRegion]]:
    """The segmenter, and the cards as learning takes them."""
    from napari_promptseg.learning.regions import DrawnRegion

    engine.load(model, progress)
    planes = features_of(engine, model, [card.source for card in drawn if card.source is not None], quality, progress)
    regions = [
        DrawnRegion(planes[card.source.key], card.mask, card.value, card.positive, card.concept)
        for card in drawn
        if card.source is not None and card.mask is not None and card.value is not None
    ]
    segmenter = engine.segmenter
    assert segmenter is not None  # load has raised otherwise
    return segmenter, regions


def features_of(
    engine: Engine, model: ModelChoice, sources: Sequence[PlaneSource], quality: str, progress: Progress
) -> dict[tuple[Any, ...], DenseFeatures]:
    """Features of planes by their keys; the plane in hand stays the one in hand."""
    found: dict[tuple[Any, ...], DenseFeatures] = {}
    beside = None
    for source in sources:
        if source.key in found:
            continue
        if engine.has_seen(source, quality) or len({s.key for s in sources}) == 1:
            found[source.key] = engine.look(source, quality, progress)
        else:
            progress(0, 0, f"encoding {source.name}")
            beside = beside or engine.another(model, progress)
            found[source.key] = beside.set_image(source.stack(), quality="fine" if quality == "fine" else "fast")
    return found


def warm_up(engine: Engine, progress: Progress) -> None:
    """Do what the first card and the first mask would wait for: embed the names offered, fit the text transform."""
    from napari_promptseg.concepts.preparation import prepare_names
    from napari_promptseg.errors import ModelError
    from napari_promptseg.learning.regions.concept_fit import transform_of
    from napari_promptseg.prompts.multiview import text_tower

    if engine.segmenter is None:
        return
    encoder = engine.segmenter.encoder
    prepare_names(encoder, progress=progress)
    progress(0, 0, "reading names")
    try:
        tower = text_tower(encoder)
    except ModelError:
        return  # said when something is to be learned
    transform_of(encoder, tower)
