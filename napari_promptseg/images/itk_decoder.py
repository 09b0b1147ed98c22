"""ITK's decoders of compressed DICOM in a process of their own.

The one for lossless JPEG ends the process on some damaged files; the user's work must not go with it. Run as a program
this module is that process: it reads a file's name as a line of JSON, leaves the values beside the file and answers
with a line.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Seconds after which a decoder that does not answer is stopped.
_PATIENCE = 120.0


class ItkDecoder:
    """Stored values of DICOM files, read by ITK elsewhere; one process for as many files as are read."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def decode(self, path: Path) -> npt.NDArray[Any]:
        """Values of a file; a file ending in ``.npy`` is left beside it.

        Raises
        ------
        ValueError
            If ITK cannot read it, or ended over it.
        """
        with self._lock:
            answer = self._ask(path)
            if answer != "done":
                raise ValueError(answer or "the decoder ended over it")
            return np.asarray(np.load(_beside(path), allow_pickle=False))

    def close(self) -> None:
        """End the process; the next file starts another."""
        child, self._child = self._child, None
        if child is None or self._owner != os.getpid():
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # a line that nobody reads any more
                    pipe.close()
        # it waits for nothing but a line
        child.kill()
        child.wait()

    def _ask(self, path: Path) -> str:
        """What the process says to a file; nothing where it has ended."""
        child = self._running()
        assert child.stdin is not None  # both are pipes
        assert child.stdout is not None
        watch = threading.Timer(_PATIENCE, child.kill)
        watch.start()
        try:
            child.stdin.write(json.dumps(str(path)).encode() + b"\n")
            child.stdin.flush()
            answer = child.stdout.readline()
        except OSError:  # it has ended
            answer = b""
        finally:
            watch.cancel()
        if not answer:
            self.close()
        return answer.decode("utf-8", "replace").strip()

    def _running(self) -> subprocess.Popen[bytes]:
        # a process that was forked from this one must not write into the same pipe
        if self._child is None or self._owner != os.getpid():
            self._child = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            self._owner = os.getpid()
        return self._child


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.npy")


def _serve() -> None:
    import SimpleITK

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # ITK's own words are no answers
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    for line in sys.stdin:
        path = Path(json.loads(line))
        reader.SetFileName(str(path))
        try:
            np.save(_beside(path), SimpleITK.GetArrayFromImage(reader.Execute()))
            answer = "done"
        except (RuntimeError, OSError, MemoryError) as error:
            answer = " ".join(str(error).split())[-200:] or type(error).__name__
        print(answer, file=answers, flush=True)


#: Used by all readers of this process.
DECODER = ItkDecoder()
atexit.register(DECODER.close)

if __name__ == "__main__":
    _serve()
