"""What a header of NRRD or MetaImage must not be, looked at before ITK reads the file.

ITK's parser of NRRD ends the program on a long line that it does not understand, and its reader of MetaImage takes a
place it cannot read for the origin and hands out arbitrary values where packed ones are damaged.
"""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path

from napari_promptseg.errors import InputError

#: Longest field of a NRRD header that is handed to ITK: what it cannot read it quotes, in a buffer of about 1000.
_LONGEST = 600

#: Bytes that a header may take; legends lie in it too.
_HEADER = 2**26

#: Bytes unpacked at a time.
_AT_A_TIME = 2**22

#: Fields of the place that hold a number for each axis, and for each pair of axes.
_OF_AXES = ("ElementSpacing", "Offset", "Position", "Origin")
_OF_PAIRS = ("TransformMatrix", "Orientation", "Rotation")

#: Bytes of a value, by the name of its type without "MET_".
_BYTES = {
    name: size
    for size, names in {
        1: ("CHAR", "UCHAR", "ASCII_CHAR"),
        2: ("SHORT", "USHORT"),
        4: ("INT", "UINT", "LONG", "ULONG", "FLOAT"),
        8: ("LONG_LONG", "ULONG_LONG", "DOUBLE"),
    }.items()
    for name in names
}


def check_nrrd(path: Path) -> None:
    """Refuse a NRRD header that ITK cannot be trusted with.

    Raises
    ------
    InputError
        Saying what is wrong, in words that follow the file's name.
    """
    with path.open("rb") as file:
        magic = file.readline(_LONGEST)
        if not re.match(rb"NRRD000\d\s*$", magic):
            raise InputError("it does not begin as NRRD files do: it is damaged or of another type.")
        for line in iter(lambda: file.readline(_HEADER), b""):
            text = line.decode("utf-8", "replace").strip()
            if not text:
                return
            if text.startswith("#") or ":=" in text:
                continue
            field, _, value = text.partition(":")
            if len(text) > _LONGEST and field != "content":
                raise InputError(f"the line {text[:20]!r} of its header is {len(text)} characters long: it is damaged.")
            if field.replace(" ", "") == "datafile":
                _beside(path, value.strip())


def check_meta(path: Path) -> None:
    """Refuse a MetaImage of whose header or packed values ITK would make something else.

    Raises
    ------
    InputError
        Saying what is wrong, in words that follow the file's name.
    """
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(_HEADER), b""):
            name, *value = (part.strip() for part in re.split("[=:]", line.decode("utf-8", "replace"), maxsplit=1))
            if not value:
                raise InputError(f"the line {name[:20]!r} of its header has no value: it is damaged.")
            fields[name] = value[0]
            if name == "ElementDataFile":
                break
        start = file.tell()
    missing = [name for name in ("NDims", "DimSize", "ElementType", "ElementDataFile") if not fields.get(name)]
    if missing:
        raise InputError(f"its header has no {missing[0]}: it is damaged or of another type.")
    n = int(_numbers(fields, "NDims", 1)[0])
    size = _numbers(fields, "DimSize", n)
    if n < 1 or any(s < 1 or s != int(s) for s in size):
        raise InputError(f"its DimSize is {fields['DimSize'][:40]!r}: it is damaged.")
    due = {**dict.fromkeys(_OF_AXES, n), **dict.fromkeys(_OF_PAIRS, n * n)}
    places = {name: _numbers(fields, name, due[name]) for name in due if name in fields}
    if 0 in places.get("ElementSpacing", ()):
        raise InputError("its ElementSpacing is 0: it does not say how large a voxel is.")
    item = _BYTES.get(fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY"))
    if item is None:
        raise InputError(f"its values are of the type {fields['ElementType'][:30]!r}, which cannot be read.")
    channels = int(_numbers(fields, "ElementNumberOfChannels", 1)[0]) if "ElementNumberOfChannels" in fields else 1
    _check_values(path, fields, start, math.prod(map(int, size)) * item * channels)


def _check_values(path: Path, fields: dict[str, str], start: int, wanted: int) -> None:
    place = fields["ElementDataFile"]
    if place.upper() != "LOCAL":
        data = _beside(path, place)
        if data is None:
            return
        start = 0
    else:
        data = path
    if fields.get("BinaryData", "True").lower().startswith("f"):
        return
    if not fields.get("CompressedData", "False").lower().startswith("t"):
        skipped = int(_numbers(fields, "HeaderSize", 1)[0]) if "HeaderSize" in fields else 0
        if data.stat().st_size - start - max(0, skipped) < wanted:
            raise InputError("it holds fewer values than its header says: it was not copied in full.")
        return
    unpack, found = zlib.decompressobj(wbits=47), 0
    with data.open("rb") as file:
        file.seek(start)
        try:
            while not unpack.eof and (packed := file.read(_AT_A_TIME)):
                found += len(unpack.decompress(packed))
        except zlib.error as error:
            raise InputError("its compressed values are damaged: copy the file again.") from error
    if found < wanted or not unpack.eof:
        raise InputError("it holds fewer values than its header says: it was not copied in full.")


def _beside(path: Path, name: str) -> Path | None:
    """The file of values that a header names; None where it names several."""
    if name.startswith("LIST") or "%" in name:
        return None
    data = path.parent / name
    if len(name) > _LONGEST or not data.is_file():
        raise InputError(f"its values lie in {Path(name).name[:60]!r}, which is not beside it: copy both files.")
    return data


def _numbers(fields: dict[str, str], name: str, n: int) -> list[float]:
    try:
        numbers = [float(word) for word in fields[name].split()]
    except ValueError:
        numbers = []
    if len(numbers) != n or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"its {name} is {fields[name][:40]!r} where {n} {'number is' if n == 1 else 'numbers are'} due."
        )
    return numbers
