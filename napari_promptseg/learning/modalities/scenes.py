"""A labelled plane as training needs it: how far the frozen tower goes by itself, and what is frozen at its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.encoders.stages import Begun, StagedFeatures, StagedTower, StageHook
from napari_promptseg.learning.held_out_planes import at_pixels
from napari_promptseg.learning.learned_classes import cell_values
from napari_promptseg.learning.modalities.samples import ModalitySample
from napari_promptseg.prompts.modality_notes import ModalityNote
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fusion import counted
from napari_promptseg.segmentation.grouped import beside, members
from napari_promptseg.segmentation.segmenter import Segmenter

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """One sample, read through the frozen tower.

    Parameters
    ----------
    sample : ModalitySample
    first : Begun or None
        The first modality, up to the first stage with prompters; None where modalities are missing.
    others : tuple of Begun
        Tokens of the auxiliary modalities.
    parts : tuple of torch.Tensor
        ``(n, d)`` per modality at the labelled pixels, as they are side by side; empty where some are missing.
    alone : tuple of torch.Tensor or None
        The same of each modality by itself, None for missing ones.
    prior : torch.Tensor
        ``(n, C + 1)`` log-probabilities of the words, fused.
    """

    sample: ModalitySample
    first: Begun | None
    others: tuple[Begun, ...]
    parts: tuple[torch.Tensor, ...]
    alone: tuple[torch.Tensor | None, ...]
    prior: torch.Tensor

    @property
    def is_whole(self) -> bool:
        """Whether all modalities are there."""
        return self.first is not None

    def subset(self, keep: npt.NDArray[np.bool_]) -> LabelledScene:
        """Only some of its pixels."""
        index = torch.from_numpy(np.flatnonzero(keep)).to(self.prior.device)
        return replace(
            self,
            sample=self.sample.with_pixels(self.sample.pixels.subset(keep)),
            parts=tuple(p[index] for p in self.parts),
            alone=tuple(None if a is None else a[index] for a in self.alone),
            prior=self.prior[index],
        )


def read_scene(
    segmenter: Segmenter,
    tower: StagedTower,
    prompts: PromptSet,
    notes: Sequence[ModalityNote],
    sample: ModalitySample,
    stages: Sequence[int],
) -> LabelledScene:
    """Encode a sample's modalities and keep what stays the same while prompters are trained.

    Parameters
    ----------
    segmenter : Segmenter
        Its picture in hand is replaced.
    tower : StagedTower
        Of its encoder.
    prompts : PromptSet
        Whose scores are the prior.
    notes : sequence of ModalityNote
    sample : ModalitySample
    stages : sequence of int
        After which prompters sit; the first is as far as the tower goes by itself.
    """
    segmenter.set_image(sample.stack, plane=sample.plane, modalities="all", quality="fast")
    scene = segmenter.scene
    assert scene is not None
    there = members(counted(scene, prompts), notes)
    prior = at_pixels(segmenter.coarse_probabilities(prompts).clamp_min(1e-4).log(), sample.pixels).to(
        segmenter.encoder.device
    )
    rows, columns = sample.pixels.rows, sample.pixels.columns
    alone = tuple(None if m is None else cell_values(m.scene.features, rows, columns) for m in there)
    if any(m is None for m in there):
        return LabelledScene(sample, None, (), (), alone, prior)
    views = [m.scene.view for m in there if m is not None]
    pictures = [v.squared(v.picture()) for v in views]
    shown = [beside(p, pictures[0], n, notes[0]) for p, n in zip(pictures[1:], notes[1:], strict=True)]
    first = tower.begin(pictures[0], stages[0], stages[:1])
    others = [tower.begin(p, stages[-1], stages) for p in shown]
    parts = tuple(_values(segmenter.encoder, tower, begun, sample) for begun in (first, *others))
    # of the others only the tokens are needed from here on
    slim = tuple(Begun(b.stage, b.tokens, b.grids) for b in others)
    return LabelledScene(sample, first, slim, parts, alone, prior)


def _values(encoder: Encoder, tower: StagedTower, begun: Begun, sample: ModalitySample) -> torch.Tensor:
    with torch.no_grad():
        pixels = sample.pixels
        return values_of(encoder, tower.finish(begun), pixels.features.image_shape, pixels.rows, pixels.columns)


def values_of(
    encoder: Encoder, found: StagedFeatures, shape: tuple[int, int], rows: Ints, columns: Ints
) -> torch.Tensor:
    """``(n, d)`` at pixels, differentiable, as `segmentation.grouping.PartedHead` weighs them."""
    features = DenseFeatures(found.semantic, found.detail, found.semantic[0, 0], shape, encoder.fingerprint)
    return cell_values(features, rows, columns)


def prompted_values(
    encoder: Encoder,
    tower: StagedTower,
    scene: LabelledScene,
    hook: StageHook,
    which: Ints | None = None,
    *,
    checkpointed: bool = False,
) -> torch.Tensor:
    """The first modality's values at labelled pixels, or at some of them, with what prompters add."""
    if scene.first is None:
        raise ValueError("a scene without all modalities has no prompted features")
    pixels = scene.sample.pixels
    rows, columns = (pixels.rows, pixels.columns) if which is None else (pixels.rows[which], pixels.columns[which])
    found = tower.finish(scene.first, hook, checkpointed=checkpointed)
    return values_of(encoder, found, pixels.features.image_shape, rows, columns)
