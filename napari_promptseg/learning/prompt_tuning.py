"""Learn prompts from a user's strokes through the frozen text tower, and keep them only if held-out strokes agree.

MVP-SEG (Guo et al. 2023, arXiv 2304.06957) with an anchor to the hand-written prompts (KgCoOp, PromptSRC), so that
classes nobody corrected survive. Only the learned tokens and two temperatures are trained. Features are read only at
labelled pixels, so a step costs one batch of the text tower and little else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from napari_promptseg.encoders.device import free_memory, is_out_of_memory
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_model import TuningModel
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.learning.tuning_problem import TuningProblem
from napari_promptseg.learning.validation import Outcome, Verdict, hold_out
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.multiview import SlotTower, text_tower
from napari_promptseg.prompts.prompt_set import PromptSet


@dataclass(frozen=True)
class CurvePoint:
    """One point of the loss and score curve.

    Parameters
    ----------
    step : int
    loss : float
        On the strokes learned from.
    score : float
        Mean Dice on the held-out strokes.
    """

    step: int
    loss: float
    score: float


@dataclass(frozen=True, eq=False, kw_only=True)
class TuningResult(Outcome):
    """What came of tuning.

    Parameters
    ----------
    curve : tuple of CurvePoint
    drift : dict of str to float
        ``1 - cos`` between each tuned class and its hand-written prompt.
    device : str
    notices : tuple of str
        What the user should know, such as a fall-back to the CPU.
    """

    method = "prompts"

    curve: tuple[CurvePoint, ...]
    drift: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"
    notices: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Drift and curve."""
        return {"drift": dict(self.drift), "curve": [[p.step, p.loss, p.score] for p in self.curve]}


def tune_prompts(
    encoder: Encoder,
    prompts: PromptSet,
    samples: Sequence[TuningSample],
    *,
    options: TuningOptions | None = None,
    progress: Progress = silent,
) -> TuningResult:
    """Tune the classes that have strokes.

    Parameters
    ----------
    encoder : Encoder
        With a text tower that takes learned tokens. Tuning runs on its device; if that device's memory is full, on a
        copy of the text tower on the CPU.
    prompts : PromptSet
        Prompts that were tuned before go on from their tokens.
    samples : sequence of TuningSample
        One per corrected plane, of one or many images, encoded with `encoder`.
    options : TuningOptions, optional
    progress : callable
        Called as ``(step, steps, "loss 0.41, held-out Dice 0.78")``; raising `CancelledError` in it ends tuning with
        the best state so far.

    Returns
    -------
    TuningResult
        Kept only if the mean Dice of held-out strokes rose. The state judged is that of the last step (or, when
        cancelled, the one of lowest training loss), never one chosen on the held-out strokes.

    Raises
    ------
    InputError
        If no stroke belongs to the classes, too few to hold one out, or features come from another model.
    ModelError
        If the model takes no learned tokens.
    """
    chosen = options or TuningOptions()
    tower = text_tower(encoder)
    used = _checked(encoder, prompts, samples)
    train, held, n_strokes = hold_out(used, chosen.held_out, chosen.seed)

    def attempt(on: SlotTower, device: torch.device) -> TuningResult:
        return _attempt(encoder, on, prompts, train, held, n_strokes, chosen, device, progress)

    began = time.perf_counter()
    copied = getattr(tower, "copied_to", None)
    device = torch.device(encoder.device)
    notices: tuple[str, ...] = ()
    try:
        result = attempt(tower, device)
    except RuntimeError as error:
        if not is_out_of_memory(error) or device.type == "cpu" or copied is None:
            raise
        notices = (f"The memory of {device} is full: prompts are tuned on the CPU, which is slower.",)
    finally:
        free_memory()
    # outside the handler, so that the traceback no longer holds what filled the memory
    if notices and copied is not None:
        result = attempt(copied(torch.device("cpu")), torch.device("cpu"))
    return replace(result, seconds=time.perf_counter() - began, notices=notices)


def _attempt(
    encoder: Encoder,
    tower: SlotTower,
    prompts: PromptSet,
    train: Sequence[TuningSample],
    held: Sequence[TuningSample],
    n_strokes: int,
    options: TuningOptions,
    device: torch.device,
    progress: Progress,
) -> TuningResult:
    """Tune on one device and judge the outcome."""
    run = _Run(encoder, tower, prompts, train, held, options, device)
    run.go(progress)
    candidate = replace(prompts, learned=run.model.learned(run.best))
    verdict = Verdict(run.before, run.score(run.best), n_strokes)
    return TuningResult(
        given=prompts,
        candidate=candidate,
        verdict=verdict,
        curve=tuple(run.curve),
        drift=run.model.drift(run.best),
        cancelled=run.cancelled,
        device=str(device),
    )


def _checked(encoder: Encoder, prompts: PromptSet, samples: Sequence[TuningSample]) -> list[TuningSample]:
    """Samples with only the pixels of known classes; those of a deleted class stay out."""
    values = {0, *(c.value for c in prompts.classes)}
    used = []
    for sample in samples:
        if sample.features.fingerprint != encoder.fingerprint:
            raise InputError("The picture was encoded with another model than the one in use: segment it again.")
        known = np.isin(sample.values, list(values))
        if known.any():
            used.append(sample.subset(known))
    if not any((s.values > 0).any() for s in used):
        raise InputError("There is no stroke of any class to learn from: paint some of the result's errors first.")
    return used


class _Run:
    """One optimisation on one device."""

    def __init__(
        self,
        encoder: Encoder,
        tower: SlotTower,
        prompts: PromptSet,
        train: Sequence[TuningSample],
        held: Sequence[TuningSample],
        options: TuningOptions,
        device: torch.device,
    ) -> None:
        self.options = options
        self.model = TuningModel(encoder, tower, prompts, train, options, device)
        self.problem = TuningProblem(self.model, train, options)
        self.judge = TuningProblem(self.model, held, options)
        self.before = self.judge.score(self.model.original())
        self.best = self.model.state()
        self.curve: list[CurvePoint] = []
        self.cancelled = False

    def go(self, progress: Progress) -> None:
        """Take the steps; `best` holds the last state, or when cancelled the one of lowest training loss."""
        options, model = self.options, self.model
        optimiser = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)
        lowest = float("inf")
        for step in range(options.steps):
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                loss = self.problem.loss(step)
                loss.backward()  # type: ignore[no-untyped-call]
            value = float(loss.detach())
            if step % options.report_every == 0:
                self.curve.append(CurvePoint(step, value, self.score(model.state())))
            if value < lowest:  # the state that had this loss, before it changes
                lowest, self.best = value, model.state()
            optimiser.step()
            schedule.step()
            model.clamp()
            try:
                progress(
                    step + 1, options.steps, f"loss {self.curve[-1].loss:.2f}, held-out Dice {self.curve[-1].score:.2f}"
                )
            except CancelledError:
                self.cancelled = True
                return
        self.best = model.state()
        self.curve.append(CurvePoint(options.steps, value, self.score(self.best)))

    def score(self, state: dict[str, torch.Tensor]) -> float:
        """Mean Dice on the held-out strokes."""
        return self.judge.score(self.model.vectors_of(state))
