"""How many, and how large: the words for number and size."""

from __future__ import annotations

import math

import numpy as np

from napari_promptseg.concepts.concept import SURE, Attribute
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.region import SPECK, Region

#: From so many parts on the words "several" and "many" are used.
SEVERAL, MANY = 3, 10

#: Shares of the picture's area.
SIZES = Gradation(
    words=("tiny", "small", "medium-sized", "large"),
    borders=(0.0025, 0.05, 0.2),
    scatter=Scatter(0.073, 1.61),
    scale=math.log2,
)

#: Readings that a second person might make: a part counts from this share of the largest on.
_OTHER_SPECKS = (SPECK, 0.03, 0.05, 0.1)


def number_word(count: int) -> str:
    """``"one"``, ``"two"``, ``"several"`` (3 to 9) or ``"many"``."""
    return "one" if count == 1 else "two" if count == 2 else "several" if count < MANY else "many"


def number(region: Region) -> Attribute:
    """Count the parts.

    The confidence is the share of stricter readings, in which parts of up to a tenth of the largest are specks, that
    give the same word.
    """
    word = number_word(region.n_parts)
    largest = region.areas.max()
    counts = [int(np.count_nonzero(region.areas >= share * largest)) for share in _OTHER_SPECKS]
    agreed = sum(number_word(max(c, 1)) == word for c in counts) / len(counts)
    return Attribute("number", word, agreed, (float(region.n_parts),), "parts", agreed >= SURE)


def size(region: Region) -> Attribute:
    """Area of a typical part as a share of the picture."""
    share = region.typical_area / math.prod(region.plane_shape)
    word, confidence = SIZES.judge(share, region.diameter)
    return Attribute("size", word, confidence, (share,), "share of the image's area, typical part", confidence >= SURE)
