"""Labelled images as if someone had drawn their masks: regions to learn concepts from, and what is noted of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.concepts.measured import measure_concept
from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.labelled_planes import labelled_planes
from napari_promptseg.evaluation.packs import DataPack, LabelledImage
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.learning.regions import DrawnRegion, Inference, RegionSettings, learn_regions
from napari_promptseg.learning.teaching import Taught
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import notes_of, region_note, with_notes
from napari_promptseg.segmentation.segmenter import Segmenter

#: What one region is: all pixels of a class in an image, or each connected part of them.
RegionParts = Literal["whole", "parts"]

_ONE_REGION = (
    "With one region its own parts judge, which says little about other images: look at some masks, or mark more "
    "images."
)

Mask = npt.NDArray[np.bool_]

#: Parts of one class and image at most, the largest first.
MOST_PARTS = 8
#: Smaller parts are specks that show nothing.
FEWEST_PIXELS = 16


def regions_from_labels(
    segmenter: Segmenter,
    pack: DataPack,
    pairs: Sequence[LabelledImage],
    prompts: PromptSet,
    *,
    parts: RegionParts = "whole",
    kind: ModalityKind = "auto",
    progress: Progress = silent,
) -> list[DrawnRegion]:
    """Encode labelled images and take their masks as drawn regions, with what can be measured of each in words.

    Parameters
    ----------
    segmenter : Segmenter
        Its last picture is replaced.
    pack : DataPack
    pairs : sequence of LabelledImage
        Of the pack. Of a stack, the plane with most labelled pixels is taken.
    prompts : PromptSet
        Its classes have the ids of the masks as values, and name the regions.
    parts : {"whole", "parts"}
        All pixels of a class in an image are one region, or each connected part is; of parts the largest
        `MOST_PARTS` of at least `FEWEST_PIXELS` pixels are taken.
    kind : ModalityKind
        What the images' values show.
    progress : Progress
        Called before each image.

    Raises
    ------
    InputError
        If an image or mask cannot be used, a class fills an image, or nothing is marked in any.
    """
    regions: list[DrawnRegion] = []
    for shown in labelled_planes(pack, pairs, kind=kind, progress=progress):
        marked = [(c.value, m) for c in prompts.classes for m in masks_of(shown.labels == c.value, parts)]
        if not marked:
            continue
        features = segmenter.set_image(shown.stack, plane=shown.plane)
        for value, region in marked:
            try:
                concept = _concept(shown.stack, shown.plane, region, prompts, value)
                regions.append(DrawnRegion(features, region, value, True, concept))
            except InputError as error:
                raise InputError(f"{shown.name}: {error}") from error
    progress(len(pairs), len(pairs), "encoded")
    if not regions:
        raise InputError(
            f"None of the images has a marked region of {FEWEST_PIXELS} pixels: mark the classes in some of them."
        )
    return regions


def masks_of(marked: Mask, parts: RegionParts = "whole") -> Iterator[Mask]:
    """The regions that a mask stands for, see `regions_from_labels`."""
    from scipy import ndimage

    if parts == "whole":
        if np.count_nonzero(marked) >= FEWEST_PIXELS:
            yield marked
        return
    labels, _ = ndimage.label(marked, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    for i in np.argsort(-areas, kind="stable")[:MOST_PARTS].tolist():
        if areas[i] >= FEWEST_PIXELS:
            yield labels == i + 1


def teach_regions(
    segmenter: Segmenter,
    prompts: PromptSet,
    regions: Sequence[DrawnRegion],
    *,
    settings: RegionSettings | None = None,
    inference: Inference | None = None,
    progress: Progress = silent,
) -> Taught:
    """Learn concepts from regions as the other ways learn from labels (`learning.teaching.teach`).

    What is kept carries the regions' sentences, and what was said of each as a note.
    """
    found = learn_regions(segmenter, prompts, regions, settings=settings, inference=inference, progress=progress)
    few = (_ONE_REGION,) if found.held_out == "parts" else ()
    kept = _noted(found.prompts, regions) if found.kept else found.prompts
    return Taught(kept, found.kept, found.sentence, found.report(), found.cancelled, (*found.notices, *few))


def _noted(prompts: PromptSet, regions: Sequence[DrawnRegion]) -> PromptSet:
    new = [region_note(r.value, r.concept.as_dict(), positive=r.positive) for r in regions if r.concept is not None]
    return replace(prompts, metadata=with_notes(prompts.metadata, [*notes_of(prompts.metadata), *new]))


def _concept(stack: ImageStack, plane: int, region: Mask, prompts: PromptSet, value: int) -> Concept:
    name = next(c.name for c in prompts.classes if c.value == value)
    return measure_concept(stack, region, plane=plane, image_kind=prompts.image_kind).with_name(name)
