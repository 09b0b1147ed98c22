"""Planes worked on side by side, each by two threads.

Two cores share a plane well: what each has to remember fits better into its own fast memory, so that both together
take two thirds of the processor time that one takes alone. More than two share the short convolutions of one small
plane badly, and take a plane for each pair.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from napari_promptseg.errors import CancelledError
from napari_promptseg.progress import Progress
from napari_promptseg.segmentation.segmenter import Segmenter

#: Planes in work at once, at most: each holds its features, some tens of megabytes.
MOST = 4

#: Threads for each.
_EACH = 2

Given = TypeVar("Given")
Made = TypeVar("Made")


def workers_for(segmenter: Segmenter) -> int:
    """Planes to work on at once: one for every two threads of the arithmetic library; one on an accelerator."""
    if torch.device(segmenter.encoder.device).type != "cpu":
        return 1
    return max(1, min(MOST, torch.get_num_threads() // _EACH))


def side_by_side(
    work: Callable[[Segmenter, Given, Progress], Made],
    items: Sequence[Given],
    segmenter: Segmenter,
    workers: int,
) -> Generator[tuple[Given, Made], None, None]:
    """Do one piece of work for every item; results come in the order of the items.

    Parameters
    ----------
    work : callable
        Called with a segmenter that no other call uses at the time, an item, and a listener to report to: it stops the
        work when the results are no longer wanted.
    items : sequence
    segmenter : Segmenter
        Its model and settings are used, its picture stays.
    workers : int
        Pieces of work at once.

    Raises
    ------
    Exception
        What `work` raised, when the item's turn comes.
    """
    stopped = threading.Event()

    def listen(done: int, total: int, description: str) -> None:
        if stopped.is_set():
            raise CancelledError

    twins: deque[Segmenter] = deque(
        Segmenter(segmenter.encoder, settings=segmenter.settings) for _ in range(max(1, workers))
    )
    if workers <= 1:
        for item in items:
            yield item, work(twins[0], item, listen)
        return
    share = max(1, torch.get_num_threads() // workers)

    def one(item: Given) -> Made:
        twin = twins.popleft()
        try:
            return work(twin, item, listen)
        finally:
            twins.append(twin)

    # the number of threads belongs to the thread that sets it
    pool = ThreadPoolExecutor(workers, "plane", initializer=torch.set_num_threads, initargs=(share,))
    begun: deque[tuple[Given, Future[Any]]] = deque()
    rest = iter(items)
    try:
        while True:
            for item in rest:
                begun.append((item, pool.submit(one, item)))
                if len(begun) > workers:
                    break
            if not begun:
                return
            item, future = begun.popleft()
            yield item, future.result()
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
