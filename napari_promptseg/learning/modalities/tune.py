"""Tune modalities: learn, let labels that were held out decide, and keep only what is better."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_promptseg.encoders.device import free_memory, is_out_of_memory
from napari_promptseg.encoders.stages import StagedTower, checked_stages, staged_tower
from napari_promptseg.errors import InputError
from napari_promptseg.learning.held_out_planes import drawn_values, left_out
from napari_promptseg.learning.modalities.heads import fit_head, logits_at, table_of
from napari_promptseg.learning.modalities.samples import ModalitySample, only
from napari_promptseg.learning.modalities.scenes import LabelledScene, prompted_values, read_scene
from napari_promptseg.learning.modalities.settings import ModalitySettings
from napari_promptseg.learning.modalities.training import StepPoint, train_prompters
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.validation import Outcome, Verdict, held_out_dice
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.grouping import GroupingSettings, Prompters
from napari_promptseg.prompts.modality_notes import ModalityNote, modality_notes
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.grouping import Grouping, PartedHead, with_grouping, without_grouping
from napari_promptseg.segmentation.live_heads import without_live
from napari_promptseg.segmentation.segmenter import Segmenter


@dataclass(frozen=True, eq=False, kw_only=True)
class ModalityResult(Outcome):
    """What came of tuning.

    Parameters
    ----------
    without_prompters : float
        Held-out Dice of weights on the frozen features alone.
    prompters_kept : bool
        Whether the prompters are part of what was learned: they must beat that.
    n_trained : int
        Numbers trained: weights, and prompters whether they were kept or not.
    share : float
        The same as a share of all numbers of the model.
    curve : tuple of StepPoint
    seconds_per_step : float
    """

    method = "modalities"

    without_prompters: float
    prompters_kept: bool
    n_trained: int
    share: float
    curve: tuple[StepPoint, ...] = ()
    seconds_per_step: float = 0.0

    def facts(self) -> dict[str, Any]:
        """What was trained, and how it went."""
        return {
            "held_out_dice_without_prompters": self.without_prompters,
            "prompters_kept": self.prompters_kept,
            "trained_numbers": self.n_trained,
            "trained_share": self.share,
            "curve": [[p.step, p.loss] for p in self.curve],
            "seconds_per_step": self.seconds_per_step,
        }


def tune_modalities(
    segmenter: Segmenter,
    samples: Sequence[ModalitySample],
    prompts: PromptSet,
    *,
    settings: ModalitySettings | None = None,
    progress: Progress = silent,
) -> ModalityResult:
    """Learn to read several modalities of a scene together, from a few labelled pixels.

    Parameters
    ----------
    segmenter : Segmenter
        Its picture in hand stays; what was learned earlier for modalities or live is learned anew.
    samples : sequence of ModalitySample
        Labelled pixels: of corrections, of regions, of label images. A sample may lack modalities.
    prompts : PromptSet
        Its ``metadata["modalities"]`` says which modalities there are, and which is first; without, those of the first
        sample that has most.
    settings : ModalitySettings, optional
    progress : callable
        ``(done, total, description)``; `CancelledError` raised in it while prompters are trained keeps the best so far,
        and earlier ends without a result.

    Returns
    -------
    ModalityResult
        Kept only if the mean Dice of held-out labels rose.

    Raises
    ------
    InputError
        If there are too few labels to hold some out, or none of a class.
    ModelError
        If the image tower cannot be run stage by stage.

    Notes
    -----
    Grouping prompt tuning (He, AAAI 2024) with weights on frozen features as its head: those are found in closed form
    and are most of what a few pictures can teach; the prompters inside the tower are trained against them. The verdict
    is of weights and prompters that had not seen the held-out labels; the weights kept come from all labels, the
    prompters stay as they were judged.
    """
    began = time.perf_counter()
    chosen = settings or ModalitySettings()
    plain = without_grouping(without_live(prompts))
    values = (0, *(c.value for c in plain.classes))
    known = [only(s, np.array(values)) for s in samples]
    used = [s for s in known if len(s)]
    if not any((s.pixels.values > 0).any() for s in used):
        raise InputError("There is no labelled pixel of any class to learn from: correct a mask, or draw a region.")
    notes = learned_modalities(plain, used)
    worker = Segmenter(segmenter.encoder, settings=segmenter.settings, cache=segmenter.cache)
    run = _Run(worker, plain, notes, values, chosen, used, progress)
    grouping, verdict, frozen, trained = run.go()
    total = int(worker.encoder.describe().get("parameters") or 0)
    n_trained = grouping.n_weights + run.n_prompters
    share = n_trained / total if total else 0.0
    facts = {"trained_numbers": n_trained, "trained_share": share, "tuning": chosen.as_dict()}
    candidate = with_grouping(
        plain, grouping, fingerprint=worker.encoder.fingerprint, model=worker.encoder.name, facts=facts
    )
    return ModalityResult(
        given=prompts,
        candidate=candidate,
        verdict=verdict,
        cancelled=run.cancelled,
        seconds=time.perf_counter() - began,
        without_prompters=frozen,
        prompters_kept=grouping.prompters is not None,
        n_trained=n_trained,
        share=share,
        curve=trained,
        seconds_per_step=run.seconds_per_step,
    )


def learned_modalities(prompts: PromptSet, samples: Sequence[ModalitySample]) -> tuple[ModalityNote, ...]:
    """The modalities that are learned, the one that prompters change first."""
    noted = modality_notes(prompts.metadata)
    if noted:
        return noted
    fullest = max(samples, key=lambda s: len(s.stack.present)).stack
    return tuple(ModalityNote(m.name, m.shown_kind) for m in fullest.modalities)


class _Run:
    """One tuning."""

    def __init__(
        self,
        segmenter: Segmenter,
        prompts: PromptSet,
        notes: tuple[ModalityNote, ...],
        values: tuple[int, ...],
        settings: ModalitySettings,
        samples: Sequence[ModalitySample],
        progress: Progress,
    ) -> None:
        self.segmenter, self.prompts, self.notes, self.values = segmenter, prompts, notes, values
        self.settings, self.samples, self.progress = settings, samples, progress
        self.tower: StagedTower = staged_tower(segmenter.encoder)
        grouping = settings.grouping
        self.stages = checked_stages(self.tower, None if grouping is None else grouping.stages)
        self.cancelled = False
        self.seconds_per_step = 0.0
        self.n_prompters = 0

    def go(self) -> tuple[Grouping, Verdict, float, tuple[StepPoint, ...]]:
        """Learn from a part, judge, and find the weights anew from all."""
        scenes = self._read()
        teaching, judging, n_strokes = left_out(
            [s.sample.pixels for s in scenes], self.settings.held_out, self.settings.seed
        )
        taught = _parts(scenes, teaching)
        judges = _parts(scenes, judging)
        before = self._dice(judges, [s.prior for s in judges])
        trial = self._weights(taught, None)
        frozen = self._judged(trial, judges)
        prompters, after = None, frozen
        curve: tuple[StepPoint, ...] = ()
        if self.settings.grouping is not None and len(self.notes) > 1 and any(s.is_whole for s in taught):
            prompters, curve = self._train(taught)
            with_prompters = self._judged(self._weights(taught, prompters), judges)
            if with_prompters > frozen or self.settings.always:
                after = with_prompters
            else:
                prompters = None
        return self._weights(scenes, prompters), Verdict(before, after, n_strokes), frozen, curve

    def _read(self) -> list[LabelledScene]:
        scenes = []
        for done, sample in enumerate(self.samples):
            self.progress(done, len(self.samples), f"encoding scene {done + 1} of {len(self.samples)}")
            scenes.append(read_scene(self.segmenter, self.tower, self.prompts, self.notes, sample, self.stages))
        return scenes

    def _train(self, scenes: Sequence[LabelledScene]) -> tuple[Prompters, tuple[StepPoint, ...]]:
        try:
            return self._attempt(scenes, self.settings)
        except RuntimeError as error:
            if not is_out_of_memory(error) or self.settings.checkpointed:
                raise
        # outside the handler, so that the traceback no longer holds what filled the memory
        free_memory()
        return self._attempt(scenes, replace(self.settings, checkpointed=True))

    def _attempt(
        self, scenes: Sequence[LabelledScene], settings: ModalitySettings
    ) -> tuple[Prompters, tuple[StepPoint, ...]]:
        encoder, grouping = self.segmenter.encoder, settings.grouping or GroupingSettings()
        widths = {s: self.tower.widths[s] for s in self.stages}
        made = Prompters(widths, self._words(), len(self.notes) - 1, replace(grouping, stages=self.stages))
        made.to(encoder.device).train()
        trained = train_prompters(encoder, self.tower, made, scenes, self.values, settings, self.progress)
        self.n_prompters = made.n_parameters
        self.cancelled, self.seconds_per_step = trained.cancelled, trained.seconds_per_step
        return made.eval().requires_grad_(False), trained.curve

    def _words(self) -> torch.Tensor:
        """``(C + 1, d)``: what class tokens begin with, background first."""
        encoder = self.segmenter.encoder
        asked = replace(self.prompts, background=("background",), learned=None)
        embedded = embed_prompts(encoder, asked)
        return torch.stack([embedded.background[0], *(v.mean(dim=0) for v in embedded.class_vectors)]).float()

    def _weights(self, scenes: Sequence[LabelledScene], prompters: Prompters | None) -> Grouping:
        """Weights on all modalities together, and on each by itself."""
        whole = [s for s in scenes if s.is_whole]
        n = len(self.notes)
        if whole:
            features = [self._features(s, prompters) for s in whole]
            joint = self._head(whole, features, [s.prior for s in whole], n)
        alone = []
        for j in range(n):
            have = [s for s in scenes if s.alone[j] is not None]
            parts = [a for s in have if (a := s.alone[j]) is not None]
            priors = [p for s in have if (p := s.own_priors[j]) is not None]
            alone.append(self._head(have, parts, priors, 1) if have else None)
        some = next(h for h in alone if h is not None)
        filled = tuple(h if h is not None else _nothing(some, 1) for h in alone)
        return Grouping(self.notes, prompters, joint if whole else _nothing(some, n), filled)

    def _head(
        self,
        scenes: Sequence[LabelledScene],
        features: Sequence[torch.Tensor],
        priors: Sequence[torch.Tensor],
        n_parts: int,
    ) -> PartedHead:
        table = table_of(scenes, features, priors, self.values, self.settings)
        return fit_head(table, n_parts, self.values, self.settings)[0]

    def _features(self, scene: LabelledScene, prompters: Prompters | None) -> torch.Tensor:
        if prompters is None:
            return scene.side_by_side()
        with torch.no_grad():
            hook = prompters.hook(scene.others)
            return scene.side_by_side(prompted_values(self.segmenter.encoder, self.tower, scene, hook))

    def _judged(self, grouping: Grouping, scenes: Sequence[LabelledScene]) -> float:
        """Held-out Dice."""
        logits = []
        for scene in scenes:
            if scene.is_whole:
                x = self._features(scene, grouping.prompters)
                logits.append(logits_at(grouping.joint, x, scene.prior.to(x)))
            else:
                there = [(h, a) for h, a in zip(grouping.alone, scene.alone, strict=True) if a is not None]
                logits.append(torch.stack([logits_at(h, a, scene.prior.to(a)) for h, a in there]).mean(dim=0))
        return self._dice(scenes, logits)

    def _dice(self, scenes: Sequence[LabelledScene], logits: Sequence[torch.Tensor]) -> float:
        pixels = [s.sample.pixels for s in scenes]
        return held_out_dice(pixels, np.concatenate([drawn_values(each.cpu(), self.prompts) for each in logits]))


def _parts(scenes: Sequence[LabelledScene], parts: Sequence[TuningSample]) -> list[LabelledScene]:
    """The scenes with the pixels of the parts that were made of their samples, those without any left out."""
    found = []
    for scene in scenes:
        own = scene.sample.pixels
        # strokes are held out whole, each class by itself
        keys = {
            (int(s), int(v))
            for part in parts
            if part.features is own.features
            for s, v in zip(part.strokes, part.values, strict=True)
        }
        keep = np.array([(int(s), int(v)) in keys for s, v in zip(own.strokes, own.values, strict=True)], dtype=bool)
        if keep.any():
            found.append(scene.subset(keep))
    return found


def _nothing(like: PartedHead, n_parts: int) -> PartedHead:
    """A head without weights for any class."""
    n, width = like.weights.shape
    return PartedHead(like.values, torch.zeros(n, width), torch.zeros(n), (False,) * n, 1.0, n_parts)
