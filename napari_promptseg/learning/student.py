"""A student of tuned prompts: MVP-SEG+ on frozen features, kept only if it beats the prompts on held-out labels.

The prompts label planes that nobody annotated; a light decoder learns from what they are sure of and from the true
labels, with the prompts as its fixed classifier; then it learns once more from its own labels (Guo et al. 2023,
arXiv 2304.06957).
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
from napari_promptseg.learning.held_out_planes import drawn_values, left_out
from napari_promptseg.learning.student_data import Piece, pseudo_pieces, true_pieces
from napari_promptseg.learning.student_training import (
    Classifier,
    confident,
    logits_of,
    new_decoder,
    own_labels,
    plain_logits,
    train,
)
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.validation import Outcome, Verdict, held_out_dice
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.decoder import ARCHITECTURE, Decoder
from napari_promptseg.segmentation.learned_heads import STUDENT, student_tensors, without_heads
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
    steps: int = 150
    own_steps: int = 100
    rate: float = 2e-3
    confidence: float = 0.9
    pseudo_weight: float = 1.0
    pixels: int = 600
    batch: int = 6
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
    """What came of it: the verdict compares the prompts alone with the student in the end.

    Parameters
    ----------
    first : float
        Held-out Dice after the first stage.
    n_unlabelled : int
        Planes that the prompts labelled.
    parameters : int
        Of the decoder.
    """

    method = "student"

    first: float
    n_unlabelled: int
    parameters: int

    @property
    def sentence(self) -> str:
        """``student of 20 images: held-out Dice 0.71 → 0.83 from 14 strokes, kept``."""
        plural = "image" if self.n_unlabelled == 1 else "images"
        return f"student of {self.n_unlabelled} {plural}: {self.verdict.sentence}"

    def facts(self) -> dict[str, Any]:
        """What the first stage reached, and the sizes."""
        return {
            "held_out_dice_first_stage": self.first,
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
        Tuned ones, as a rule; they stay as they are.
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
        otherwise a part of the labelled areas. The state judged is that of the last step, never one chosen.

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
    # neither an earlier student nor live weights are its teacher
    plain = replace(prompts, learned=prompts.learned and without_heads(prompts.learned))
    device = torch.device(segmenter.encoder.device)
    classifier = Classifier(segmenter.encoder, plain)
    true = [piece for pieces in true_pieces(teaching, plain) for piece in pieces]
    rng = np.random.default_rng(chosen.seed)
    pseudo: list[Piece] = []
    n_unlabelled = 0
    for stack, plane in unlabelled:
        progress(n_unlabelled, 0, f"labelling image {n_unlabelled + 1} by the prompts")
        features = segmenter.set_image(stack, plane=plane)
        pseudo += pseudo_pieces(features, segmenter.segment(plain), plain, pixels=chosen.pixels, rng=rng)
        n_unlabelled += 1
    decoder = new_decoder([*true, *pseudo], chosen.width, chosen.seed).to(device)
    judge = _Judge(classifier, judging, plain, device)
    run = _Run(decoder, classifier, true, chosen, progress)
    shown = {int(v): sum(int((s.values == v).sum()) for s in teaching) for s in teaching for v in np.unique(s.values)}
    # prompts that cannot draw a class call all of it background
    names = zip(plain.classes, segmenter.known(plain), strict=True)
    blind = any(known == "unknown" and c.value in shown for c, known in names)
    run.stage([] if blind else confident(pseudo, chosen.confidence), chosen.steps, 0)
    first = judge.score(decoder)
    if chosen.own_steps and not run.cancelled:
        own = confident(own_labels(decoder, classifier, pseudo), chosen.confidence)
        run.stage(own, chosen.own_steps, chosen.steps)
    candidate = _with_student(plain, decoder, shown, segmenter, chosen)
    verdict = Verdict(judge.score(None), judge.score(decoder), n_strokes)
    return StudentResult(
        given=prompts,
        candidate=candidate,
        verdict=verdict,
        first=first,
        n_unlabelled=n_unlabelled,
        parameters=sum(p.numel() for p in decoder.parameters()),
        cancelled=run.cancelled,
        seconds=time.perf_counter() - began,
    )


class _Run:
    """The stages of one training, told as one."""

    def __init__(
        self,
        decoder: Decoder,
        classifier: Classifier,
        true: list[Piece],
        options: StudentOptions,
        progress: Progress,
    ) -> None:
        self.decoder, self.classifier, self.true, self.options = decoder, classifier, true, options
        self.progress = progress
        self.cancelled = False

    def stage(self, pseudo: list[Piece], steps: int, done: int) -> None:
        """Train on true labels and others'; `done` steps were taken before."""
        options = self.options
        total = options.steps + options.own_steps

        def tell(step: int, loss: float) -> None:
            self.progress(done + step, total, f"loss {loss:.2f}")

        try:
            train(
                self.decoder,
                self.classifier,
                self.true,
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


class _Judge:
    """Dice of the labels that held-out pixels would get."""

    def __init__(
        self, classifier: Classifier, samples: Sequence[TuningSample], prompts: PromptSet, device: torch.device
    ) -> None:
        self._classifier, self._samples, self._device = classifier, samples, device
        self._pieces = true_pieces(samples, prompts)
        self._prompts = prompts

    def score(self, decoder: Decoder | None) -> float:
        """With a decoder, or by the prompts alone."""
        predicted = []
        for sample, pieces in zip(self._samples, self._pieces, strict=True):
            own = np.zeros(len(sample.values), np.int64)
            for piece in pieces:
                own[piece.index] = drawn_values(self._logits(decoder, piece), self._prompts)
            predicted.append(own)
        return held_out_dice(self._samples, np.concatenate(predicted))

    @torch.no_grad()
    def _logits(self, decoder: Decoder | None, piece: Piece) -> torch.Tensor:
        if decoder is None:
            return plain_logits(self._classifier, [piece], self._device)
        return logits_of(decoder, self._classifier, [piece])


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
