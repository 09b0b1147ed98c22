"""The word for a shape: a few tests in order, from the rarest shape to the most common."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from napari_promptseg.concepts.concept import SURE, Attribute
from napari_promptseg.concepts.gradation import Gradation, Scatter
from napari_promptseg.concepts.outline import Outline
from napari_promptseg.concepts.region import Region

RING = Gradation(("", "ring-shaped"), (0.08,), Scatter(0.02, 0.5))
#: Filled area over that of the smallest rectangle around it: a disc has 0.785, a triangle 0.5.
BOX = Gradation(("triangular", "", "rectangular"), (0.62, 0.92), Scatter(0.0195, 0.42))
SOLID = Gradation(("notched", ""), (0.88,), Scatter(0.014, 0.32))
#: Perimeter over that of the hull, of outlines with notches.
ROUGH = Gradation(("smooth", "rough"), (1.18,), Scatter(0.0075, 0.26))
#: Outlines so rough that they are irregular whatever their notches hold.
RAGGED = Gradation(("", "irregular"), (1.3,), Scatter(0.0075, 0.26))
BENT = Gradation(("bent", ""), (0.75,), Scatter(0.014, 0.32))
ASPECT = Gradation(("elongated", "oval", "round"), (0.5, 0.8), Scatter(0.03, 0.89))

#: All shapes that are said.
SHAPE_WORDS = ("round", "oval", "elongated", "rectangular", "triangular", "lobed", "curved", "irregular", "ring-shaped")

#: Share of the notches in one piece from which on a notched shape is bent, not lobed.
_ONE_NOTCH = 0.75
#: A rectangle narrower than this is a line to the eye.
_LINE = 0.25
#: Parts of fewer pixels have a size and a place, but no shape to speak of.
FEWEST_PIXELS = 24
#: Share of the parts that must agree for a word about several.
AGREED = 0.5


def shape_of(outline: Outline) -> tuple[str, float]:
    """Word for one outline, and the chance that every test comes out the same in a second drawing.

    In order: a hole makes a ring; a very rough outline is irregular; one with notches is irregular where it is rough,
    curved where there is one deep notch, else lobed; what fills its rectangle is rectangular, and what fills half of
    it triangular; the rest is round, oval or elongated by its axes.
    """
    d = outline.diameter
    word, chance = RING.judge(outline.hole_share, d)
    if word:
        return word, chance
    word, p = RAGGED.judge(outline.roughness, d)
    chance *= p
    if word:
        return word, chance
    notched, p = SOLID.judge(outline.solidity, d)
    chance *= p
    if notched:
        word, p = _notched(outline)
        return word, chance * p
    word, p = BOX.judge(outline.rectangularity, d)
    line = word == "rectangular" and outline.aspect < _LINE
    if word and not line:
        return word, chance * p
    word, q = ASPECT.judge(outline.aspect, d)
    return word, chance * q if line else chance * p * q


def _notched(outline: Outline) -> tuple[str, float]:
    rough, chance = ROUGH.judge(outline.roughness, outline.diameter)
    if rough == "rough":
        return "irregular", chance
    bent, p = BENT.judge(outline.solidity, outline.diameter)
    return "curved" if bent and outline.largest_notch >= _ONE_NOTCH else "lobed", chance * p


def shape(region: Region) -> Attribute | None:
    """The word that most parts share; None where they are too small or too different.

    The confidence is the share of parts with the word times the mean chance that it is said of each again.
    """
    outlines = [o for o in region.outlines if o.area >= FEWEST_PIXELS]
    if 2 * len(outlines) < len(region.outlines) or not outlines:
        return None
    found: dict[str, list[float]] = defaultdict(list)
    for outline in outlines:
        word, chance = shape_of(outline)
        found[word].append(chance)
    word = max(found, key=lambda w: (len(found[w]), sum(found[w])))
    share = len(found[word]) / len(outlines)
    if share < AGREED:
        return None
    confidence = share * float(np.mean(found[word]))
    middle = [float(np.median([getattr(o, name) for o in outlines])) for name in ("aspect", "solidity", "roughness")]
    unit = "shorter over longer axis; solidity; perimeter over that of the hull"
    return Attribute("shape", word, confidence, tuple(middle), unit, confidence >= SURE)
