"""What a DICOM segmentation says of its segments: numbers, names, colours."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_patient import without_patient
from napari_promptseg.images.dicom_values import integer, text_of, value_of

#: How `dicom_seg` writes down which label a segment was, since segments of the standard are numbered 1, 2, ...
_OWN_LABEL = re.compile(r"napari-promptseg label (\d{1,5})")


@dataclass(frozen=True)
class Segment:
    """One structure.

    Parameters
    ----------
    number : int
        By which the file's frames refer to it.
    value : int
        Of its label.
    name : str
        Without the patient's.
    colour : str
        ``"#rrggbb"``; empty where the file recommends none.
    """

    number: int
    value: int
    name: str
    colour: str = ""


def own_label(value: int) -> str:
    """The description of a segment that says which label it was."""
    return f"napari-promptseg label {value}"


def segments_of(data: Any, personal: Collection[str]) -> tuple[Segment, ...]:
    """The segments in order of their numbers; the background that label maps describe is none.

    Parameters
    ----------
    data : pydicom.Dataset
    personal : collection of str
        Words that say who the patient is: a name that holds one is dropped.

    Raises
    ------
    InputError
        If there is no segment, or two have the same number.
    """
    items = value_of(data, "SegmentSequence") or []
    numbers = [integer(value_of(item, "SegmentNumber")) for item in items]
    found: dict[int, Segment] = {}
    labels: list[int] = []
    for number, item in zip(numbers, items, strict=True):
        if number is None or not 0 <= number <= 65535 or number in found:
            raise InputError("its segments have no numbers of their own; it may be damaged.")
        if number == 0:
            continue
        name = without_patient(text_of(item, "SegmentLabel"), personal) or f"segment {number}"
        found[number] = Segment(number, number, name, _colour(data, item, number))
        own = _OWN_LABEL.fullmatch(text_of(item, "SegmentDescription"))
        labels += [int(own[1])] if own else []
    if not found:
        raise InputError("it describes no segment.")
    in_order = [found[number] for number in sorted(found)]
    by_file = [integer(n) for n in numbers if n]
    if len(set(labels)) == len(found) and 0 not in labels and max(labels) <= 65535:
        values = dict(zip(by_file, labels, strict=True))
        in_order = [replace(s, value=values[s.number]) for s in in_order]
    return tuple(in_order)


def with_undescribed(segments: Iterable[Segment], numbers: Iterable[int]) -> tuple[Segment, ...]:
    """The segments, and one called by its number for every other number that occurs in a label map."""
    known = tuple(segments)
    # a label of its own that no other has
    taken = {s.value for s in known}
    out = list(known)
    for number in sorted(set(numbers) - {s.number for s in known} - {0}):
        value = number if number not in taken else max(taken) + 1
        taken.add(value)
        out.append(Segment(number, value, f"segment {number}"))
    return tuple(sorted(out, key=lambda s: s.number))


def _colour(data: Any, item: Any, number: int) -> str:
    """The colour that the file recommends, in sRGB."""
    stored = value_of(item, "RecommendedDisplayCIELabValue")
    parts = [integer(v) for v in stored] if stored is not None and hasattr(stored, "__len__") else []
    if len(parts) == 3 and all(v is not None and 0 <= v <= 65535 for v in parts):
        return _from_cielab(parts)
    if text_of(data, "PhotometricInterpretation") == "PALETTE COLOR":
        return _from_palette(data, number)
    return ""


def _from_cielab(stored: Any) -> str:
    try:
        from highdicom.color import CIELabColor
    except ImportError as error:
        raise InputError('its colours need highdicom to be read: pip install "napari-promptseg[medical]".') from error
    # what no screen can show comes as near as it can
    red, green, blue = (round(float(v)) for v in CIELabColor.from_dicom_value(tuple(stored)).to_rgb(clip=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _from_palette(data: Any, number: int) -> str:
    from pydicom.pixels import apply_color_lut

    try:
        coloured = np.asarray(apply_color_lut(np.array([[number]], np.uint16), data))[0, 0, :3]
    # a table that is damaged costs the colour only
    except (ValueError, AttributeError, IndexError, KeyError, TypeError):
        return ""
    bits = 16 if coloured.dtype.itemsize > 1 else 8
    red, green, blue = (int(v) >> (bits - 8) for v in coloured)
    return f"#{red:02x}{green:02x}{blue:02x}"
