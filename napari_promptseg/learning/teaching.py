"""The ways to learn prompts from labelled images behind one call: live, prompts, student."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from napari_promptseg.errors import CancelledError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.held_out_planes import ENOUGH_PLANES, left_out
from napari_promptseg.learning.live_across import AcrossSettings, learn_live
from napari_promptseg.learning.prompt_tuning import tune_prompts
from napari_promptseg.learning.student import StudentOptions, train_student
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter

Method = Literal["live", "prompts", "student"]

_FEW = (
    f"With fewer than {ENOUGH_PLANES} labelled images parts of the same images judge, which says little about others: "
    "look at some masks, or label more images."
)


@dataclass(frozen=True, eq=False)
class Taught:
    """What came of it.

    Parameters
    ----------
    prompts : PromptSet
        What held-out labels preferred.
    kept : bool
        Whether anything that was learned is in it.
    sentence : str
        One line for the user.
    report : dict
        Plain values for a ``.promptseg`` file.
    cancelled : bool
    notices : tuple of str
        What the user should know besides.
    """

    prompts: PromptSet
    kept: bool
    sentence: str
    report: dict[str, Any]
    cancelled: bool = False
    notices: tuple[str, ...] = ()


def teach(
    segmenter: Segmenter,
    prompts: PromptSet,
    samples: Sequence[TuningSample],
    method: Method,
    *,
    unlabelled: Iterable[tuple[ImageStack, int]] = (),
    live: AcrossSettings | None = None,
    tuning: TuningOptions | None = None,
    student: StudentOptions | None = None,
    progress: Progress = silent,
) -> Taught:
    """Learn in one of the ways; what is no better on held-out labels is left out.

    Parameters
    ----------
    segmenter : Segmenter
    prompts : PromptSet
    samples : sequence of TuningSample
        Labelled pixels of encoded planes.
    method : {"live", "prompts", "student"}
        Weights on the frozen features; learned tokens; or these and a student that learns from them.
    unlabelled : iterable of (ImageStack, int)
        Planes that the student's prompts label.
    live, tuning, student : AcrossSettings, TuningOptions, StudentOptions, optional
    progress : callable
        ``(done, total, description)``; `CancelledError` raised in it ends with the best so far.
    """
    few = (_FEW,) if len(samples) < ENOUGH_PLANES else ()
    if method == "live":
        found = learn_live(segmenter, prompts, samples, settings=live, progress=progress)
        return Taught(found.prompts, found.kept, found.sentence, found.report(), notices=few)
    shown = to_be_tuned_on(samples, student or StudentOptions()) if method == "student" else samples
    tuned = tune_prompts(segmenter.encoder, prompts, shown, options=tuning, progress=progress)
    notices = (*tuned.notices, *few)
    first = Taught(tuned.prompts, tuned.kept, tuned.sentence, tuned.report(), tuned.cancelled, notices)
    if method == "prompts" or tuned.cancelled:
        return first
    try:
        result = train_student(segmenter, tuned.prompts, samples, unlabelled, options=student, progress=progress)
    except CancelledError:
        # while images were being labelled: there is no student yet, but there are prompts
        return replace(first, cancelled=True)
    return Taught(
        result.prompts,
        result.prompts is not prompts,
        f"prompts: {tuned.sentence}; {result.sentence}",
        {**result.report(), "prompts": tuned.report()},
        result.cancelled,
        notices,
    )


def to_be_tuned_on(samples: Sequence[TuningSample], options: StudentOptions) -> Sequence[TuningSample]:
    """What a student's prompts are tuned on: not the planes that judge it, since it has to beat them there.

    Where parts of the same few planes judge, all of them: there is too little to do without.
    """
    if len(samples) < ENOUGH_PLANES:
        return samples
    return left_out(samples, options.held_out, options.seed)[0]
