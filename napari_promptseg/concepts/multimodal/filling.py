"""From a measured concept to a filled one: a larger model's words where they are usable, measured ones elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy.typing as npt

from napari_promptseg.concepts.concept import ATTRIBUTES, SURE, Attribute, Candidate, Concept
from napari_promptseg.concepts.measured import reconcile
from napari_promptseg.concepts.multimodal.crop import crop_region
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.concepts.multimodal.reply import Reply, UnusableReplyError, read_reply
from napari_promptseg.concepts.multimodal.teller import NoAnswerError, Teller
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent

#: Attributes that are offered but not in the sentence unless the user takes them in, as when they are measured.
_OFFERED = frozenset({"texture", "contrast", "margin"})


@dataclass(frozen=True)
class Filled:
    """What came of asking.

    Parameters
    ----------
    concept : Concept
        Filled, or as it was.
    answered : bool
        Whether anything of a reply was used.
    sentence : str
        What was taken from the model and why the rest was not, for the user.
    """

    concept: Concept
    answered: bool
    sentence: str


@dataclass(frozen=True)
class Asked:
    """What a model said about a region, ready for any concept of that region.

    Parameters
    ----------
    model : str
    reply : Reply or None
        None where there is none that can be used.
    failure : str
        Why not, in one sentence; empty where there is one.
    """

    model: str
    reply: Reply | None
    failure: str = ""

    def fill(self, concept: Concept) -> Filled:
        """The concept with the model's words and names, or as it was; either way with one sentence about it."""
        if self.reply is None:
            return Filled(replace(concept, notices=(*concept.notices, self.failure)), False, self.failure)
        return fill(concept, self.reply, self.model)


def ask_about(
    teller: Teller,
    stack: ImageStack,
    mask: npt.ArrayLike,
    *,
    plane: int = 0,
    modality: int = 0,
    grey: bool = False,
    hidden: bool = False,
    progress: Progress = silent,
) -> Asked:
    """Ask a larger model about a region.

    Parameters
    ----------
    teller : Teller
        `Endpoint` or `LocalModel`.
    stack : ImageStack
    mask : array-like
        ``(Y, X)`` of the plane.
    plane, modality : int
    grey : bool
        Whether the picture has no colours of its own, so that none is asked for: see `is_grey_concept`.
    hidden : bool
        Send the region alone, black around it.
    progress : Progress

    Returns
    -------
    Asked
        A model that fails in any way gives a sentence that says so, no error.

    Raises
    ------
    InputError
        If the mask is no region, or nothing may be sent to that address.
    ModelError
        If something must be installed, or the folder holds no model.
    CancelledError
        If the listener says so.
    """
    crop = crop_region(stack, mask, plane=plane, modality=modality, hidden=hidden)
    question = Question.about(grey=grey, hidden=hidden)
    try:
        return Asked(teller.name, read_reply(teller.ask(crop, question, progress), question))
    except NoAnswerError as error:
        failure = str(error)
    except UnusableReplyError as error:
        failure = f"replied with {error}"
    return Asked(teller.name, None, f"The model {teller.name} {failure}; the words are measured from the pixels.")


def is_grey_concept(concept: Concept) -> bool:
    """Whether the pixels of a measured concept showed no colour."""
    return "colour" in concept.left_out


def fill(concept: Concept, reply: Reply, model: str) -> Filled:
    """Put the words and names of a reply into a concept.

    A word replaces the measured one if the model states at least `SURE` for it. Words that the user wrote stay, and so
    does a sentence of theirs.

    Parameters
    ----------
    concept : Concept
        As measured, see `describe_region`, with or without edits of the user.
    reply : Reply
    model : str
        Becomes the source of what it fills.
    """
    said = {a.kind: a for a in concept.attributes}
    kept = dict(reply.refused)
    taken: list[str] = []
    for kind, words in reply.words.items():
        before = said.get(kind)
        if before is not None and _is_users(before):
            kept[kind] = "you wrote it"
        elif words.confidence < SURE and before is not None:
            kept[kind] = f"the model is not sure of {words.word!r}"
        else:
            taken.append(kind)
            said[kind] = _filled(kind, words.word, words.confidence, before, model)
    left_out = {k: why for k, why in concept.left_out.items() if k not in said}
    reconcile(said, left_out)
    offered = {c.name.casefold(): c for c in concept.candidates}
    names = tuple(
        Candidate(n.word, n.confidence, offered[key].familiarity if key in offered else "unknown", model)
        for n in reply.names
        for key in [n.word.casefold()]
    )
    others = tuple(c for key, c in offered.items() if key not in {n.name.casefold() for n in names})
    sentence = _summary(model, [k for k in ATTRIBUTES if k in taken and k in said], bool(names), kept, said)
    filled = replace(
        concept,
        attributes=tuple(said[k] for k in ATTRIBUTES if k in said),
        candidates=names + others,
        left_out=left_out,
        image_kind=concept.image_kind or reply.image_kind,
        notices=(*concept.notices, sentence),
    )
    return Filled(filled, True, sentence)


def _filled(kind: str, word: str, confidence: float, before: Attribute | None, model: str) -> Attribute:
    enabled = confidence >= SURE and kind not in _OFFERED
    if before is None:
        return Attribute(kind, word, confidence, unit="the model's own statement", enabled=enabled, source=model)
    differs = before.measured and before.word != word
    unit = "the model's own statement" + (f"; measured: {before.word}" if differs else "")
    # a word that the user took in or out stays so
    shown = before.enabled if before.word == word or kind in _OFFERED else enabled
    return Attribute(kind, word, confidence, unit=unit, enabled=shown, source=model)


def _is_users(attribute: Attribute) -> bool:
    """Words of the user have neither figures nor a source."""
    return not attribute.measured and not attribute.source


def _summary(model: str, taken: list[str], names: bool, kept: Mapping[str, str], said: Mapping[str, Attribute]) -> str:
    """One sentence: what the model filled, and what stayed as measured and why."""
    filled = [*taken, *(["names"] if names else [])]
    text = f"The model {model} filled {_listed(filled)}" if filled else f"The model {model} filled nothing"
    rest = [f"{k} ({why})" for k, why in kept.items()]
    if rest:
        text += f"; measured words stay, where there are any, for {_listed(rest)}"
    untold = [k for k in ("size", "location") if k in said]
    if untold:
        text += f"; {_listed(untold)} {'are' if len(untold) > 1 else 'is'} always measured"
    return text + "."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
