"""One line of progress on a terminal, and plain lines where there is none."""

from __future__ import annotations

import os
import shutil
import time
import unicodedata
from types import TracebackType
from typing import TextIO

from napari_promptseg.progress import Progress


class ProgressLine:
    """Shows what is being done on one line that is written over; messages stay above it.

    Where the stream is no terminal (a log file) nothing is written over: a line of progress appears every ten
    seconds at most.
    """

    #: Seconds between lines of progress in a log.
    patience = 10.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False
        self._last = float("-inf")

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def show(self, text: str) -> None:
        """Replace the line."""
        if self._live:
            room = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{_fitting(text, room)}")
            self._stream.flush()
            self._shown = True
        elif time.monotonic() - self._last >= self.patience:
            self._last = time.monotonic()
            print(text, file=self._stream, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False

    def say(self, text: str) -> None:
        """Write a message that stays."""
        self.clear()
        print(text, file=self._stream, flush=True)

    def listener(self, what: str) -> Progress:
        """A listener that shows the steps of one piece of work."""

        def listen(done: int, total: int, description: str) -> None:
            self.show(f"{what}: {description}")

        return listen


def _fitting(text: str, room: int) -> str:
    """The beginning of a text that fits in `room` columns; East Asian letters take two."""
    taken = 0
    for i, letter in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if taken > room:
            return text[:i]
    return text
