"""Names by the image-text model: the region's own pixels against words, and against the pixels around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from napari_promptseg.concepts.concept import Candidate
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.vocabulary import Vocabulary
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.prompt_set import ClassPrompt, ImageKind, PromptSet
from napari_promptseg.segmentation.scoring import SuppliesBackground

#: What sets the region apart from its ring counts by this much beside what it shows.
CONTRAST = 1.0
#: Divides the logits of a region, which is a mean over many cells and so surer than one cell. With 0.5 the first name
#: has a mean share of .63 on 68 regions of street scenes that the embedded model never saw, and is right for .63.
TEMPERATURE = 0.5
#: Least share for a guess of the kind of picture.
SURE_KIND = 0.75
#: Kinds that have colours of their own; the others are grey, but for microscopy, which is both.
_COLOURED: frozenset[ImageKind] = frozenset({"natural", "endoscopy", "dermoscopy", "histology", "aerial"})
#: Names offered at most.
MOST = 5


@dataclass(frozen=True, eq=False)
class RegionVectors:
    """Means of dense features over a region and the ring around it.

    Parameters
    ----------
    inside : torch.Tensor
        ``(d,)`` float32; each cell weighs as many pixels of the region as it holds.
    ring : torch.Tensor or None
        ``(d,)``; None where the region leaves nothing around it.
    """

    inside: torch.Tensor
    ring: torch.Tensor | None


def pool_region(features: DenseFeatures, region: Region) -> RegionVectors:
    """Average dense features over a region's exact pixels, and over the ring of cells around it.

    Raises
    ------
    InputError
        If the features are of a plane of another size.
    """
    if tuple(features.image_shape) != region.plane_shape:
        raise InputError(
            f"The features are of a plane of {tuple(features.image_shape)} and the region of one of "
            f"{region.plane_shape}: encode this image first."
        )
    height, width, length = features.semantic.shape
    share = torch.from_numpy(_cell_counts(region, (height, width))).to(features.semantic.device)
    near = max(
        1,
        round(0.3 * region.diameter * (height * width) ** 0.5 / (region.plane_shape[0] * region.plane_shape[1]) ** 0.5),
    )
    wide = F.max_pool2d((share > 0).float()[None, None], 2 * near + 1, stride=1, padding=near)[0, 0]
    around = (wide > 0) & (share == 0)
    cells = features.semantic.reshape(-1, length)
    inside = share.flatten() > 0
    weights = share.flatten()[inside]
    mean = (weights @ cells[inside].float()) / weights.sum()
    ring = cells[around.flatten()].float().mean(dim=0) if bool(around.any()) else None
    return RegionVectors(mean, ring)


def rank_names(
    encoder: Encoder,
    vectors: RegionVectors,
    names: Sequence[str],
    *,
    image_kind: ImageKind = "natural",
    most: int = MOST,
) -> tuple[Candidate, ...]:
    """Rank names for a region, best first.

    Parameters
    ----------
    encoder : Encoder
        That made the features.
    vectors : RegionVectors
    names : sequence of str
        Those that the model does not know at all (`Encoder.familiarity`) are left out: their scores mean nothing.
    image_kind : ImageKind
        Of the sentences that the names are put into.
    most : int

    Returns
    -------
    tuple of Candidate
        Empty where the model knows none of the names; related ones are offered beside known ones only. Confidences
        are shares among the names and "none of them".

    Notes
    -----
    The score of a name is the cosine with the region's mean vector plus `CONTRAST` times its lead over the ring.
    Masked average pooling is the one of few-shot segmentation (Zhang et al., SG-One, 2020).
    """
    levels = [level for level, _ in encoder.familiarity(names)]
    offered = [(n, level) for n, level in zip(names, levels, strict=True) if level != "unknown"]
    if "known" not in levels:
        return ()
    shares = _shares(encoder, vectors, [n for n, _ in offered], image_kind)
    order = np.argsort(-shares, kind="stable")[:most]
    return tuple(Candidate(offered[i][0], float(shares[i]), offered[i][1]) for i in order.tolist())


def guess_kind(
    encoder: Encoder,
    vectors: RegionVectors,
    words: Mapping[ImageKind, Vocabulary],
    *,
    coloured: bool,
    sure: float = SURE_KIND,
) -> tuple[ImageKind, float] | None:
    """Guess the kind of picture from what the region seems to be; None where no kind is likely enough.

    Names that the model knows, of all vocabularies together, share out one certainty; a name of several kinds is
    divided among them. Kinds of which the model knows no name cannot be guessed.

    Parameters
    ----------
    encoder : Encoder
    vectors : RegionVectors
    words : mapping of ImageKind to Vocabulary
    coloured : bool
        Whether the picture has colours, which settles which kinds are possible.
    sure : float
        Least share, in ``[0, 1]``.
    """
    kinds_of: dict[str, list[ImageKind]] = {}
    for kind, vocabulary in words.items():
        if kind == "microscopy" or (kind in _COLOURED) == coloured:
            for name in vocabulary.names:
                kinds_of.setdefault(name, []).append(kind)
    names = list(kinds_of)
    known = [n for n, (level, _) in zip(names, encoder.familiarity(names), strict=True) if level == "known"]
    if not known:
        return None
    shares = _shares(encoder, vectors, known, "natural")
    total: dict[ImageKind, float] = {}
    for name, share in zip(known, shares.tolist(), strict=True):
        for kind in kinds_of[name]:
            total[kind] = total.get(kind, 0.0) + share / len(kinds_of[name])
    best = max(total, key=lambda kind: total[kind])
    return (best, total[best]) if total[best] >= sure else None


def _shares(
    encoder: Encoder, vectors: RegionVectors, names: Sequence[str], image_kind: ImageKind
) -> npt.NDArray[np.float64]:
    """``(n,)``: softmax over the names and, where the model brings one, "none of them"."""
    prompts = PromptSet(tuple(ClassPrompt(n, i) for i, n in enumerate(names, 1)), (), image_kind)
    rows = torch.cat(embed_prompts(encoder, prompts).class_vectors)
    if isinstance(encoder, SuppliesBackground):
        rows = torch.cat([rows, encoder.background_vectors().to(rows)])
    scores = rows @ vectors.inside.to(rows)
    if vectors.ring is not None:
        scores = scores + CONTRAST * (scores - rows @ vectors.ring.to(rows))
    logits = encoder.logit_scale * scores / TEMPERATURE
    shares: npt.NDArray[np.float64] = torch.softmax(logits.double(), dim=0)[: len(names)].cpu().numpy()
    return shares


def _cell_counts(region: Region, grid: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Pixels of the region in each cell of a grid over the plane: ``(h, w)``."""
    rows, columns = region.labels.shape
    at_rows = ((np.arange(rows) + region.corner[0] + 0.5) * grid[0] / region.plane_shape[0]).astype(np.intp)
    at_columns = ((np.arange(columns) + region.corner[1] + 0.5) * grid[1] / region.plane_shape[1]).astype(np.intp)
    # sums over runs of rows, then of columns: every cell is one run
    tall, row_starts = np.unique(at_rows, return_index=True)
    wide, column_starts = np.unique(at_columns, return_index=True)
    sums = np.add.reduceat(region.mask.astype(np.float32), row_starts, axis=0)
    sums = np.add.reduceat(sums, column_starts, axis=1)
    counts = np.zeros(grid, np.float32)
    counts[np.ix_(tall, wide)] = sums
    return counts
