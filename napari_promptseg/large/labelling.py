"""A large picture from its file to an OME-Zarr label array, block by block, to be taken up again after a kill.

This process alone writes labels and journal, whoever made the blocks: a block travels once as a few megabytes of small
integers, and in return there is one order of things (data to the disk, then the line that vouches for them), nothing
half-written by a worker that was lost, and no need for workers to reach the output folder. On the machines this is
made for, one process writes blocks faster than dozens of workers make them. Blocks cover whole chunks all the same, so
that no chunk is read back to be changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.writers import legend_bytes, legend_of, output_error, write_files
from napari_promptseg.label_jobs import Job, journal_path
from napari_promptseg.large.bench import Labelled, Setup
from napari_promptseg.large.blocks import Block, BlockPlan
from napari_promptseg.large.job_digest import job_digest
from napari_promptseg.large.journal import Entry, Journal
from napari_promptseg.large.pictures import Picture
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack, ModalityKind
    from napari_promptseg.large.crew import Crew
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

#: Side of a block where none is asked for, in pixels: about 150 MB of memory per block worked on.
BLOCK_SIDE = 3584


@dataclass(frozen=True)
class LargeResult:
    """What became of a large picture.

    Parameters
    ----------
    labels, legend, journal : pathlib.Path
    counts : dict of int to int
        Label value to number of pixels, over all blocks.
    blocks : int
        Of the picture.
    kept : int
        Blocks that an earlier run had finished.
    """

    labels: Path
    legend: Path
    journal: Path
    counts: dict[int, int]
    blocks: int
    kept: int


def label_picture(
    job: Job,
    segmenter: Segmenter,
    prompts: PromptSet,
    setup: Setup,
    crew: Crew,
    *,
    kind: ModalityKind = "auto",
    side: int = BLOCK_SIDE,
    overwrite: bool = False,
    keep_finished: bool = False,
    progress: Progress = silent,
) -> LargeResult:
    """Segment a picture that may be larger than memory.

    Parameters
    ----------
    job : Job
        Its labels end with ``.zarr``; beside them come the journal and the legend.
    segmenter : Segmenter
        Describes the model; the crew does the work.
    prompts : PromptSet
    setup : Setup
        Made from these two.
    crew : Crew
    kind : ModalityKind
    side : int
        Of a block, in pixels; brought to a whole number of tile steps.
    overwrite : bool
        Begin anew, whatever is there.
    keep_finished : bool
        Labels that the same job finished earlier are the result; otherwise they are in the way.
    progress : Progress
        Called after every block.

    Raises
    ------
    InputError
        If the picture cannot be read, or a journal of another job is there.
    OutputError
        If labels are there already, or the disk refuses.
    CancelledError
        If the listener stopped the work; what is finished stays, and the same call goes on from there.
    """
    picture, stack = Picture.of(job, kind, setup.settings, side)
    plan, digest = picture.plan, job_digest(setup, picture)
    labels, legend, beside = job.labels, job.legend, journal_path(job.labels)
    if overwrite:
        _check_labels(labels)
    elif labels.exists() and not beside.exists():
        raise OutputError(f"{str(labels)!r} exists already: pass --overwrite or choose another folder.")
    _make_folder(labels.parent)
    start = time.perf_counter()
    # emptied before the labels go, so that a kill between the two leaves no journal that vouches for missing data
    with Journal(beside, digest, anew=overwrite) as journal:
        if overwrite:
            _clear(labels, legend)
        if not journal.is_new and legend.exists() and len(journal.finished) == len(plan) and not keep_finished:
            raise OutputError(
                f"{str(labels)!r} is finished already: pass --overwrite to make it anew, or --resume to keep it."
            )
        array = _labels_array(labels, journal, plan, stack, prompts)
        kept = len(journal.finished)
        if not (kept == len(plan) and legend.exists()):
            _work_off(crew, picture, array, journal, progress)
            made_by = {
                **_provenance(segmenter, prompts, stack),
                "seconds": round(time.perf_counter() - start, 3),
                "blocks": {**plan.as_dict(), "job": digest, "from_an_earlier_run": kept},
            }
            _finish(labels, legend, journal, prompts, segmenter, stack, made_by, progress)
        return LargeResult(labels, legend, beside, totals(journal), len(plan), kept)


def totals(journal: Journal) -> dict[int, int]:
    """Pixels of every label value over all finished blocks."""
    counts: dict[int, int] = {}
    for entry in journal.finished.values():
        for value, count in entry.counts.items():
            counts[value] = counts.get(value, 0) + count
    return counts


def _work_off(crew: Crew, picture: Picture, array: Any, journal: Journal, progress: Progress) -> None:
    plan = picture.plan
    todo = [i for i in range(len(plan)) if i not in journal.finished]
    tell = _Pace(len(plan), len(journal.finished), progress)
    tell()
    blocks = crew.label_blocks(picture, todo)
    # closed at once when writing fails or the user stops, so that nobody works on
    with contextlib.closing(blocks):  # type: ignore[type-var]
        for done in blocks:
            write_block(array, plan[done.block], done)
            journal.record(Entry(done.block, done.counts, done.seconds, done.worker))
            tell.finished += 1
            tell()


class _Pace:
    """Says how many blocks are finished and about how long the rest takes."""

    def __init__(self, total: int, finished: int, progress: Progress) -> None:
        self.total, self.finished, self._progress = total, finished, progress
        self._first, self._start = finished, time.monotonic()

    def __call__(self) -> None:
        text = f"block {self.finished} of {self.total}"
        made = self.finished - self._first
        if made and self.finished < self.total:
            left = (time.monotonic() - self._start) / made * (self.total - self.finished)
            text += f", about {_spoken(left)} left"
        self._progress(self.finished, self.total, text)


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def write_block(array: Any, block: Block, labelled: Labelled) -> None:
    """Write a block's labels and bring them to the disk.

    Raises
    ------
    OutputError
        If the disk refuses, for example because it is full.
    """
    at: tuple[Any, ...] = (block.rows, block.columns)
    if array.ndim == 3:
        at = (block.plane, *at)
    try:
        array[at] = labelled.labels
        for file in _chunk_files(array, block):
            _to_disk(file)
    except OSError as error:
        raise output_error(Path(array.store.root), error) from error


def _chunk_files(array: Any, block: Block) -> list[Path]:
    """Files of the chunks that a block covers; those of background alone do not exist."""
    root = Path(array.store.root) / array.path
    side = array.chunks[-1]
    rows = range(block.rows.start // side, -(-block.rows.stop // side))
    columns = range(block.columns.start // side, -(-block.columns.stop // side))
    front = (block.plane,) if array.ndim == 3 else ()
    keys = [array.metadata.encode_chunk_key((*front, row, column)) for row in rows for column in columns]
    return [root / key for key in keys if (root / key).exists()]


def _to_disk(file: Path) -> None:
    handle = os.open(file, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _labels_array(labels: Path, journal: Journal, plan: BlockPlan, stack: ImageStack, prompts: PromptSet) -> Any:
    """The array to write to: the one begun earlier, or a new one."""
    from napari_promptseg.images.zarr_labels import create_labels, open_labels

    values = [c.value for c in prompts.classes]
    dtype = np.uint8 if max(values) < 256 else np.uint16
    if journal.finished:
        array = open_labels(labels)
        if array.shape != plan.grid or array.dtype != dtype or array.chunks[-1] > plan.side:
            raise InputError(f"{str(labels)!r} does not fit its journal: pass --overwrite to begin anew.")
        return array
    array = create_labels(labels, plan.grid, dtype, stack, prompts, plan.chunks, overwrite=labels.exists())
    if journal.is_new:
        journal.begin({"picture": stack.source, "labels": labels.name, "blocks": len(plan), "plan": plan.as_dict()})
    return array


def _finish(
    labels: Path,
    legend: Path,
    journal: Journal,
    prompts: PromptSet,
    segmenter: Segmenter,
    stack: ImageStack,
    made_by: Mapping[str, Any],
    progress: Progress,
) -> None:
    from napari_promptseg.images.zarr_labels import finish_pyramid, put_legend

    finish_pyramid(labels, progress)
    known = dict(zip(prompts.names, map(str, segmenter.known(prompts)), strict=True))
    found = totals(journal)
    counts = np.zeros(max(found, default=0) + 1, np.int64)
    counts[list(found)] = list(found.values())
    said = legend_of(counts, prompts, made_by, known, stack)
    put_legend(labels, said)
    write_files({legend: legend_bytes(said)})


def _provenance(segmenter: Segmenter, prompts: PromptSet, stack: ImageStack) -> dict[str, Any]:
    from napari_promptseg.segmentation.provenance import provenance

    made_by = provenance(
        segmenter.encoder.describe(),
        segmenter.encoder.fingerprint,
        prompts,
        segmenter.known(prompts),
        segmenter.settings,
        stack=stack,
        plane=0,
        modality=0,
        quality=segmenter.settings.quality,
    )
    return {**made_by, "planes": stack.n_planes}


def _check_labels(labels: Path) -> None:
    """Refuse to replace what is no label array of Zarr."""
    if labels.is_dir() and any(labels.iterdir()) and not any((labels / n).exists() for n in ("zarr.json", ".zgroup")):
        raise OutputError(f"{str(labels)!r} is a folder that holds no labels: move it away first.")


def _clear(labels: Path, legend: Path) -> None:
    """Take away labels that are to be made anew, with the legend that says they are finished."""
    try:
        legend.unlink(missing_ok=True)
        if labels.is_dir():
            shutil.rmtree(labels)
    except OSError as error:
        raise output_error(labels, error) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
