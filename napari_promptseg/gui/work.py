"""Run the core in a thread: one job at a time, progress and cancelling through Qt signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_promptseg.errors import CancelledError, PromptSegError
from napari_promptseg.progress import Progress

#: What a job does in the thread: given a listener for its progress, it makes a result.
Task = Callable[[Progress], Any]


@dataclass
class Job:
    """One piece of work.

    Parameters
    ----------
    kind : str
        Of several waiting jobs of one kind only the last is done.
    task : callable
        Runs in the thread; touches no widget and no layer.
    done, failed : callable
        Called in the GUI thread with the result, or with the sentence that says what went wrong.
    quiet : bool
        Work in the background that the user did not ask for: shows no progress and does not make the dock busy.
    """

    kind: str
    task: Task
    done: Callable[[Any], None]
    failed: Callable[[str], None]
    quiet: bool = False
    number: int = field(default_factory=count(1).__next__)


class Learner(Protocol):
    """What learns in the background and ends at the next step, to judge the best so far."""

    is_running: bool

    def stop(self) -> None:
        """End at the next step."""


class Workbench(QObject):
    """Does jobs one after the other in a napari worker.

    A job that is cancelled, or whose owner is gone, reports nothing.
    """

    busy_changed = Signal(bool)
    progress = Signal(int, int, str)
    cancelled = Signal()
    _reported = Signal(int, int, int, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._waiting: list[Job] = []
        self._current: Job | None = None
        self._worker: FunctionWorker[Any] | None = None
        self._busy = False
        self._closed = False
        # The signal is sent in the worker's thread and received in this object's.
        self._reported.connect(self._on_progress, Qt.ConnectionType.QueuedConnection)

    @property
    def is_busy(self) -> bool:
        """Whether a job that the user asked for is running or waiting."""
        return self._busy

    @property
    def is_idle(self) -> bool:
        """Whether nothing at all is running or waiting."""
        return self._current is None and not self._waiting

    def submit(self, job: Job) -> None:
        """Do `job` after those before it; it takes the place of a waiting one of its kind."""
        if self._closed:
            return
        self._waiting = [j for j in self._waiting if j.kind != job.kind]
        if job.quiet:
            self._waiting.append(job)
        else:  # what the user waits for goes first
            at = next((i for i, j in enumerate(self._waiting) if j.quiet), len(self._waiting))
            self._waiting.insert(at, job)
        self._next()

    def drop(self, kind: str) -> None:
        """Forget waiting jobs of a kind."""
        self._waiting = [j for j in self._waiting if j.kind != kind]
        self._tell()

    def cancel(self) -> None:
        """Stop what the user asked for at its next report of progress; forget what waits."""
        self._waiting = [j for j in self._waiting if j.quiet]
        if self._current is not None and not self._current.quiet and self._worker is not None:
            self._worker.quit()
        self._tell()

    def close(self) -> None:
        """Stop everything and report nothing any more."""
        self._closed = True
        self._waiting.clear()
        if self._worker is not None:
            self._worker.quit()

    def _next(self) -> None:
        if self._current is None and self._waiting:
            job = self._current = self._waiting.pop(0)
            worker = create_worker(self._run, job, _start_thread=False, _ignore_errors=True)
            # FunctionWorker relays every error to napari as a notification; ours are shown in the dock.
            self._worker = worker
            worker.returned.connect(self._on_returned)
            worker.finished.connect(self._on_finished)
            worker.start()
        self._tell()

    def _run(self, job: Job) -> tuple[Job, Any, str]:
        """In the thread: ``(job, result, sentence)``; an error becomes its sentence."""
        worker = self._worker

        def report(done: int, total: int, description: str) -> None:
            if self._closed or (worker is not None and worker.abort_requested):
                raise CancelledError("Stopped at your request.")
            self._reported.emit(job.number, done, total, description)

        try:
            return job, job.task(report), ""
        except CancelledError:
            return job, None, ""
        except PromptSegError as error:
            return job, None, str(error)
        except MemoryError:
            return (
                job,
                None,
                "The memory is not enough for this picture: choose a smaller level or close other programs.",
            )
        except Exception as error:
            # A fault of ours or of a library: still one sentence in the dock, with the place in napari's log.
            import logging

            from napari_promptseg.encoders.device import is_out_of_memory

            if is_out_of_memory(error):
                return job, None, "The memory of the device is full: choose CPU under Model, or a smaller level."
            logging.getLogger(__name__).exception("%s failed", job.kind)
            return job, None, f"Something went wrong ({type(error).__name__}: {error})."

    def _on_progress(self, number: int, done: int, total: int, description: str) -> None:
        job = self._current
        if not self._closed and job is not None and job.number == number and not job.quiet:
            self.progress.emit(done, total, description)

    def _on_returned(self, outcome: tuple[Job, Any, str]) -> None:
        job, result, sentence = outcome
        if self._closed:
            return
        if sentence:
            job.failed(sentence)
        elif self._worker is not None and not self._worker.abort_requested and result is not None:
            job.done(result)

    def _on_finished(self) -> None:
        stopped = self._worker is not None and self._worker.abort_requested
        self._current = self._worker = None
        if self._closed:
            return
        if stopped:
            self.cancelled.emit()
        # After the signals of this worker have been delivered.
        QTimer.singleShot(0, self._next)
        self._tell()

    def _tell(self) -> None:
        jobs = [*self._waiting, *([self._current] if self._current else [])]
        busy = any(not j.quiet for j in jobs)
        if busy != self._busy:
            self._busy = busy
            self.busy_changed.emit(busy)
