"""Whether a model trained on captions knows a word, judged from its text tower alone.

A model of hundreds of millions of captions has no list of the names it learned. What can be asked is how it reads a
name: one that it knows moves a sentence far from the same sentence with a made-up word, and lies near other things
it knows; one it does not know is broken into many pieces and lands among the made-up words.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import torch

from napari_promptseg.encoders.encoder import Familiarity

#: Everyday things, parts, materials and kinds of picture: what nearly every caption model has seen.
_COMMON = """
    person man woman child face hand hair shirt shoe hat dog cat horse cow sheep bird fish insect butterfly elephant
    flower grass tree leaf forest plant fruit apple bread pizza vegetable car bus truck train bicycle airplane boat road
    bridge building window door roof wall floor fence sign light sky cloud sun moon sea beach sand mountain rock snow
    fire table chair sofa bed lamp curtain book paper bottle cup bowl knife computer phone camera clock bag ball wheel
    metal wood glass water plastic skin blood tooth cell nucleus bacteria tissue tumor lesion polyp brain heart lung
    liver bone x-ray field crop soil"""
COMMON_NAMES: tuple[str, ...] = tuple(_COMMON.split())

#: Words no caption holds: where a name lands when a model cannot read it.
MADE_UP_NAMES: tuple[str, ...] = ("qzxvk", "wubrifex", "plomtagh", "zzyxoid", "krevantule", "fnarbliq", "ogdusmeth")

_SENTENCE = "a photo of a {}."

_MOST_MODELS = 8
_kept: dict[str, torch.Tensor] = {}
_lock = threading.Lock()


class TextEncoder(Protocol):
    """The part of an encoder that is needed here."""

    fingerprint: str

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
    common, strange = _landmarks(encoder)
    asked = encoder.encode_texts([_SENTENCE.format(n) for n in names])
    common, strange = common.to(asked), strange.to(asked)
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


def _landmarks(encoder: TextEncoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of the common and the made-up names, encoded once per model."""
    with _lock:
        found = _kept.get(encoder.fingerprint)
    if found is None:
        found = encoder.encode_texts([_SENTENCE.format(n) for n in (*COMMON_NAMES, *MADE_UP_NAMES)]).detach()
        with _lock:
            _kept[encoder.fingerprint] = found
            while len(_kept) > _MOST_MODELS:
                del _kept[next(iter(_kept))]
    return found[: len(COMMON_NAMES)], found[len(COMMON_NAMES) :]
