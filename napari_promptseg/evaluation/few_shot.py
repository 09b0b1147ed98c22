"""A few labelled images of a pack as samples to tune prompts on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.labelled_planes import labelled_planes
from napari_promptseg.evaluation.packs import IGNORED, DataPack, LabelledImage
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.learning.modalities.samples import ModalitySample
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

_NOTHING = "None of the images has an annotated pixel: label some, or say --zero-is background."


def draw(pack: DataPack, shots: int | None, seed: int = 0) -> list[LabelledImage]:
    """So many images of a pack, drawn by chance and in order; all of them where it has no more or none is asked."""
    if shots is None or shots >= len(pack):
        return list(pack)
    if shots < 1:
        raise InputError(f"Tuning needs at least one image, not {shots}.")
    chosen = np.random.default_rng(seed).choice(len(pack), shots, replace=False)
    return [pack.pairs[i] for i in sorted(chosen)]


def encode_shots(
    segmenter: Segmenter,
    pack: DataPack,
    pairs: Sequence[LabelledImage],
    *,
    zero_is_background: bool,
    kind: ModalityKind = "auto",
    prompts: PromptSet | None = None,
    unseen: Collection[int] = (),
    per_stroke: int = 30,
    seed: int = 0,
    progress: Progress = silent,
) -> list[TuningSample]:
    """Encode labelled images and draw pixels from their labels.

    Parameters
    ----------
    segmenter : Segmenter
        Its last picture is replaced.
    pack : DataPack
    pairs : sequence of LabelledImage
        Of the pack. Of a stack, the plane with most labelled pixels is taken.
    zero_is_background : bool
        Whether the pixels of id 0 show background; otherwise they are not annotated, as those of 255.
    kind : ModalityKind
        What the images' values show.
    prompts : PromptSet, optional
        Of a pack with further modalities: their features are taken side by side, in the order of its notes, for what
        learns on all of them; without it those of the images alone.
    unseen : collection of int
        Ids whose pixels count as not annotated.
    per_stroke : int
        See `TuningSample.from_labels`.
    seed : int
        Of the pixels drawn.
    progress : Progress
        Called before each image.

    Returns
    -------
    list of TuningSample
        Images without any annotation are left out.

    Raises
    ------
    InputError
        If an image or mask cannot be used, or none is annotated.
    """
    samples = []
    hidden = [*unseen] if zero_is_background else [0, *unseen]
    for shown in labelled_planes(pack, pairs, hidden=hidden, kind=kind, progress=progress):
        features = segmenter.set_image(shown.stack, plane=shown.plane, modalities=None if prompts is None else "all")
        if prompts is not None:
            features = segmenter.joint_features(prompts) or features
        drawn = TuningSample.from_labels(
            features, shown.labels, per_stroke=per_stroke, complete=shown.is_complete, seed=seed + shown.number
        )
        samples.append(drawn)
    progress(len(pairs), len(pairs), "encoded")
    if not samples:
        raise InputError(_NOTHING)
    return samples


def modality_shots(
    pack: DataPack,
    pairs: Sequence[LabelledImage],
    *,
    zero_is_background: bool,
    kind: ModalityKind = "auto",
    per_stroke: int = 30,
    seed: int = 0,
    progress: Progress = silent,
) -> list[ModalitySample]:
    """Labelled images of a pack with all their modalities, for `learning.modalities.tune_modalities`.

    Parameters are those of `encode_shots`; nothing is encoded here.

    Raises
    ------
    InputError
        If an image, a mask or a file of a modality cannot be used, or none is annotated.
    """
    samples = []
    hidden = () if zero_is_background else (0,)
    for shown in labelled_planes(pack, pairs, hidden=hidden, kind=kind, progress=progress):
        drawn = ModalitySample.from_labels(
            shown.stack,
            shown.labels,
            plane=shown.plane,
            complete=shown.is_complete,
            per_stroke=per_stroke,
            seed=seed + shown.number,
        )
        samples.append(drawn)
    progress(len(pairs), len(pairs), "read")
    if not samples:
        raise InputError(_NOTHING)
    return samples


def unlabelled_planes(
    pack: DataPack,
    pairs: Sequence[LabelledImage],
    images: Sequence[Path],
    *,
    zero_is_background: bool,
    kind: ModalityKind = "auto",
) -> Iterator[tuple[ImageStack, int]]:
    """Planes that nobody annotated: all of some images, and those of labelled stacks whose masks are empty there.

    Parameters
    ----------
    pack : DataPack
    pairs : sequence of LabelledImage
        Labelled images of the pack.
    images : sequence of pathlib.Path
        Images without labels; each is read when its turn comes.
    zero_is_background : bool
        As in `encode_shots`.
    kind : ModalityKind

    Yields
    ------
    ImageStack, int
        An image and a plane of it.

    Raises
    ------
    InputError
        If an image cannot be read.
    """
    for pair in pairs:
        stack, mask = pack.load(pair, kind=kind)
        if mask.ndim < 3:
            continue
        known = mask != IGNORED if zero_is_background else (mask != IGNORED) & (mask != 0)
        for plane in np.flatnonzero(~known.reshape(len(mask), -1).any(axis=1)).tolist():
            yield stack, plane
    for path in images:
        stack = read_image(path, kind=kind)
        for plane in range(stack.n_planes):
            yield stack, plane
