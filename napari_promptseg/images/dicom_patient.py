"""Who the patient is, so that nothing of it comes out again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from napari_promptseg.images.dicom_values import text_of

#: Attributes that name the patient.
PERSONAL = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientNames", "OtherPatientIDs")


def without_patient(text: str, personal: Iterable[str]) -> str:
    """The text on one line; empty if it holds one of the words that say who the patient is."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    folded = line.casefold()
    for word in personal:
        # short words only as a whole, else a patient called Li would cost everyone "spline"
        if (len(word) >= 4 and word in folded) or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", folded):
            return ""
    return line


def personal_words(data: Any) -> frozenset[str]:
    """Lower-case words of the patient's names, identifiers and birth date."""
    text = " ".join(text_of(data, name) for name in PERSONAL)
    return frozenset(w for w in re.split(r"[\s^=,;\\\[\]'\"]+", text.casefold()) if len(w) > 1)
