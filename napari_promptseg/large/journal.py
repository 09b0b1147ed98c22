"""What of a large picture is finished: one line per block, on the disk before the next is begun.

The file grows at its end only and every line is brought to the disk before the writer goes on, after the block's own
data. A line that a kill cut short is no line, so a block counts as finished only if both its data and its line are
whole. The first line says which job it belongs to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from napari_promptseg.errors import InputError, OutputError

#: Written into the first line; a journal with a higher one was made by a newer release.
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """What is known of a finished block.

    Parameters
    ----------
    block : int
        Its number in the plan.
    counts : dict of int to int
        Label value to number of pixels.
    seconds : float
        Working time.
    worker : str
        Who made it: a process id, or a worker's address.
    """

    block: int
    counts: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""


class Journal:
    """The journal of one output, opened for writing further lines.

    Parameters
    ----------
    path : pathlib.Path
    job : str
        Digest of the job.
    anew : bool
        Forget what it says; a program that writes it at this moment is not disturbed.

    Raises
    ------
    InputError
        If the file belongs to another job, or is no journal.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path, job: str, *, anew: bool = False) -> None:
        self.path, self.job = path, job
        self.facts: dict[str, Any] = {}
        self.finished: dict[int, Entry] = {}
        #: Lines of blocks that are in the file twice; none unless two programs wrote at once.
        self.repeated = 0
        try:
            # unbuffered: what the disk refused must not be tried again when the file is closed
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise OutputError(f"The journal {path} cannot be written ({error.strerror or error}).") from error
        try:
            _lock(self._file, path)
            if anew:
                self._file.truncate(0)
            self._read()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_new(self) -> bool:
        """Whether nothing has been written yet."""
        return not self.facts

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write the first line.

        Parameters
        ----------
        facts : mapping
            Plain values that tell a reader what the job is.
        """
        self.facts = {"journal": VERSION, "job": self.job, **facts}
        self._append(self.facts)

    def record(self, entry: Entry) -> None:
        """Say that a block is finished, once its data are on the disk.

        Raises
        ------
        OutputError
            If the line cannot be written; then the block counts as unfinished.
        """
        counts = {str(value): count for value, count in sorted(entry.counts.items())}
        line = {"block": entry.block, "counts": counts, "seconds": round(entry.seconds, 3), "worker": entry.worker}
        self._append(line)
        self._take(entry)

    def close(self) -> None:
        """Close the file; what was recorded stays."""
        self._file.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            left = json.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(
                f"The journal {self.path} cannot be written ({error.strerror or error}): make room and run it again."
            ) from error

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            # the end of a line that was being written when its program was killed
            self._file.truncate(len(whole))
        lines = _lines(whole, self.path)
        if not lines:
            return
        first = lines[0]
        if not isinstance(first, dict) or "journal" not in first:
            raise InputError(f"{self.path.name!r} is no journal of labels: move it away, or choose another folder.")
        if int(first["journal"]) > VERSION:
            raise InputError(f"{self.path.name!r} was written by a newer release: update napari-promptseg.")
        if first.get("job") != self.job:
            raise InputError(
                f"{self.path.name!r} belongs to labels made from another picture, other prompts or settings: "
                "pass --overwrite to begin anew, or choose another folder."
            )
        self.facts = first
        for line in lines[1:]:
            counts = {int(value): int(count) for value, count in line["counts"].items()}
            self._take(Entry(int(line["block"]), counts, float(line["seconds"]), str(line["worker"])))

    def _take(self, entry: Entry) -> None:
        self.repeated += entry.block in self.finished
        self.finished[entry.block] = entry


def _lines(content: bytes, path: Path) -> list[Any]:
    """What the lines say; where one is no JSON, the file was changed by something else."""
    try:
        return [json.loads(line) for line in content.split(b"\n") if line]
    except ValueError as error:
        raise InputError(
            f"The journal {path.name!r} is damaged: pass --overwrite to begin anew, or choose another folder."
        ) from error


def _lock(file: Any, path: Path) -> None:
    """Keep a second program from writing the same labels; where the system has no such locks, go on without."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(f"Another program is writing the labels beside {path.name!r}: wait for it to end.") from error
    except OSError:
        return  # a network folder without locks
