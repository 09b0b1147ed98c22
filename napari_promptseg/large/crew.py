"""Who works on blocks: threads of this process. `cluster.py` has the same for a Dask cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol

from napari_promptseg.errors import CancelledError
from napari_promptseg.large.bench import Bench, Labelled, Setup, clear_away, lay_out
from napari_promptseg.large.pictures import Picture

if TYPE_CHECKING:
    from napari_promptseg.encoders.encoder import Encoder

#: Finished blocks that may wait to be written, whoever made them.
_WAITING = 2


class Crew(Protocol):
    """Works on blocks, in any order, and hands them over as they are finished."""

    def label_blocks(self, picture: Picture, numbers: Sequence[int]) -> Iterator[Labelled]:
        """Segment blocks of a picture.

        Yields
        ------
        Labelled
            Each block once. No more than a few wait to be taken, so that memory stays bounded.
        """
        ...


class Threads:
    """Threads of this process, one block each; they share model and features.

    Parameters
    ----------
    setup : Setup
    encoder : Encoder
    size : int, optional
        Blocks worked on at a time; the cores that the arithmetic library uses where not given.
    """

    def __init__(self, setup: Setup, encoder: Encoder, size: int | None = None) -> None:
        import torch

        on_cpu = str(encoder.device).startswith("cpu")
        self.size = size or (torch.get_num_threads() if on_cpu else 1)
        self._digest = setup.digest
        self._bench: Bench = lay_out(setup, encoder)

    def label_blocks(self, picture: Picture, numbers: Sequence[int]) -> Iterator[Labelled]:
        """See `Crew`."""
        import torch

        stop = threading.Event()

        def step(done: int, total: int, description: str) -> None:
            if stop.is_set():
                raise CancelledError("The block was given up.")

        def work(number: int) -> Labelled:
            return self._bench.label_block(picture, number, progress=step)

        threads = torch.get_num_threads()
        todo = iter(numbers)
        running: set[Future[Labelled]] = set()
        pool = ThreadPoolExecutor(self.size, "blocks")
        try:
            while True:
                while len(running) < self.size + _WAITING and (number := next(todo, None)) is not None:
                    running.add(pool.submit(work, number))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
            # the blocks' threads have set it for the process
            torch.set_num_threads(threads)

    def close(self) -> None:
        """Let go of the model and the features."""
        clear_away(self._digest)
