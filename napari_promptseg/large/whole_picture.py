"""What learned prompts say of a picture as a whole, found once and used for all its blocks.

Whether a tuned class is in the picture at all (`prompts.multiview.presence`), and the vector that a text-free concept
gets from the picture's own embedding, must not change from block to block: the borders would show. Both are measured
on tiles spread over the picture, seen at the size at which blocks are, and become constants of the prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.large.blocks import Block
from napari_promptseg.large.pictures import Picture, block_stack
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.multiview import learned_scores
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import inference_of, key
from napari_promptseg.prompts.text_free import image_vectors
from napari_promptseg.segmentation.tiling import Layout

if TYPE_CHECKING:
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Tiles looked at along rows, and along columns; and planes of a volume.
_SPREAD = 5


def depends_on_whole(prompts: PromptSet) -> bool:
    """Whether scores with these prompts depend on more than what is around a pixel."""
    learned = prompts.learned
    if learned is None:
        return False
    return any(
        c.value in learned.global_views or inference_of(prompts, c.value) == "text-free" for c in prompts.classes
    )


def settled(prompts: PromptSet, features: DenseFeatures) -> PromptSet:
    """The prompts with what depends on a whole picture replaced by what it is for one.

    Parameters
    ----------
    prompts : PromptSet
    features : DenseFeatures
        Of the whole picture, or of a sample of it.

    Returns
    -------
    PromptSet
        Gives the same scores for these features, and for others those of a picture of which these are a sample.
    """
    learned = prompts.learned
    if learned is None:
        return prompts
    scores = learned_scores(prompts, features)
    offsets = np.zeros(len(prompts)) if scores is None else scores.offsets.cpu().numpy()
    tensors, views = dict(learned.tensors), dict(learned.views)
    for c, offset, vector in zip(prompts.classes, offsets, _vectors(prompts, learned, features), strict=True):
        if c.value in views:
            tensors[key("offset", c.value)] = np.array([offset], np.float32)
        if vector is not None:
            views[c.value] = vector.cpu().numpy().astype(np.float32)
            tensors[key("gain", c.value)] = np.zeros(1, np.float32)
    without = {k: v for k, v in learned.global_views.items() if k not in learned.views}
    return replace(prompts, learned=replace(learned, tensors=tensors, views=views, global_views=without))


def _vectors(prompts: PromptSet, learned: LearnedPrompts, features: DenseFeatures) -> list[torch.Tensor | None]:
    """``(1, d)`` for text-free concepts, None for other classes."""
    own = [learned.vector(c.value) for c in prompts.classes]
    free = [
        inference_of(prompts, c.value) == "text-free" and v is not None
        for c, v in zip(prompts.classes, own, strict=True)
    ]
    rows = [torch.zeros(1, 1) if v is None else torch.tensor(v)[None] for v in own]
    made = image_vectors(prompts, rows, features)
    return [m if is_free else None for m, is_free in zip(made, free, strict=True)]


def sample(segmenter: Segmenter, stack: ImageStack, picture: Picture) -> DenseFeatures:
    """Features of tiles spread over a picture, one under the other.

    Parameters
    ----------
    segmenter : Segmenter
        Its settings take a tile whole.
    stack, picture
        As of `block_stack`.
    """
    found = []
    for block in _tiles(picture):
        found.append(segmenter.set_image(block_stack(stack, picture, block)))
    semantic = torch.cat([f.semantic.float() for f in found])
    pooled = torch.stack([f.pooled.float() for f in found]).mean(dim=0)
    height, width = found[0].image_shape
    return DenseFeatures(semantic, semantic, pooled, (height * len(found), width), found[0].fingerprint)


def _tiles(picture: Picture) -> Iterator[Block]:
    plan = picture.plan
    layout = Layout((plan.grid[-2], plan.grid[-1]), plan.tile, plan.overlap)
    rows, columns = (_spread(layout.starts(axis)) for axis in (0, 1))
    height, width = layout.tile_shape
    for plane in _spread(list(range(plan.counts[0]))):
        for top in rows:
            for left in columns:
                at = slice(top, top + height), slice(left, left + width)
                yield Block(plane, *at, *at)


def _spread(places: list[int]) -> list[int]:
    chosen = np.unique(np.linspace(0, len(places) - 1, _SPREAD).round().astype(int))
    return [places[i] for i in chosen]
