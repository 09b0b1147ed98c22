"""Many image files to many label files; one that fails is named and does not stop the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import CancelledError, InputError, OutputError, PromptSegError
from napari_promptseg.images.label_formats import FORMATS, misfit
from napari_promptseg.images.modality_files import with_partners
from napari_promptseg.images.readers import first_of_many, read_image, stem
from napari_promptseg.images.writers import write_labels
from napari_promptseg.label_jobs import SUFFIX, Job
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack, ModalityKind
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.volumes.plan import VolumePlan


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    job : Job
    shares : dict of str to float
        Class name to its share of the image, in ``[0, 1]``; empty where it failed.
    seconds : float
    error : PromptSegError, optional
        Why nothing was written.
    """

    job: Job
    shares: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: PromptSegError | None = None


def segment_stack(
    segmenter: Segmenter,
    stack: ImageStack,
    prompts: PromptSet,
    *,
    volume: VolumePlan | None = None,
    progress: Progress = silent,
) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Segment all planes of a stack, or those that `volume` wants, in its way.

    Returns
    -------
    labels : numpy.ndarray
        ``(Y, X)`` or ``(Z, Y, X)``, as the stack's grid.
    provenance : dict
        As the label map of the first plane has it, with the number of planes.
    """
    from napari_promptseg.segmentation.volumes.plan import VolumePlan

    return (volume or VolumePlan()).segmented(segmenter, stack, prompts, progress)


def segment_files(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    prompts: PromptSet,
    *,
    kind: ModalityKind = "auto",
    series: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Job], Progress] = lambda job: silent,
    debug: bool = False,
) -> Iterator[Outcome]:
    """Segment files one by one, yielding what became of each.

    Parameters
    ----------
    segmenter : Segmenter
    jobs : sequence of Job
    prompts : PromptSet
    kind : ModalityKind
        What the files' values show.
    series : str, optional
        Number or key of the series of DICOM folders that hold several.
    overwrite : bool
        Replace label files that exist; otherwise such a job fails before any work.
    progress : callable
        Gives the listener for a job's own steps.
    debug : bool
        Let errors that nobody foresaw through instead of reporting them as the job's.

    Raises
    ------
    CancelledError
        If a listener stopped the work; what was written before stays.
    """
    for job in jobs:
        work = partial(
            segment_file,
            segmenter,
            job,
            prompts,
            kind=kind,
            series=series,
            overwrite=overwrite,
            progress=progress(job),
        )
        yield attempted(job, work, debug=debug)


def attempted(job: Job, work: Callable[[], dict[str, float]], *, debug: bool = False) -> Outcome:
    """Do the work of a job and say what became of it.

    Parameters
    ----------
    job : Job
    work : callable
        Gives the classes' shares.
    debug : bool
        Let errors that nobody foresaw through.

    Raises
    ------
    CancelledError
        If a listener stopped the work.
    """
    start = time.perf_counter()
    try:
        return Outcome(job, work(), time.perf_counter() - start)
    except CancelledError:
        raise
    except Exception as error:
        if debug and not isinstance(error, (PromptSegError, MemoryError)):
            raise
        return Outcome(job, seconds=time.perf_counter() - start, error=reported(job, error))


def reported(job: Job, error: Exception) -> PromptSegError:
    """What a person reads of an error that ended a job.

    A night's batch must survive the one file that meets a defect of ours; ``--debug`` shows where it is.
    """
    if isinstance(error, PromptSegError):
        return error
    if isinstance(error, MemoryError):
        return InputError(f"{job.image.name!r} does not fit into memory: crop or downsample it first.")
    reason = " ".join(str(error).split())
    defect = PromptSegError(
        f"{job.image.name!r} met an unforeseen error ({type(error).__name__}: {reason}): "
        "run it again with --debug and report what it says."
    )
    defect.__cause__ = error
    return defect


def notes_of_job(job: Job) -> list[str]:
    """What a finished job's legend says about its image: sides that are a guess, slices that are missing."""
    try:
        legend = json.loads(job.legend.read_text(encoding="utf-8"))
        return [str(note) for note in legend["provenance"].get("notes", ())]
    # labels that hold their legend themselves are no JSON
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def check_free(job: Job) -> None:
    """Refuse a job whose labels exist.

    Raises
    ------
    OutputError
        Naming the file.
    """
    for file in (job.labels, job.legend):
        if file.exists():
            raise OutputError(f"{str(file)!r} exists already: pass --overwrite or choose another folder.")


def segment_file(
    segmenter: Segmenter,
    job: Job,
    prompts: PromptSet,
    *,
    kind: ModalityKind = "auto",
    series: str | None = None,
    overwrite: bool = False,
    notes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> dict[str, float]:
    """Segment one file that fits into memory and write its labels.

    Parameters
    ----------
    segmenter, job, prompts, kind, series, overwrite, progress
        As of `segment_files`.
    notes : mapping, optional
        Plain values for the provenance.

    Returns
    -------
    dict of str to float
        Class name to its share of the image.
    """
    start = time.perf_counter()
    if not overwrite:
        check_free(job)
    stack = first_of_many(read_image(job.image, kind=kind, series=series))
    if job.modalities:
        stack = with_partners(stack, job.image, job.modalities, name=job.main)
    stack = stack if job.volume is None else job.volume.windowed(stack)
    if job.form is not None and (reason := FORMATS[job.form].unfit(stack, stack.grid)) is not None:
        raise InputError(misfit(job.labels, FORMATS[job.form], reason))
    labels, made_by = segment_stack(segmenter, stack, prompts, volume=job.volume, progress=progress)
    names = prompts.names
    write_labels(
        job.labels,
        labels,
        prompts,
        source=stack,
        provenance={**made_by, **(notes or {}), "seconds": round(time.perf_counter() - start, 3)},
        familiarity=dict(zip(names, map(str, segmenter.known(prompts)), strict=True)),
        overwrite=overwrite,
        form=job.form,
        source_path=job.image,
    )
    if job.volume is not None and job.volume.table:
        from napari_promptseg.segmentation.volumes.table import structure_rows, write_table

        rows = structure_rows(labels, stack, prompts, axis=job.volume.axes[0])
        # two images of one name in two folders have two names here
        write_table(job.table, [(stem(job.labels).removesuffix(SUFFIX), rows)], overwrite=True)
    return {c.name: float(np.count_nonzero(labels == c.value) / labels.size) for c in prompts.classes}
