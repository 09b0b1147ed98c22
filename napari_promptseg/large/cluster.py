"""Dask clusters: one of this machine's own, started and ended here, or one that runs already."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, TypeVar

from napari_promptseg.concepts.multimodal.address import Reach, reach_of
from napari_promptseg.errors import InputError, ModelError, OutputError, PromptSegError
from napari_promptseg.large.bench import Labelled, Setup
from napari_promptseg.large.cluster_address import ClusterAddress, check_allowed
from napari_promptseg.large.interrupts import interrupts_later, without_interrupts
from napari_promptseg.large.pictures import Picture
from napari_promptseg.large.shares import Shares

Item = TypeVar("Item")

#: Tasks a worker has beyond those it is at work on, so that it need not wait for the next.
_AHEAD = 1

#: Seconds to wait for a scheduler, and for a worker to come (back).
CONNECT_SECONDS = 15.0
WORKER_SECONDS = 180.0

#: How long a finished result may take to come, in seconds; then its worker is looked after.
_GATHER_SECONDS = 30.0

#: How many workers may be lost over one piece of work.
_MOST_LOSSES = 3

#: Stands for a result that was finished on a worker that is gone.
_NOT_THERE = object()

#: Loggers of what a client is made of.
_NOISY = ("distributed", "tornado", "asyncio", "bokeh")

#: How often a wait looks whether the cluster is still there, in seconds.
_LOOK = 2.0


def check_installed() -> None:
    """Refuse to go on without Dask distributed.

    Raises
    ------
    InputError
        Saying how to install it.
    """
    import importlib.util

    if importlib.util.find_spec("distributed") is None:
        raise InputError(
            'Workers and clusters need Dask distributed: install it with pip install "napari-promptseg[cluster]".'
        )


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def local_workers(n: int, threads: int | None = None) -> Iterator[Any]:
    """Start worker processes on this machine, and end them with the context.

    Parameters
    ----------
    n : int
        Processes.
    threads : int, optional
        Blocks each works on at a time, one core each; the cores shared out among the processes where not given.

    Yields
    ------
    distributed.Client

    Raises
    ------
    OutputError
        If they do not start.
    """
    check_installed()
    import dask
    from distributed import Client, LocalCluster

    quiet = {
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
        # Dask has every freed megabyte given back at once; taking it again for each layer is a third of a block's time
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
        # a worker is not to be killed or paused for its memory: blocks bound it, and a kill would only repeat itself
        "distributed.worker.memory.terminate": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        "distributed.admin.log-length": 0,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        stack.enter_context(_silent_logs())
        try:
            with interrupts_later():
                cluster = LocalCluster(
                    n_workers=n,
                    threads_per_worker=threads or max(1, cores() // n),
                    memory_limit=0,
                    # any free port: a fixed one may be another user's
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
                stack.callback(_closed, cluster)
                client = Client(cluster, set_as_default=False)
                stack.callback(_closed, client)
        except Exception as error:  # whatever stands in the way of a process: memory, ports, a full disk, time
            reason = " ".join(str(error).split()) or type(error).__name__
            raise OutputError(
                f"The {n} worker processes did not start ({reason}): try fewer, or leave --workers out."
            ) from error
        yield client


@contextlib.contextmanager
def running_cluster(address: ClusterAddress, *, allowed: bool = False) -> Iterator[Any]:
    """Connect to a scheduler that runs already.

    Parameters
    ----------
    address : ClusterAddress
    allowed : bool
        The user allowed a cluster off this machine.

    Yields
    ------
    distributed.Client

    Raises
    ------
    InputError
        If nothing answers, no worker is there, or the cluster is off this machine and that was not allowed.
    """
    check_installed()
    check_allowed(address.url, address.reach(), allowed)
    # before the logs are silenced: its loggers are made, and given their levels, as it is imported
    from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(_silent_logs())
        try:
            client = Client(address.url, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"No Dask scheduler answers at {address.url}: check the address, and that it runs the same release "
                "of distributed."
            ) from error
        stack.callback(_closed, client)
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            raise InputError(f"The cluster {address.url} has no worker: start one with dask worker.") from error
        check_allowed(address.url, reach_of_workers(client), allowed)
        yield client


def reach_of_workers(client: Any) -> Reach:
    """How far away the farthest worker is; a scheduler on this machine may have workers elsewhere."""
    hosts = {ClusterAddress.parse(worker).host for worker in client.nthreads()}
    return reach_of(hosts)


class DaskCrew:
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    setup : Setup
        Sent to every worker once.
    ours : bool
        The cluster was started by this program.

    Raises
    ------
    InputError
        If the workers cannot import this package.
    """

    def __init__(self, client: Any, setup: Setup, *, ours: bool) -> None:
        from napari_promptseg.large.dask_tasks import SetupPlugin

        self._client, self._ours = client, ours
        plugin = SetupPlugin(setup, ours)
        self._plugin: str = plugin.name
        self._runs = 0
        try:
            client.register_plugin(plugin)
        except Exception as error:  # whatever the import of another machine's packages raises
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(
                f"The cluster's workers cannot use napari-promptseg ({reason}): install the same release there."
            ) from error

    def label_blocks(self, picture: Picture, numbers: Sequence[int]) -> Iterator[Labelled]:
        """See `Crew`."""
        from napari_promptseg.large.dask_tasks import label_block

        def arguments(number: int) -> tuple[Any, ...]:
            return label_block, self._plugin, picture, number

        for _, labelled in self._spread(list(numbers), arguments):
            yield labelled

    def do(self, work: Callable[..., Any], items: Sequence[Item]) -> Iterator[tuple[Item, Any]]:
        """Call ``work(bench, item)`` on the workers for every item.

        Yields
        ------
        item, result
            As they are finished; an error that the work raised is the result.
        """
        from napari_promptseg.large.dask_tasks import with_bench

        def arguments(number: int) -> tuple[Any, ...]:
            return with_bench, self._plugin, work, items[number]

        for number, result in self._spread(list(range(len(items))), arguments, errors=True):
            yield items[number], result

    def close(self) -> None:
        """Take the setup off workers that live on."""
        if not self._ours:
            with contextlib.suppress(Exception):  # the cluster may be gone, which is what closing is after
                self._client.unregister_worker_plugin(self._plugin)

    def _spread(
        self, numbers: list[int], arguments: Callable[[int], tuple[Any, ...]], *, errors: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """Keep every worker busy with a bounded number of tasks; what a lost worker had goes to the others."""
        self._runs += 1
        shares = Shares(numbers, sorted(self._workers()))
        running: dict[Any, tuple[int, str]] = {}
        losses: Counter[int] = Counter()
        missing_since: float | None = None
        try:
            while True:
                workers = self._workers()
                for lost in self._lost(running, workers):
                    losses[lost] += 1
                    if losses[lost] <= _MOST_LOSSES:
                        shares.again(lost)
                    elif errors:
                        yield lost, _deadly()
                    else:
                        raise _deadly()
                for worker, threads in sorted(workers.items()):
                    in_hand = sum(1 for _, own in running.values() if own == worker)
                    for _ in range(in_hand, threads + _AHEAD):
                        number = shares.next_for(worker)
                        if number is None:
                            break
                        future = self._client.submit(
                            *arguments(number),
                            key=f"{self._plugin}-{self._runs}-{number}-{losses[number]}",
                            workers=[worker],
                            pure=False,
                        )
                        running[future] = number, worker
                if not workers:
                    missing_since = missing_since or time.monotonic()
                    if time.monotonic() - missing_since > WORKER_SECONDS:
                        raise OutputError(
                            "The cluster has lost all its workers: start some and run it again, what is finished is "
                            "kept."
                        )
                    time.sleep(min(_LOOK, 1.0))
                    continue
                missing_since = None
                if not running:
                    return
                for future in self._finished(list(running)):
                    result = self._result(future, errors)
                    if result is _NOT_THERE:  # its worker went away with it; the next round sees that
                        continue
                    number, _ = running.pop(future)
                    yield number, result
                    future.release()
        finally:
            self._give_up(list(running))

    def _lost(self, running: dict[Any, tuple[int, str]], workers: Collection[str]) -> list[int]:
        """Take tasks back whose workers are gone: the scheduler would keep them for these for good."""
        lost = {future: number for future, (number, worker) in running.items() if worker not in workers}
        self._give_up(list(lost))
        for future in lost:
            del running[future]
        return sorted(lost.values())

    def _workers(self) -> dict[str, int]:
        """Workers and how much each does at a time."""
        try:
            return {str(worker): max(1, int(n)) for worker, n in self._client.nthreads().items()}
        except Exception as error:  # distributed raises errors of its own, of asyncio and of the network
            raise _gone() from error

    def _finished(self, futures: list[Any]) -> list[Any]:
        from distributed import wait

        try:
            with self._client.as_current():
                return list(wait(futures, timeout=_LOOK, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            if self._client.status != "running":
                raise _gone() from None
            return []
        except PromptSegError:
            raise
        except Exception as error:
            # a cancelled future among them: its scheduler is gone
            if any(f.status == "cancelled" for f in futures):
                raise _gone() from error
            raise

    def _result(self, future: Any, errors: bool) -> Any:
        from distributed.scheduler import KilledWorker

        try:
            return future.result(timeout=_GATHER_SECONDS)
        except TimeoutError as error:
            if future.status == "error":  # the work's own
                if errors:
                    return error
                raise
            if self._client.status != "running":
                raise _gone() from error
            return _NOT_THERE
        except PromptSegError as error:
            if errors:
                return error
            raise
        except KilledWorker as error:
            killed = _deadly()
            killed.__cause__ = error
            if errors:
                return killed
            raise killed from error
        except Exception as error:
            if self._client.status != "running" or future.status == "cancelled":
                raise _gone() from error
            if errors:
                return error
            raise

    def _give_up(self, futures: list[Any]) -> None:
        if futures:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._client.cancel(futures, force=True)


def _deadly() -> ModelError:
    return ModelError(
        "A part of the work has ended several workers, probably for lack of memory: use fewer workers, or smaller "
        "blocks."
    )


def _gone() -> OutputError:
    return OutputError("The cluster went away: run it again when it is back, what is finished is kept.")


def _closed(thing: Any) -> None:
    """Close a client or cluster, interrupted or not; its complaints about connections help nobody."""
    with without_interrupts(), contextlib.suppress(Exception):
        thing.close(timeout=10)


@contextlib.contextmanager
def _silent_logs() -> Iterator[None]:
    """Whatever distributed has to say is said by our own sentences."""
    # those below them have levels of their own, from Dask's configuration
    loggers = [
        logging.getLogger(name) for name in {*_NOISY, *logging.root.manager.loggerDict} if name.split(".")[0] in _NOISY
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
