"""Waiting for something that may take long: with an end, and stopped as soon as the user says so."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from napari_promptseg.progress import Progress

_T = TypeVar("_T")
#: Seconds between two looks at whether the user wants to stop.
_LOOK = 0.05


class TooLateError(Exception):
    """The time was up."""


class Deadline:
    """A point in time, so many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds left; 0 when the time is up."""
        return max(0.0, self.seconds - self.elapsed)

    def report(self, progress: Progress, description: str) -> None:
        """Report seconds; the listener stops the wait by raising `CancelledError`."""
        total = math.ceil(self.seconds)
        progress(min(int(self.elapsed), total), total, f"{description}, {self.elapsed:.0f} s")


def wait_for(
    task: Callable[[], _T], deadline: Deadline, progress: Progress, description: str, stop: Callable[[], None]
) -> _T:
    """Run a task in a thread and wait for it.

    Parameters
    ----------
    task : callable
        Its error is raised here.
    deadline : Deadline
    progress : Progress
        Told about every twentieth of a second.
    description : str
        What is waited for.
    stop : callable
        Called when nobody waits for the task any more; makes it end soon.

    Raises
    ------
    TooLateError
        If the time is up.
    CancelledError
        If the listener says so.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    finished = threading.Event()

    def run() -> None:
        try:
            results.append(task())
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    threading.Thread(target=run, name="larger-model", daemon=True).start()
    try:
        while not finished.wait(min(_LOOK, max(deadline.left, 0.001))):
            deadline.report(progress, description)
            if not deadline.left:
                raise TooLateError
    except BaseException:
        stop()
        raise
    if errors:
        raise errors[0]
    return results[0]


def pause(seconds: float, deadline: Deadline, progress: Progress, description: str) -> None:
    """Wait before another attempt; `TooLateError` if the time would be up by then."""
    if seconds >= deadline.left:
        raise TooLateError
    end = Deadline(seconds)
    while end.left:
        deadline.report(progress, description)
        time.sleep(min(_LOOK, end.left))
