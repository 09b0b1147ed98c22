"""Files of all sizes: small ones whole, large ones in blocks, here or on a cluster's workers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from napari_promptseg.batch import Outcome, attempted, check_free, reported, segment_file
from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.readers import stem
from napari_promptseg.label_jobs import Job
from napari_promptseg.large.bench import Bench, Setup
from napari_promptseg.large.crew import Crew, Threads
from napari_promptseg.large.job_digest import begun_earlier, file_digest, finished_earlier
from napari_promptseg.large.labelling import label_picture
from napari_promptseg.large.pictures import extent
from napari_promptseg.large.run_plan import RunPlan
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ModalityKind
    from napari_promptseg.large.cluster import DaskCrew
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter

#: A stack with more labels than so many of the largest planes is cut into blocks too.
_MOST_PLANES = 4


@dataclass(frozen=True)
class Order:
    """One small file as a worker gets it: plain values of a few bytes.

    Parameters
    ----------
    job : Job
        With whole paths.
    digest : str
        Of the job, see `file_digest`.
    kind : ModalityKind
    series : str, optional
    overwrite : bool
    """

    job: Job
    digest: str
    kind: ModalityKind
    series: str | None
    overwrite: bool


@dataclass(frozen=True, eq=False)
class ManyFiles:
    """A run over many files.

    Parameters
    ----------
    segmenter : Segmenter
    prompts : PromptSet
    setup : Setup
        Made from these two.
    plan : RunPlan
    kind : ModalityKind
    series : str, optional
        As of `segment_files`.
    form : str, optional
        Format that was asked for, see `label_formats.FORMATS`; pictures in blocks are always OME-Zarr.
    overwrite : bool
    debug : bool
    progress : callable
        Gives the listener for a job's own steps.
    """

    segmenter: Segmenter
    prompts: PromptSet
    setup: Setup
    plan: RunPlan
    kind: ModalityKind = "auto"
    series: str | None = None
    form: str | None = None
    overwrite: bool = False
    debug: bool = False
    progress: Callable[[Job], Progress] = lambda job: silent

    def outcomes(self, jobs: Sequence[Job], say: Callable[[str], None]) -> Iterator[Outcome]:
        """Segment the files and yield what became of each, as they are finished.

        Parameters
        ----------
        jobs : sequence of Job
        say : callable
            Gets what a person should know: where the dashboard is, and where data go.

        Raises
        ------
        CancelledError
            If a listener stopped the work; what was finished stays.
        InputError, OutputError
            If the cluster cannot be used, or went away.
        """
        with contextlib.ExitStack() as stack:
            many = self._cluster(stack, say)
            if many is None:
                crew = Threads(self.setup, self.segmenter.encoder)
                stack.callback(crew.close)
                for job in jobs:
                    yield self._large(job, crew) if self._is_large(job) else self._small(job)
                return
            large = [job for job in jobs if self._is_large(job)]
            small = [job for job in jobs if job not in large]
            yield from self._small_ones(small, many)
            for job in large:
                yield self._large(job, many)

    def _cluster(self, stack: contextlib.ExitStack, say: Callable[[str], None]) -> DaskCrew | None:
        if self.plan.workers is None and self.plan.cluster is None:
            return None
        from napari_promptseg.concepts.multimodal.address import farthest
        from napari_promptseg.large import cluster
        from napari_promptseg.large.cluster_address import disclosure

        if self.plan.cluster is not None:
            client = stack.enter_context(cluster.running_cluster(self.plan.cluster, allowed=self.plan.allowed))
            reach = farthest(self.plan.cluster.reach(), cluster.reach_of_workers(client))
            say(disclosure(self.plan.cluster.url, reach))
        else:
            client = stack.enter_context(cluster.local_workers(self.plan.workers or 1))
        say(f"Dashboard: {client.dashboard_link}")
        crew = cluster.DaskCrew(client, self.setup, ours=self.plan.cluster is None)
        stack.callback(crew.close)
        return crew

    def _is_large(self, job: Job) -> bool:
        side, labels = extent(job.image)
        return side > self.plan.blocks_above or labels > _MOST_PLANES * self.plan.blocks_above**2

    def _large(self, job: Job, crew: Crew) -> Outcome:
        labels = job.labels.with_name(f"{stem(job.labels)}.ome.zarr")
        own = replace(job, labels=labels, form="ome-zarr")

        def work() -> dict[str, float]:
            if job.volume is not None and (job.volume.notes or job.volume.table):
                raise InputError(
                    f"{job.image.name!r} is larger than --blocks-above {self.plan.blocks_above} and is read in blocks, "
                    "which know nothing of volumes: leave the options for volumes out, or raise --blocks-above."
                )
            if self.form not in (None, "ome-zarr"):
                raise InputError(
                    f"{job.image.name!r} is larger than --blocks-above {self.plan.blocks_above}, and its labels are "
                    "written as OME-Zarr: leave --format out, or raise --blocks-above."
                )
            result = label_picture(
                own,
                self.segmenter,
                self.prompts,
                self.setup,
                crew,
                kind=self.kind,
                side=self.plan.block_side,
                overwrite=self.overwrite,
                keep_finished=self.plan.resume,
                progress=self.progress(job),
            )
            total = max(1, sum(result.counts.values()))
            return {c.name: result.counts.get(c.value, 0) / total for c in self.prompts.classes}

        return attempted(own, work, debug=self.debug)

    def _small(self, job: Job) -> Outcome:
        def work() -> dict[str, float]:
            digest, kept = self._earlier(job)
            if kept is not None:
                return kept
            return segment_file(
                self.segmenter,
                job,
                self.prompts,
                kind=self.kind,
                series=self.series,
                overwrite=self.overwrite or (self.plan.resume and begun_earlier(job, digest)),
                notes={"job": digest},
                progress=self.progress(job),
            )

        return attempted(job, work, debug=self.debug)

    def _small_ones(self, jobs: Sequence[Job], crew: DaskCrew) -> Iterator[Outcome]:
        orders: list[Order] = []
        for job in jobs:
            seen = attempted(job, partial(self._ordered, job, orders), debug=self.debug)
            if seen.error is not None or seen.shares:
                yield seen
        by_labels = {job.labels.resolve(): job for job in jobs}
        start = time.perf_counter()
        for done, (order, result) in enumerate(crew.do(segment_order, orders), start=1):
            job = by_labels[order.job.labels]
            self.progress(job)(done, len(orders), f"file {done} of {len(orders)}")
            if isinstance(result, Exception):
                if self.debug and not isinstance(result, (InputError, OutputError)):
                    raise result
                yield Outcome(job, seconds=time.perf_counter() - start, error=reported(job, result))
            else:
                yield Outcome(job, result[0], result[1])

    def _ordered(self, job: Job, orders: list[Order]) -> dict[str, float]:
        """Add an order to those for the workers, or give what an earlier run found."""
        digest, kept = self._earlier(job)
        if kept is not None:
            return kept
        partners = tuple(replace(p, file=p.file and p.file.resolve()) for p in job.modalities)
        whole = replace(job, image=job.image.resolve(), labels=job.labels.resolve(), modalities=partners)
        orders.append(Order(whole, digest, self.kind, self.series, self.overwrite))
        return {}

    def _earlier(self, job: Job) -> tuple[str, dict[str, float] | None]:
        """The job's digest, and what an earlier run found that finished it; None where there is work to do.

        Raises
        ------
        OutputError
            If labels are in the way.
        """
        digest = file_digest(self.setup, job, self.kind, self.series)
        kept = finished_earlier(job, digest) if self.plan.resume and not self.overwrite else None
        if kept is None and not self.overwrite and not (self.plan.resume and begun_earlier(job, digest)):
            check_free(job)
        return digest, kept


def segment_order(bench: Bench, order: Order) -> tuple[dict[str, float], float]:
    """On a worker: segment a small file and write its labels, whole or not at all.

    The client has made sure that no labels are there; those that are come from a worker that was lost afterwards, and
    are kept, or from another program that writes to the same folder, and are refused.
    """
    start = time.perf_counter()
    job = order.job
    for file in (job.image, *(p.file for p in job.modalities if p.file is not None)):
        if not file.exists():
            raise InputError(
                f"A worker does not see {file.name!r}: the folder must have the same path on all machines."
            )
    shares = None if order.overwrite else finished_earlier(job, order.digest)
    if shares is None:
        try:
            shares = segment_file(
                bench.segmenter(),
                job,
                bench.prompts(),
                kind=order.kind,
                series=order.series,
                # a worker lost between the two files leaves one
                overwrite=order.overwrite or job.labels.exists() or job.legend.exists(),
                notes={"job": order.digest},
            )
        except OutputError:
            # one that was given up too early may have written them meanwhile
            shares = None if order.overwrite else finished_earlier(job, order.digest)
            if shares is None:
                raise
    return shares, time.perf_counter() - start
