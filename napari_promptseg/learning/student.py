"""A student of tuned prompts: MVP-SEG+ on frozen features, kept only if it beats its teacher on held-out labels.

The best that was taught so far labels planes that nobody annotated: the prompts, with live weights on top where there
are images enough to learn them from. A light decoder learns from what this teacher is sure of and from the true labels,
with the prompts as its fixed classifier; then it learns once more from its own labels (Guo et al. 2023, arXiv
2304.06957).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.held_out_planes import ENOUGH_PLANES, dice_of, left_out
from napari_promptseg.learning.live_across import AcrossSettings, fit_live
from napari_promptseg.learning.student_data import Piece, pseudo_pieces, true_pieces
from napari_promptseg.learning.student_training import (
    Classifier,
    confident,
    new_decoder,
    own_labels,
    train,
)
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.validation import Outcome, Verdict
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.decoder import ARCHITECTURE, Decoder
from napari_promptseg.segmentation.learned_heads import STUDENT, student_tensors, without_heads
from napari_promptseg.segmentation.live_heads import live_heads, with_live_head
from napari_promptseg.segmentation.segmenter import Segmenter


@dataclass(frozen=True)
class StudentOptions:
    """How a student learns.

    Parameters
    ----------
    width : int
        Channels of the decoder.
    steps, own_steps : int
        Optimiser steps on the prompts' labels, then on its own; 0 leaves a stage out.
    rate : float
        Highest learning rate of AdamW.
    confidence : float
        Probability that a label must have to be learned from; see `student_training.confident`.
    pseudo_weight : float
        Weight of labels that are not true ones.
    pixels : int
        Drawn from each plane without labels.
    batch : int
        Planes of each kind in a step.
    held_out : float
        Share of the labels that judges.
    seed : int

    Raises
    ------
    InputError
        For a number out of range.
    """

    width: int = 64
    steps: int = 90
    own_steps: int = 60
    rate: float = 2e-3
    confidence: float = 0.7
    pseudo_weight: float = 1.0
    pixels: int = 600
    batch: int = 4
    held_out: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("width", 4, 512),
            ("steps", 1, 100_000),
            ("own_steps", 0, 100_000),
            ("rate", 1e-8, 1),
            ("confidence", 0, 1),
            ("pseudo_weight", 0, 100),
            ("pixels", 1, 100_000),
            ("batch", 1, 1000),
            ("held_out", 0, 0.9),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"The student's option {name} is {value}; it must be from {low} to {high}.")


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentResult(Outcome):
    """What came of it: the verdict compares the student after its first stage with the best there was before.

    That is the prompts as they were given or its teacher; `given` is which of them held-out labels preferred. The
    second stage learns from the held-out labels too.

    Parameters
    ----------
    teacher : PromptSet
        Who labelled the planes: the prompts, or these with live weights on top.
    n_unlabelled : int
        Planes that the teacher labelled.
    parameters : int
        Of the decoder.
    """

    method = "student"

    teacher: PromptSet
    n_unlabelled: int
    parameters: int

    @property
    def teacher_kept(self) -> bool:
        """Whether live weights that the teacher had are the best there was before."""
        return self.given is self.teacher and bool(live_heads(self.teacher))

    @property
    def sentence(self) -> str:
        """``student of 20 images: held-out Dice 0.71 → 0.83 from 14 strokes, kept``."""
        plural = "image" if self.n_unlabelled == 1 else "images"
        instead = ", but the live weights that taught it are" if self.teacher_kept and not self.kept else ""
        return f"student of {self.n_unlabelled} {plural}: {self.verdict.sentence}{instead}"

    def facts(self) -> dict[str, Any]:
        """The teacher, and the sizes."""
        return {
            "teacher": "live" if live_heads(self.teacher) else "prompts",
            "teacher_kept": self.teacher_kept,
            "unlabelled": self.n_unlabelled,
            "parameters": self.parameters,
        }


def train_student(
    segmenter: Segmenter,
    prompts: PromptSet,
    samples: Sequence[TuningSample],
    unlabelled: Iterable[tuple[ImageStack, int]] = (),
    *,
    options: StudentOptions | None = None,
    progress: Progress = silent,
) -> StudentResult:
    """Train a student of some prompts.

    Parameters
    ----------
    segmenter : Segmenter
        Labels the planes; its last picture is replaced.
    prompts : PromptSet
        Tuned ones, as a rule; they stay as they are. Where they were tuned on the very samples that judge, the verdict
        favours them: see `teach`.
    samples : sequence of TuningSample
        Labelled pixels of some planes, encoded with the segmenter's model.
    unlabelled : iterable of (ImageStack, int)
        Planes without labels; each is read once, when its turn comes.
    options : StudentOptions, optional
    progress : callable
        Called as ``(done, total, description)``; raising `CancelledError` while training ends it with what was
        learned, and before that ends everything.

    Returns
    -------
    StudentResult
        Kept only if Dice on held-out labels rose. Which labels: a part of the planes where there are several,
        otherwise a part of the labelled areas. The state judged is that of the last step of the first stage, never one
        chosen.

    Raises
    ------
    InputError
        If there are too few labels to hold some out, or features come from another model.
    """
    began = time.perf_counter()
    chosen = options or StudentOptions()
    known = {0, *(c.value for c in prompts.classes)}
    used = [s.subset(np.isin(s.values, list(known))) for s in samples]
    teaching, judging, n_strokes = left_out([s for s in used if len(s.values)], chosen.held_out, chosen.seed)
    # neither an earlier student nor earlier live weights are its teacher
    plain = replace(prompts, learned=prompts.learned and without_heads(prompts.learned))
    teacher = best_teacher(segmenter, plain, teaching, chosen.seed)
    device = torch.device(segmenter.encoder.device)
    classifier = Classifier(segmenter.encoder, plain)
    rng = np.random.default_rng(chosen.seed)
    pseudo: list[Piece] = []
    n_unlabelled = 0
    for stack, plane in unlabelled:
        progress(n_unlabelled, 0, f"labelling image {n_unlabelled + 1} by its teacher")
        features = segmenter.set_image(stack, plane=plane)
        pseudo += pseudo_pieces(features, segmenter.segment(teacher), plain, pixels=chosen.pixels, rng=rng)
        n_unlabelled += 1
    true = _joined(true_pieces(teaching, plain))
    decoder = new_decoder([*true, *pseudo], chosen.width, chosen.seed).to(device)
    run = _Run(decoder, classifier, chosen, progress)
    shown = {int(v): sum(int((s.values == v).sum()) for s in used) for s in used for v in np.unique(s.values)}
    # a teacher that cannot draw a class calls all of it background
    names = zip(plain.classes, segmenter.known(teacher), strict=True)
    blind = any(known == "unknown" and c.value in shown for c, known in names)
    run.stage(true, [] if blind else confident(pseudo, chosen.confidence), chosen.steps, 0)
    given, before = prompts, dice_of(segmenter, plain, judging)
    if teacher is not plain and (taught := dice_of(segmenter, teacher, judging)) > before:
        given, before = teacher, taught
    first = dice_of(segmenter, _with_student(plain, decoder, shown, segmenter, chosen), judging)
    if chosen.own_steps and not run.cancelled:
        own = confident(own_labels(decoder, classifier, pseudo), chosen.confidence)
        run.stage(_joined(true_pieces(used, plain)), own, chosen.own_steps, chosen.steps)
    return StudentResult(
        given=given,
        candidate=_with_student(plain, decoder, shown, segmenter, chosen),
        verdict=Verdict(before, first, n_strokes),
        teacher=teacher,
        n_unlabelled=n_unlabelled,
        parameters=sum(p.numel() for p in decoder.parameters()),
        cancelled=run.cancelled,
        seconds=time.perf_counter() - began,
    )


def best_teacher(segmenter: Segmenter, prompts: PromptSet, samples: Sequence[TuningSample], seed: int) -> PromptSet:
    """Who labels images for a student: prompts with live weights on top, learned from all samples.

    With fewer than `ENOUGH_PLANES` samples the prompts themselves: live weights then follow what is peculiar to the
    pictures at hand, the sizes of the classes above all.
    """
    if len(samples) < ENOUGH_PLANES:
        return prompts
    head = fit_live(segmenter, prompts, samples, AcrossSettings(seed=seed))
    return with_live_head(prompts, head, segmenter.encoder.name)


class _Run:
    """The stages of one training, told as one."""

    def __init__(self, decoder: Decoder, classifier: Classifier, options: StudentOptions, progress: Progress) -> None:
        self.decoder, self.classifier, self.options, self.progress = decoder, classifier, options, progress
        self.cancelled = False

    def stage(self, true: list[Piece], pseudo: list[Piece], steps: int, done: int) -> None:
        """Train on true labels and others'; `done` steps were taken before."""
        options = self.options
        total = options.steps + options.own_steps

        def tell(step: int, loss: float) -> None:
            self.progress(done + step, total, f"loss {loss:.2f}")

        try:
            train(
                self.decoder,
                self.classifier,
                true,
                pseudo,
                steps=steps,
                rate=options.rate,
                pseudo_weight=options.pseudo_weight,
                batch=options.batch,
                seed=options.seed + done,
                progress=tell,
            )
        except CancelledError:
            self.cancelled = True


def _joined(pieces: Sequence[Sequence[Piece]]) -> list[Piece]:
    return [piece for of_sample in pieces for piece in of_sample]


def _with_student(
    prompts: PromptSet, decoder: Decoder, shown: dict[int, int], segmenter: Segmenter, options: StudentOptions
) -> PromptSet:
    encoder = segmenter.encoder
    learned = prompts.learned or LearnedPrompts(encoder.fingerprint, encoder.name)
    facts = {"architecture": ARCHITECTURE, "width": decoder.width, "shrink": decoder.shrink, "options": asdict(options)}
    added = replace(
        learned,
        tensors={**learned.tensors, **student_tensors(decoder, shown)},
        facts={**learned.facts, STUDENT: facts},
    )
    return replace(prompts, learned=added)
