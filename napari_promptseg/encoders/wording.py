"""Whether a model trained on captions knows a word, judged from its text tower alone.

A model of hundreds of millions of captions has no list of the names it learned. What can be asked is how it reads a
name: one that it knows moves a sentence far from the same sentence with a made-up word, and lies near other things
it knows; one it does not know is broken into many pieces and lands among the made-up words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from napari_promptseg.encoders.encoder import Familiarity

#: Everyday things, parts, materials and kinds of picture: what nearly every caption model has seen.
_COMMON = """
    person man woman child face hand hair eye shirt shoe hat dog cat horse cow sheep bird fish insect butterfly
    elephant bear zebra giraffe monkey mouse chicken flower grass tree leaf forest plant fruit apple banana orange
    bread cake pizza vegetable car bus truck train bicycle motorcycle airplane boat ship road bridge building house
    window door roof wall floor ceiling fence sign light street sidewalk sky cloud sun moon star sea river lake beach
    sand mountain rock snow ice fire smoke table chair sofa bed lamp carpet curtain mirror book paper bottle cup bowl
    plate knife fork spoon computer keyboard screen phone camera television clock bag box ball toy tool wheel engine
    metal wood stone glass water plastic fabric bone skin blood tooth cell nucleus bacteria tissue tumor lesion polyp
    brain heart lung liver kidney spine x-ray microscope field farm crop soil"""
COMMON_NAMES: tuple[str, ...] = tuple(_COMMON.split())

#: Words no caption holds: where a name lands when a model cannot read it.
MADE_UP_NAMES: tuple[str, ...] = ("qzxvk", "wubrifex", "plomtagh", "zzyxoid", "krevantule", "fnarbliq", "ogdusmeth")

_SENTENCE = "a photo of a {}."


class TextEncoder(Protocol):
    """The part of an encoder that is needed here."""

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """``(n, d)``, rows of unit length."""
        ...


def word_familiarity(encoder: TextEncoder, names: Sequence[str]) -> list[tuple[Familiarity, tuple[str, ...]]]:
    """Judge names by where a model's sentences about them lie.

    Parameters
    ----------
    encoder : Encoder
    names : sequence of str

    Returns
    -------
    list of (Familiarity, tuple of str)
        ``"known"`` if the sentence is clearly nearer to one about a common thing than to any about a made-up word,
        ``"related"`` if it is about as near, ``"unknown"`` if a made-up word is clearly nearer; with the three
        nearest common names.

    Notes
    -----
    The margin is in units of the spread that the common names themselves show against the made-up ones, each left
    out in turn, so it needs no scale of the model's own.
    """
    if not names:
        return []
    sentences = [_SENTENCE.format(n) for n in (*COMMON_NAMES, *MADE_UP_NAMES, *names)]
    vectors = encoder.encode_texts(sentences)
    common, rest = vectors[: len(COMMON_NAMES)], vectors[len(COMMON_NAMES) :]
    strange, asked = rest[: len(MADE_UP_NAMES)], rest[len(MADE_UP_NAMES) :]
    among = common @ common.T
    among.fill_diagonal_(-1.0)
    usual = among.max(dim=1).values - (common @ strange.T).max(dim=1).values
    low = float(usual.quantile(0.05))
    near, index = (asked @ common.T).topk(3, dim=1)
    margins = (near[:, 0] - (asked @ strange.T).max(dim=1).values).tolist()
    known = {n.casefold() for n in COMMON_NAMES}
    judged: list[tuple[Familiarity, tuple[str, ...]]] = []
    for name, margin, at in zip(names, margins, index.tolist(), strict=True):
        level: Familiarity = "known" if margin >= max(low, 0.0) or name.casefold() in known else "related"
        if margin < min(low, 0.0) and name.casefold() not in known:
            level = "unknown"
        judged.append((level, tuple(COMMON_NAMES[i] for i in at)))
    return judged
