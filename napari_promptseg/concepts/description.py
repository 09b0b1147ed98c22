"""A region to a concept: what is measured, and what the model has to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import numpy.typing as npt

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.concepts.measured import measure_concept
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.scored import guess_kind, pool_region, rank_names
from napari_promptseg.concepts.surroundings import is_grey
from napari_promptseg.concepts.vocabulary import Vocabulary, vocabularies
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.prompt_set import ImageKind

#: Values in the picture's file that settle its kind.
_BY_VALUES: dict[str, ImageKind] = {"ct": "ct", "mr": "mr", "fluorescence": "microscopy"}


def describe_region(
    stack: ImageStack,
    mask: npt.ArrayLike,
    *,
    plane: int = 0,
    modality: int = 0,
    name: str = "",
    plural: str = "",
    image_kind: ImageKind | None = None,
    encoder: Encoder | None = None,
    features: DenseFeatures | None = None,
    words: Mapping[ImageKind, Vocabulary] | None = None,
) -> Concept:
    """Say in words what a region is.

    Parameters
    ----------
    stack : ImageStack
    mask : array-like
        ``(Y, X)`` of the plane: bool, or integers of which every value is a part of its own.
    plane, modality : int
        Which plane of which modality the mask belongs to.
    name, plural : str
        As the user calls it; without a name the candidates are only offered.
    image_kind : ImageKind, optional
        Guessed where not given, and left open where nothing supports a guess.
    encoder : Encoder, optional
        Ranks names and guesses the kind; without it only measured attributes are given.
    features : DenseFeatures, optional
        Of this plane by this encoder, if it was encoded before.
    words : mapping, optional
        Vocabularies by kind; the shipped ones where not given.

    Returns
    -------
    Concept

    Raises
    ------
    InputError
        If the mask does not fit the plane, or marks nothing, fewer than four pixels or everything; if the kind is
        unknown, or the features are of another model.

    Examples
    --------
    >>> concept = describe_region(read_image("frame.png"), mask, name="polyp")  # doctest: +SKIP
    >>> concept.sentence()                                                      # doctest: +SKIP
    'one small round bright polyp, located in the upper left'
    """
    if image_kind is not None and image_kind not in get_args(ImageKind):
        raise InputError(f"There is no image kind {image_kind!r}: choose one of {', '.join(get_args(ImageKind))}.")
    kind = image_kind or _BY_VALUES.get(stack.modalities[modality].kind)
    concept = measure_concept(stack, mask, plane=plane, modality=modality, image_kind=kind or "")
    concept = concept.with_name(name, plural)
    if encoder is None:
        return concept
    if features is None:
        features = encoder.encode_plane(stack.picture(plane, modality=modality))
    elif features.fingerprint != encoder.fingerprint:
        raise InputError("The features come from another model: encode the image with this one first.")
    region = Region.from_mask(mask, stack.plane_shape)
    vectors = pool_region(features, region)
    offered = vocabularies() if words is None else dict(words)
    notices = []
    if kind is None:
        coloured = not is_grey(stack.picture(plane, modality=modality)[::4, ::4])
        guess = guess_kind(encoder, vectors, offered, coloured=coloured)
        if guess is None:
            notices.append(f"The model {encoder.name} cannot tell what kind of picture this is: choose the kind.")
        else:
            kind = guess[0]
            notices.append(f"The kind of picture, {kind}, is a guess of the model's ({guess[1]:.0%}).")
    names = offered[kind].names if kind is not None else tuple(n for v in offered.values() for n in v.names)
    names = tuple(dict.fromkeys(names))
    candidates = rank_names(encoder, vectors, names, image_kind=kind or "natural")
    known = sum(level != "unknown" for level, _ in encoder.familiarity(names)) if candidates else 0
    if 2 * known < len(names):
        of = f"{len(names)} {kind} names" if kind else f"{len(names)} names"
        notices.append(f"The model {encoder.name} knows {known or 'none'} of the {of}: type the name if it is missing.")
    if name and encoder.familiarity([name])[0][0] == "unknown":
        notices.append(
            f"The model {encoder.name} does not know the word {name!r}: rely on the region, not on its name."
        )
    return replace(concept, image_kind=kind or "", candidates=candidates, notices=tuple(notices))
