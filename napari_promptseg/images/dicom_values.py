"""Values of DICOM headers, read however they are written: one that makes no sense counts as absent."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from typing import Any

from napari_promptseg.errors import InputError


class _HeldBack:
    """pydicom's log, silent as long as someone wants it so: several threads may at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._level = logging.NOTSET

    def __enter__(self) -> None:
        logger = logging.getLogger("pydicom")
        with self._lock:
            if not self._wanted:
                self._level = logger.level
                logger.setLevel(logging.CRITICAL + 1)
            self._wanted += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                logging.getLogger("pydicom").setLevel(self._level)


_HELD_BACK = _HeldBack()


@contextmanager
def quiet() -> Iterator[None]:
    """Without what pydicom warns of and logs about headers and pixels that break the standard.

    It quotes the header, names and all, and logs failed decoders with their tracebacks; ours are sentences.
    """
    with warnings.catch_warnings(), _HELD_BACK:
        warnings.simplefilter("ignore")
        yield


def pydicom_module() -> Any:
    """The library that reads DICOM.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise InputError('To read DICOM pydicom is needed: pip install "napari-promptseg[medical]".') from error
    return pydicom


def value_of(data: Any, name: str) -> Any:
    """An attribute, or None where it is absent or so written that it has no value: others may still be good."""
    try:
        return data.get(name)
    except (ValueError, TypeError, OverflowError, NotImplementedError):
        return None


def text_of(data: Any, name: str) -> str:
    """An attribute as text; empty where there is none."""
    value = value_of(data, name)
    if value is None:
        return ""
    # several where one is due
    return ", ".join(map(str, value)).strip() if isinstance(value, MutableSequence) else str(value).strip()


def number(value: Any, *, least: float = 0.0, most: float = 1e30) -> float | None:
    """A number no nearer to 0 than `least` and no farther than `most`; None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if least <= abs(found) <= most else None


def integer(value: Any) -> int | None:
    """A number without what follows its point."""
    found = number(value)
    return None if found is None else int(found)


def numbers(value: Any, n: int, *, least: float = 0.0, most: float = 1e30) -> tuple[float, ...]:
    """That many numbers within the same bounds, or none."""
    if value is None or isinstance(value, str) or not hasattr(value, "__len__") or len(value) != n:
        return ()
    found = tuple(one for one in (number(v, least=least, most=most) for v in value) if one is not None)
    return found if len(found) == n else ()


def at_right_angles(orientation: tuple[float, ...]) -> bool:
    """Whether the directions of a row and of a column, three numbers each, are such, as nearly as headers round."""
    row, column = orientation[:3], orientation[3:]
    lengths = [math.sqrt(sum(v * v for v in axis)) for axis in (row, column)]
    return max(abs(n - 1) for n in lengths) < 0.01 and abs(sum(a * b for a, b in zip(row, column, strict=True))) < 0.01
