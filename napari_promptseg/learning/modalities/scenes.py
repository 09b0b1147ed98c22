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
from napari_promptseg.learning.learned_classes import cell_values, on_cells
from napari_promptseg.learning.modalities.samples import ModalitySample
from napari_promptseg.prompts.modality_notes import ModalityNote
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fusion import Counted, counted
from napari_promptseg.segmentation.grouped import beside, measured_of, members
from napari_promptseg.segmentation.scene import Scene
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
    values : torch.Tensor
        ``(n, k)`` what was measured there of all modalities; empty where some are missing.
    alone : tuple of torch.Tensor or None
        ``(n, d + k)`` features and measured values of each modality by itself, None for missing ones.
    prior : torch.Tensor
        ``(n, C + 1)`` log-probabilities of the words, fused.
    own_priors : tuple of torch.Tensor or None
        The same of each modality by itself.
    """

    sample: ModalitySample
    first: Begun | None
    others: tuple[Begun, ...]
    parts: tuple[torch.Tensor, ...]
    values: torch.Tensor
    alone: tuple[torch.Tensor | None, ...]
    prior: torch.Tensor
    own_priors: tuple[torch.Tensor | None, ...]

    @property
    def is_whole(self) -> bool:
        """Whether all modalities are there."""
        return self.first is not None

    def side_by_side(self, first: torch.Tensor | None = None, which: torch.Tensor | None = None) -> torch.Tensor:
        """``(n, M * d + k)`` at the labelled pixels or some of them, as `PartedHead` weighs them.

        Parameters
        ----------
        first : torch.Tensor, optional
            Features of the first modality at those pixels in place of the frozen ones.
        which : torch.Tensor, optional
            Indices of pixels.
        """
        frozen = [*self.parts, self.values] if first is None else [*self.parts[1:], self.values]
        chosen = frozen if which is None else [p[which] for p in frozen]
        return torch.cat(chosen if first is None else [first, *chosen], dim=1)

    def subset(self, keep: npt.NDArray[np.bool_]) -> LabelledScene:
        """Only some of its pixels."""
        index = torch.from_numpy(np.flatnonzero(keep)).to(self.prior.device)
        return replace(
            self,
            sample=self.sample.with_pixels(self.sample.pixels.subset(keep)),
            parts=tuple(p[index] for p in self.parts),
            values=self.values[index] if self.is_whole else self.values,
            alone=tuple(None if a is None else a[index] for a in self.alone),
            prior=self.prior[index],
            own_priors=tuple(None if p is None else p[index] for p in self.own_priors),
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
    words = [segmenter.coarse_probabilities(prompts, scene=s) for s in (scene, *(m.scene.alone for m in there if m))]
    priors = iter(at_pixels(w.clamp_min(1e-4).log(), sample.pixels) for w in words)
    prior = next(priors)
    own_priors = tuple(None if m is None else next(priors) for m in there)
    rows, columns = sample.pixels.rows, sample.pixels.columns
    alone = tuple(
        None
        if m is None
        else torch.cat(
            [cell_values(m.scene.features, rows, columns), _measured_at(segmenter, m.scene, [m], [note], sample)], dim=1
        )
        for m, note in zip(there, notes, strict=True)
    )
    whole = [m for m in there if m is not None]
    if len(whole) < len(there):
        return LabelledScene(sample, None, (), (), torch.zeros(0), alone, prior, own_priors)
    views = [m.scene.view for m in whole]
    pictures = [v.squared(v.picture()) for v in views]
    shown = [beside(p, pictures[0], n, notes[0]) for p, n in zip(pictures[1:], notes[1:], strict=True)]
    first = tower.begin(pictures[0], stages[0], stages[:1])
    others = [tower.begin(p, stages[-1], stages) for p in shown]
    parts = tuple(_values(segmenter.encoder, tower, begun, sample) for begun in (first, *others))
    # of the others only the tokens are needed from here on
    slim = tuple(Begun(b.stage, b.tokens, b.grids) for b in others)
    values = _measured_at(segmenter, scene, whole, notes, sample)
    return LabelledScene(sample, first, slim, parts, values, alone, prior, own_priors)


def _measured_at(
    segmenter: Segmenter,
    scene: Scene,
    there: Sequence[Counted],
    notes: Sequence[ModalityNote],
    sample: ModalitySample,
) -> torch.Tensor:
    maps = measured_of(there, notes, scene.features, segmenter.settings)
    return on_cells(maps, sample.pixels.features.image_shape, sample.pixels.rows, sample.pixels.columns)


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
