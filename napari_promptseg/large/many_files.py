"""Files of all sizes: small ones whole, large ones in blocks, here or on a cluster's workers."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_promptseg.batch import Job, Outcome, attempted, check_free, reported, segment_file
from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.readers import stem
from napari_promptseg.large.bench import Bench, Setup
from napari_promptseg.large.crew import Crew, Threads
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
    kind : ModalityKind
    series : str, optional
    """

    job: Job
    kind: ModalityKind
    series: str | None


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
        kept = self._kept(job)
        if kept is not None:
            return kept
        work = partial(
            segment_file,
            self.segmenter,
            job,
            self.prompts,
            kind=self.kind,
            series=self.series,
            overwrite=self.overwrite,
            notes={"job": self.setup.digest},
            progress=self.progress(job),
        )
        return attempted(job, work, debug=self.debug)

    def _small_ones(self, jobs: Sequence[Job], crew: DaskCrew) -> Iterator[Outcome]:
        orders: list[Order] = []
        by_labels: dict[Path, Job] = {}
        for job in jobs:
            kept = self._kept(job)
            if kept is None and not self.overwrite:
                refused = attempted(job, partial(_nothing, job))
                kept = refused if refused.error else None
            if kept is not None:
                yield kept
                continue
            partners = tuple(replace(p, file=p.file and p.file.resolve()) for p in job.modalities)
            whole = replace(job, image=job.image.resolve(), labels=job.labels.resolve(), modalities=partners)
            orders.append(Order(whole, self.kind, self.series))
            by_labels[whole.labels] = job
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

    def _kept(self, job: Job) -> Outcome | None:
        """The outcome of an earlier run that made these labels; None where there is work to do."""
        if not self.plan.resume or self.overwrite or not (job.labels.exists() and job.legend.exists()):
            return None
        try:
            legend = json.loads(job.legend.read_text(encoding="utf-8"))
            made_by = legend["provenance"]
            same = made_by["job"] == self.setup.digest
            same &= made_by.get("volume", {}) == ({} if job.volume is None else job.volume.notes)
            shares = {str(c["name"]): float(c["area_share"]) for c in legend["classes"]}
        except (OSError, ValueError, KeyError, TypeError):
            same, shares = False, {}
        if same:
            return Outcome(job, shares)
        other = OutputError(
            f"{str(job.labels)!r} was made with other prompts or settings: pass --overwrite or choose another folder."
        )
        return Outcome(job, error=other)


def segment_order(bench: Bench, order: Order) -> tuple[dict[str, float], float]:
    """On a worker: segment a small file and write its labels, whole or not at all.

    The client has made sure that no labels are there; those that are come from a worker that was lost afterwards.
    """
    start = time.perf_counter()
    job = order.job
    if not job.image.exists():
        raise InputError(
            f"A worker does not see {job.image.name!r}: the folder must have the same path on all machines."
        )
    shares = segment_file(
        bench.segmenter(),
        job,
        bench.prompts(),
        kind=order.kind,
        series=order.series,
        overwrite=True,
        notes={"job": bench.setup.digest},
    )
    return shares, time.perf_counter() - start


def _nothing(job: Job) -> dict[str, float]:
    check_free(job)
    return {}
