"""Corrections that survive a killed process: every change is one line, written before anything else happens.

A journal is a text file per image and process. A line is a checksum and a JSON value; a line that was cut short by
a kill is recognised by its checksum and left out, so at most the stroke in flight is lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.learning.corrections import Corrections, Stroke

_FORMAT = 1
_SUFFIX = ".strokes"

#: A journal that has grown beyond this and is mostly about strokes no longer there is written anew.
COMPACT_BYTES = 1 << 20

#: What all journals of a folder may take together; the oldest of closed processes go first.
FOLDER_BYTES = 256 << 20


@dataclass(frozen=True)
class Recoverable:
    """A journal that a process left behind.

    Parameters
    ----------
    path : Path
    key : str
        Image identity it was kept for.
    title : str
        For the user, for example the layer's name.
    corrections : Corrections
    time : float
        When it was last written, in seconds since 1970.
    damaged : int
        Lines that could not be read.
    """

    path: Path
    key: str
    title: str
    corrections: Corrections
    time: float
    damaged: int


class Journal:
    """Append-only record of one image's corrections.

    Parameters
    ----------
    folder : path
        Made when the first line is written.
    key : str
        Identity of the image, for example a hash of its content and name.
    title : str
        Shown when recovery is offered.

    Notes
    -----
    A line is handed to the operating system before the call returns, which outlives ``kill -9``; `sync` also waits for
    the disk, which outlives a power cut and costs some milliseconds per stroke.
    """

    def __init__(self, folder: str | os.PathLike[str], key: str, *, title: str = "", sync: bool = False) -> None:
        self.folder = Path(folder)
        self.key = key
        self.title = title
        self.sync = sync
        self.path = self.folder / f"{_digest(key)}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
        self._file: IO[bytes] | None = None
        self._strokes: dict[str, Stroke] = {}

    @property
    def corrections(self) -> Corrections:
        """As recorded."""
        return Corrections(tuple(self._strokes.values()))

    def record(self, corrections: Corrections) -> None:
        """Write down how the corrections differ from what was recorded before: strokes added, removed or reordered.

        Raises
        ------
        OutputError
            If the folder cannot be written; what was recorded before stays.
        """
        new = {s.id: s for s in corrections}
        gone = [i for i in self._strokes if i not in new]
        kept = [i for i in self._strokes if i in new]
        added = [s for i, s in new.items() if i not in self._strokes]
        if not gone and not added and kept == list(new):
            return
        lines: list[dict[str, Any]] = [{"remove": gone}] if gone else []
        lines += [{"add": s.to_record()} for s in added]
        if [*kept, *(s.id for s in added)] != list(new):
            lines.append({"order": list(new)})
        self._append(lines)
        self._strokes = new
        self._compact()

    def close(self, *, discard: bool = False) -> None:
        """Stop writing; with `discard`, or where no stroke is left, remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if discard or not self._strokes:
            self.path.unlink(missing_ok=True)

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                bound_folder(self.folder)
                self._file = self.path.open("ab", buffering=0)
                _hold(self._file)
                self._write([self._header(), *({"add": s.to_record()} for s in self._strokes.values())])
            self._write(lines)
        except OSError as error:
            raise OutputError(
                f"The corrections cannot be kept safe in {str(self.folder)!r} ({error}): "
                "free some disk space or choose another folder in the settings."
            ) from error

    def _write(self, lines: Iterable[Mapping[str, Any]]) -> None:
        file = self._file
        if file is None:
            raise OutputError("The journal of corrections is closed.")
        # The line end in front closes a line that a full disk cut short, so that it does not swallow the next one.
        data = memoryview(b"\n" + b"".join(_line(line) for line in lines))
        while data:
            data = data[file.write(data) :]
        if self.sync:
            os.fsync(file.fileno())

    def _header(self) -> dict[str, Any]:
        return {"format": _FORMAT, "key": self.key, "title": self.title, "time": time.time()}

    def _compact(self) -> None:
        """Write the file anew where most of it is about strokes that are gone."""
        if self._file is None or self._file.tell() < COMPACT_BYTES:
            return
        lines = b"".join(
            _line(line) for line in [self._header(), *({"add": s.to_record()} for s in self._strokes.values())]
        )
        if len(lines) * 2 > self._file.tell():
            return
        part = self.path.with_suffix(".part")
        try:
            part.write_bytes(lines)
            self._file.close()
            part.replace(self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"The journal of corrections cannot be written anew ({error}).") from error
        finally:
            self._file = self.path.open("ab", buffering=0)
            _hold(self._file)


def recover(folder: str | os.PathLike[str], key: str | None = None) -> list[Recoverable]:
    """Journals that processes no longer running have left, newest first.

    Parameters
    ----------
    folder : path
    key : str, optional
        Only those of this image.

    Notes
    -----
    Adopt one by recording its corrections in a new `Journal`, then delete it with `forget`. Files without a stroke, and
    files that another process writes at the moment, are left out.
    """
    pattern = f"{_digest(key)}-*{_SUFFIX}" if key is not None else f"*{_SUFFIX}"
    found = []
    for path in Path(folder).glob(pattern):
        try:
            if _is_held(path):
                continue
            read = read_journal(path)
        except (OSError, InputError):
            # Gone in the meantime, or not a journal: nothing that could be offered.
            continue
        if len(read.corrections) and (key is None or read.key == key):
            found.append(read)
    return sorted(found, key=lambda r: r.time, reverse=True)


def forget(left: Recoverable) -> None:
    """Delete a journal that was adopted or declined."""
    left.path.unlink(missing_ok=True)


def read_journal(path: Path) -> Recoverable:
    """Read one file; damaged lines are counted and left out, `InputError` if it is no journal."""
    strokes: dict[str, Stroke] = {}
    header: dict[str, Any] | None = None
    damaged = 0
    for raw in path.read_bytes().split(b"\n"):
        if not raw:
            continue
        try:
            line = _content(raw)
            if header is None:
                if line.get("format") != _FORMAT:
                    raise InputError(f"{path.name!r} is no journal of corrections that this version can read.")
                header = line
            elif "add" in line:
                stroke = Stroke.from_record(line["add"])
                strokes[stroke.id] = stroke
            elif "remove" in line:
                for stroke_id in line["remove"]:
                    strokes.pop(stroke_id, None)
            elif "order" in line:
                strokes = {i: strokes[i] for i in [*line["order"], *strokes] if i in strokes}
        except (ValueError, TypeError, AttributeError) as error:
            if header is None:
                raise InputError(f"{path.name!r} is no journal of corrections ({error}).") from error
            damaged += 1
    if header is None:
        raise InputError(f"{path.name!r} is empty.")
    corrections = Corrections(tuple(strokes.values()))
    return Recoverable(path, header["key"], header["title"], corrections, path.stat().st_mtime, damaged)


def bound_folder(folder: Path, limit: int = FOLDER_BYTES) -> None:
    """Delete the oldest journals that no process writes until the folder is within its limit."""
    files = []
    for path in folder.glob(f"*{_SUFFIX}"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        files.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= limit:
            return
        if not _is_held(path):
            path.unlink(missing_ok=True)
            total -= size


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8")).hexdigest()[:24]


def _line(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode("utf-8")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _content(raw: bytes) -> dict[str, Any]:
    checksum, _, text = raw.partition(b" ")
    if int(checksum, 16) != zlib.crc32(text):
        raise ValueError("checksum")
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


if sys.platform == "win32":

    def _hold(file: IO[bytes]) -> None:
        """Nothing to do: Windows refuses to rename or delete a file that is open."""

    def _is_held(path: Path) -> bool:
        """Whether a process has it open, which there makes renaming fail."""
        try:
            path.rename(path)
        except PermissionError:
            return True
        return False

else:
    import fcntl

    def _hold(file: IO[bytes]) -> None:
        """Mark the file as being written for as long as this process keeps it open."""
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_held(path: Path) -> bool:
        """Whether a process, this one included, has it open for writing."""
        with path.open("rb") as file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
