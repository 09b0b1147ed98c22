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
    from napari_promptseg.learning.regions import RegionResult
    from napari_promptseg.prompts.prompt_set import ImageKind, PromptSet

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


def learn(
    engine: Engine,
    model: ModelChoice,
    prompts: PromptSet,
    drawn: Sequence[DrawnConcept],
    quality: str,
    progress: Progress,
    *,
    steps: int | None = None,
) -> RegionResult:
    """Prompts learned from regions, in so many steps; 0 gives what can be had at once.

    What the classes learned from regions before is left out first, so that the verdict compares with their words.

    Raises
    ------
    InputError
        If a class has no region that shows it.
    """
    from napari_promptseg.learning.regions import DrawnRegion, RegionSettings, learn_regions
    from napari_promptseg.prompts.region_concepts import without_region

    engine.load(model, progress)
    planes = features_of(engine, model, [card.source for card in drawn if card.source is not None], quality, progress)
    regions = []
    for card in drawn:
        if card.source is not None and card.mask is not None and card.value is not None:
            prompts = without_region(prompts, card.value)
            features = planes[card.source.key]
            regions.append(DrawnRegion(features, card.mask, card.value, card.positive, card.concept))
    segmenter = engine.segmenter
    assert segmenter is not None  # load has raised otherwise
    settings = RegionSettings() if steps is None else RegionSettings(steps=steps, distil_steps=steps)
    return learn_regions(segmenter, prompts, regions, settings=settings, progress=progress)


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


def warm_up(engine: Engine) -> None:
    """Embed the names that are offered, so that the first card need not wait for them."""
    from napari_promptseg.concepts.vocabulary import vocabularies
    from napari_promptseg.prompts.embedding import embed_prompts
    from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet

    segmenter = engine.segmenter
    if segmenter is None:
        return
    encoder = segmenter.encoder
    names = list(dict.fromkeys(name for v in vocabularies().values() for name in v.names))
    known = [n for n, (level, _) in zip(names, encoder.familiarity(names), strict=True) if level != "unknown"]
    embed_prompts(encoder, PromptSet(tuple(ClassPrompt(n, i) for i, n in enumerate(known, 1)), ()))
