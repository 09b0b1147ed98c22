"""What runs on a Dask worker. Imported only where Dask distributed is installed."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from typing import Any

from distributed import WorkerPlugin, get_worker

from napari_promptseg.large.bench import Bench, Labelled, Setup, bench_of, clear_away, lay_out
from napari_promptseg.large.pictures import Picture


class SetupPlugin(WorkerPlugin):  # type: ignore[misc]
    """Carries a setup to every worker once, to those that come or come back later too.

    Parameters
    ----------
    setup : Setup
    ours : bool
        The workers were started by this program and end with it.
    """

    idempotent = True

    def __init__(self, setup: Setup, ours: bool) -> None:
        self.job, self.ours = setup, ours
        # of its own for every run: another program with the same setup may use the workers longer
        self.name = f"promptseg-{setup.digest[:8]}-{uuid.uuid4().hex}"

    def setup(self, worker: Any) -> None:
        """Make the worker ready; the model is loaded with its first block."""
        if self.ours:
            # Ctrl-C reaches all processes of a terminal; the one that started the workers ends them in order
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        lay_out(self.job)

    def teardown(self, worker: Any) -> None:
        """Forget the setup."""
        clear_away(self.job.digest)


def label_block(plugin: str, picture: Picture, number: int) -> Labelled:
    """Segment one block on this worker."""
    worker = get_worker()
    return _bench(plugin).label_block(picture, number, worker=str(worker.address))


def with_bench(plugin: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function with this worker's bench before its other arguments."""
    return work(_bench(plugin), *arguments)


def _bench(plugin: str) -> Bench:
    setup: Setup = get_worker().plugins[plugin].job
    try:
        return bench_of(setup.digest)
    except KeyError:
        # others who use the same workers have taken its place
        return lay_out(setup)
