"""What the user said about single pixels: strokes, each with a class, kept in order and never changed."""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import time
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, OutputError

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

#: How a stroke was made.
StrokeKind = Literal["brush", "erase", "fill", "polygon", "point", "scribble", "edit"]
KINDS: tuple[StrokeKind, ...] = ("brush", "erase", "fill", "polygon", "point", "scribble", "edit")

#: Value of pixels that nobody has spoken about, in `Corrections.painted`.
UNPAINTED = -1

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Stroke:
    """Pixels of one plane that the user gave one class.

    Parameters
    ----------
    plane : int
        Along the first axis of a stack; 0 for a single plane.
    value : int
        Class value; 0 is background.
    corner : tuple of int
        Row and column of the bounding box's first pixel.
    extent : tuple of int
        Rows and columns of the bounding box.
    packed : bytes
        The box's mask, one bit a pixel, deflated.
    kind : StrokeKind
    id : str
        Unique; made when not given.
    time : float
        Seconds since 1970.
    """

    plane: int
    value: int
    corner: tuple[int, int]
    extent: tuple[int, int]
    packed: bytes
    kind: StrokeKind = "brush"
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    time: float = field(default_factory=time.time)

    @classmethod
    def from_mask(
        cls, mask: npt.ArrayLike, value: int, *, plane: int = 0, offset: tuple[int, int] = (0, 0), **keywords: Any
    ) -> Stroke:
        """Keep a ``(y, x)`` boolean mask, whose first pixel lies at `offset` in the plane.

        Raises
        ------
        InputError
            If it has no pixel, or the value or plane is negative.
        """
        full = np.asarray(mask, dtype=bool)
        if full.ndim != 2 or not full.any():
            raise InputError("A stroke needs at least one pixel in a (Y, X) mask.")
        if value < 0 or plane < 0 or min(offset) < 0:
            raise InputError(f"A stroke cannot have the class {value} on plane {plane} at {offset}: 0 or more, please.")
        rows, columns = np.flatnonzero(full.any(axis=1)), np.flatnonzero(full.any(axis=0))
        box = full[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(
            int(plane),
            int(value),
            (int(rows[0]) + int(offset[0]), int(columns[0]) + int(offset[1])),
            (int(box.shape[0]), int(box.shape[1])),
            zlib.compress(np.packbits(box).tobytes(), 1),
            **keywords,
        )

    @classmethod
    def from_pixels(
        cls, rows: npt.ArrayLike, columns: npt.ArrayLike, value: int, *, plane: int = 0, **keywords: Any
    ) -> Stroke:
        """Keep single pixels given by ``(n,)`` rows and columns."""
        y, x = np.asarray(rows, dtype=np.int64).ravel(), np.asarray(columns, dtype=np.int64).ravel()
        if not y.size or y.size != x.size or y.min() < 0 or x.min() < 0:
            raise InputError("A stroke needs as many rows as columns, at least one of each, and none negative.")
        top, left = int(y.min()), int(x.min())
        mask = np.zeros((int(y.max()) - top + 1, int(x.max()) - left + 1), dtype=bool)
        mask[y - top, x - left] = True
        return cls.from_mask(mask, value, plane=plane, offset=(top, left), **keywords)

    @property
    def mask(self) -> Mask:
        """``extent`` boolean mask of the bounding box."""
        n = self.extent[0] * self.extent[1]
        bits = np.unpackbits(np.frombuffer(zlib.decompress(self.packed), dtype=np.uint8), count=n)
        return bits.astype(bool).reshape(self.extent)

    @property
    def pixels(self) -> tuple[Ints, Ints]:
        """Rows and columns in the plane, ``(n,)`` each, in raster order."""
        rows, columns = np.nonzero(self.mask)
        return rows.astype(np.int64) + self.corner[0], columns.astype(np.int64) + self.corner[1]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def fits(self, shape: tuple[int, int]) -> bool:
        """Whether it lies inside a plane of that shape."""
        return self.corner[0] + self.extent[0] <= shape[0] and self.corner[1] + self.extent[1] <= shape[1]

    def to_record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "plane": self.plane,
            "value": self.value,
            "corner": list(self.corner),
            "extent": list(self.extent),
            "packed": base64.b64encode(self.packed).decode("ascii"),
            "kind": self.kind,
            "id": self.id,
            "time": self.time,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Stroke:
        """Read what `to_record` gave; `InputError` if it is damaged."""
        try:
            corner, extent = (tuple(int(n) for n in record[key]) for key in ("corner", "extent"))
            packed = base64.b64decode(record["packed"], validate=True)
            plane, value, kind = int(record["plane"]), int(record["value"]), record["kind"]
            if len(corner) != 2 or len(extent) != 2 or min(*corner, plane, value) < 0 or min(extent) < 1:
                raise ValueError("numbers out of range")
            if kind not in KINDS:
                raise ValueError(f"unknown kind {kind!r}")
            # Not more than the box has room for, whatever a damaged file claims.
            room = -(-extent[0] * extent[1] // 8)
            if len(zlib.decompressobj().decompress(packed, room + 1)) != room:
                raise ValueError("the mask has another size than its box")
            return cls(
                plane,
                value,
                (corner[0], corner[1]),
                (extent[0], extent[1]),
                packed,
                kind,
                str(record["id"]),
                float(record["time"]),
            )
        except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
            raise InputError(f"A saved correction is damaged ({error}) and cannot be read.") from error


@dataclass(frozen=True, eq=False)
class Corrections:
    """Strokes in the order in which they were made; a later one wins where two overlap.

    Every change gives a new object, so that a state can be kept and returned to.
    """

    strokes: tuple[Stroke, ...] = ()

    def __len__(self) -> int:
        return len(self.strokes)

    def __iter__(self) -> Iterator[Stroke]:
        return iter(self.strokes)

    def __contains__(self, stroke_id: object) -> bool:
        return any(s.id == stroke_id for s in self.strokes)

    def with_added(self, strokes: Stroke | Iterable[Stroke]) -> Corrections:
        """Add one or more at the end; one whose id is there already is left out."""
        known = {s.id for s in self.strokes}
        new = []
        for stroke in (strokes,) if isinstance(strokes, Stroke) else strokes:
            if stroke.id not in known:
                known.add(stroke.id)
                new.append(stroke)
        return Corrections((*self.strokes, *new))

    def without(self, *ids: str) -> Corrections:
        """Remove strokes by id; `InputError` for one that is not there."""
        missing = set(ids) - {s.id for s in self.strokes}
        if missing:
            raise InputError(f"There is no stroke {sorted(missing)[0]!r}: it was deleted before.")
        return Corrections(tuple(s for s in self.strokes if s.id not in ids))

    def on_plane(self, plane: int) -> Corrections:
        """Those of one plane."""
        return Corrections(tuple(s for s in self.strokes if s.plane == plane))

    def of_class(self, value: int) -> Corrections:
        """Those of one class value."""
        return Corrections(tuple(s for s in self.strokes if s.value == value))

    @property
    def planes(self) -> tuple[int, ...]:
        """Planes with strokes, in order."""
        return tuple(sorted({s.plane for s in self.strokes}))

    @property
    def values(self) -> tuple[int, ...]:
        """Class values with strokes, in order; 0 is background."""
        return tuple(sorted({s.value for s in self.strokes}))

    def counts(self) -> dict[int, tuple[int, int]]:
        """Per class value, how many strokes and how many pixels (overlaps count twice)."""
        found: dict[int, tuple[int, int]] = {}
        for s in self.strokes:
            strokes, pixels = found.get(s.value, (0, 0))
            found[s.value] = (strokes + 1, pixels + s.size)
        return dict(sorted(found.items()))

    def owners(self, plane: int, shape: tuple[int, int]) -> Ints:
        """``(Y, X)``: index in `strokes` of the one that stands at each pixel, -1 for none."""
        owner = np.full(shape, UNPAINTED, dtype=np.int64)
        for index, s in enumerate(self.strokes):
            if s.plane != plane:
                continue
            if not s.fits(shape):
                raise InputError(
                    f"A stroke reaches to {(s.corner[0] + s.extent[0], s.corner[1] + s.extent[1])} but the image has "
                    f"the size {shape}: the corrections belong to another image."
                )
            rows, columns = s.pixels
            owner[rows, columns] = index
        return owner

    def painted(self, plane: int, shape: tuple[int, int]) -> Ints:
        """``(Y, X)`` class values as the user painted them, `UNPAINTED` elsewhere."""
        owner = self.owners(plane, shape)
        values = np.array([*(s.value for s in self.strokes), UNPAINTED], dtype=np.int64)
        return values[owner]

    def impose(self, labels: npt.NDArray[Any], plane: int) -> npt.NDArray[Any]:
        """A copy of ``(Y, X)`` labels in which the user's own pixels are as painted."""
        out = labels.copy()
        for s in self.strokes:
            if s.plane == plane:
                if not s.fits((labels.shape[0], labels.shape[1])):
                    raise InputError(f"A stroke lies outside the image of size {labels.shape}.")
                out[s.pixels] = s.value
        return out

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all strokes to one ``.npz`` file that holds no pickle: whole or not at all."""
        file = Path(path)
        records = [{k: v for k, v in s.to_record().items() if k != "packed"} for s in self.strokes]
        text = json.dumps({"format": _FORMAT, "strokes": records}).encode("utf-8")
        blob = b"".join(s.packed for s in self.strokes)
        ends = np.cumsum([len(s.packed) for s in self.strokes], dtype=np.int64)
        buffer = io.BytesIO()
        np.savez(buffer, about=np.frombuffer(text, np.uint8), masks=np.frombuffer(blob, np.uint8), ends=ends)
        part = file.with_name(f".{file.name}.part")
        try:
            part.write_bytes(buffer.getvalue())
            part.replace(file)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise OutputError(f"The corrections cannot be written to {str(file)!r} ({error}).") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Corrections:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If the file is missing, truncated, or something else.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as content:
                about = json.loads(content["about"].tobytes().decode("utf-8"))
                blob, ends = content["masks"].tobytes(), content["ends"]
            records: Sequence[Mapping[str, Any]] = about["strokes"]
            if about["format"] != _FORMAT or len(records) != len(ends):
                raise ValueError("another format")
        except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise InputError(f"{str(path)!r} is no readable file of corrections ({error}).") from error
        strokes, start = [], 0
        for record, end in zip(records, ends.tolist(), strict=True):
            packed = base64.b64encode(blob[start:end]).decode("ascii")
            strokes.append(Stroke.from_record({**record, "packed": packed}))
            start = end
        return cls(tuple(strokes))
