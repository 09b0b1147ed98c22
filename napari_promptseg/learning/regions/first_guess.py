"""What drawn regions say at once, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from napari_promptseg.learning.regions.concept_fit import fit_concept
from napari_promptseg.learning.regions.drawn import DrawnRegion, draw_pixels, marks_of, without_lookalikes
from napari_promptseg.learning.regions.learn import with_sentences
from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.multiview import text_tower
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import with_concept, without_region
from napari_promptseg.segmentation.segmenter import Segmenter


def guess_regions(
    segmenter: Segmenter, prompts: PromptSet, regions: Sequence[DrawnRegion], *, progress: Progress = silent
) -> PromptSet:
    """Pseudo-text as the transform gives it, for a mask to look at while `learn_regions` is at work.

    Nothing is held out, so nobody has judged it.

    Parameters
    ----------
    segmenter : Segmenter
    prompts : PromptSet
        Holds the classes of all regions.
    regions : sequence of DrawnRegion
        At least one positive for each class.
    progress : callable
        Called before each class; raising `CancelledError` in it ends the work with nothing.

    Raises
    ------
    InputError
        If a class has no region that shows it.
    ModelError
        If the model takes no learned tokens.
    """
    encoder = segmenter.encoder
    tower, device = text_tower(encoder), torch.device(encoder.device)
    planes = {id(r.features): r.features.to(device) for r in regions}
    regions = [replace(r, features=planes[id(r.features)]) for r in regions]
    values = tuple(dict.fromkeys(r.value for r in regions))
    settings = RegionSettings(steps=0, distil_steps=0)
    plain = prompts
    for value in values:
        plain = without_region(plain, value)
    made = plain = with_sentences(plain, regions)
    for done, value in enumerate(values):
        progress(done, len(values), "looking at the regions")
        drawn = draw_pixels(
            marks_of(regions, value), inside=settings.inside, outside=settings.outside, seed=settings.seed
        )
        pixels = without_lookalikes(drawn, settings.lookalikes)
        fit = fit_concept(segmenter, tower, plain, value, pixels, settings, lambda: True)
        made = with_concept(made, encoder.fingerprint, encoder.name, value, fit.tensors, "pseudo-text")
    return made
