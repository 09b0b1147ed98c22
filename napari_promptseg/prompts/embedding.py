"""From words to vectors: what each class of a prompt set is in a model's joint space."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.prompts.multiview import apply_learned, learned_background
from napari_promptseg.prompts.prompt_set import ClassPrompt, ImageKind, PromptSet
from napari_promptseg.prompts.templates import sentences

#: How much sentences of drawn regions weigh beside a class's texts. A sentence speaks of one region and drifts from
#: what its words share with others: with equal weights a known name loses (nuclei: Dice .85 with the name, .67 with one
#: region's sentence at equal weight, .85 at this one; `benchmarks/roi.py`).
SENTENCE_SHARE = 0.2

#: Sentences remembered; at 1024 numbers each about 80 MB at most.
MOST_SENTENCES = 20_000


@dataclass(frozen=True, eq=False)
class EmbeddedPrompts:
    """Vectors of a prompt set.

    Parameters
    ----------
    class_vectors : list of torch.Tensor
        Per class in order ``(m, d)``, rows of unit length: one row where synonyms are averaged, one per text where
        the best score counts.
    background : torch.Tensor
        ``(b, d)``, one row per background word; b may be 0.
    fingerprint : str
        Of the encoder.
    """

    class_vectors: list[torch.Tensor]
    background: torch.Tensor
    fingerprint: str


class SentenceMemory:
    """Embedded sentences by encoder and text, so that an edited class costs one call of the text tower."""

    def __init__(self, most: int = MOST_SENTENCES) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[str, str], torch.Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def embed(self, encoder: Encoder, texts: Sequence[str]) -> torch.Tensor:
        """``(n, d)`` unit rows on the encoder's device; those not remembered are encoded in one call."""
        wanted = list(dict.fromkeys(texts))
        with self._lock:
            found = {t: v for t in wanted if (v := self._kept.get((encoder.fingerprint, t))) is not None}
        missing = [t for t in wanted if t not in found]
        if missing:
            found.update(zip(missing, encoder.encode_texts(missing).detach().cpu(), strict=True))
        with self._lock:
            for text in wanted:
                self._kept[encoder.fingerprint, text] = found[text]
                self._kept.move_to_end((encoder.fingerprint, text))
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        if not texts:
            return torch.zeros(0, encoder.embedding_dim, device=encoder.device)
        return torch.stack([found[t] for t in texts]).to(encoder.device)

    def clear(self) -> None:
        """Forget all sentences."""
        with self._lock:
            self._kept.clear()


_memory = SentenceMemory()


def embed_prompts(encoder: Encoder, prompts: PromptSet, *, memory: SentenceMemory | None = None) -> EmbeddedPrompts:
    """Embed the classes and background words of a prompt set.

    Parameters
    ----------
    encoder : Encoder
        One that has ``preferred_templates`` (the embedded model) is asked with those; others with the templates of
        the picture's kind.
    prompts : PromptSet
        With ``pooling="mean"`` a class is the mean over its texts and their sentences; with ``"max"`` its texts stay
        apart and each is the mean over its sentences. Sentences of drawn regions (`ClassPrompt.sentences`) are asked
        for as they stand; in the mean they share the weight `SENTENCE_SHARE`. Means are brought back to unit length.
        A tuned class is the mean over its learned views, as long as learning left it.
    memory : SentenceMemory, optional
        A shared one where not given.

    Raises
    ------
    InputError
        If a name is empty.
    """
    memory = memory or _memory
    kind = prompts.image_kind
    filled = [[asked for _, asked in class_questions(encoder, c, kind)] for c in prompts.classes]
    filled.append([class_sentences(encoder, word, kind) for word in prompts.background])
    vectors = iter(memory.embed(encoder, [s for group in filled for text in group for s in text]))
    pooled = []
    for group in filled:
        rows = [functional.normalize(torch.stack([next(vectors) for _ in text]).mean(dim=0), dim=0) for text in group]
        pooled.append(torch.stack(rows) if rows else torch.zeros(0, encoder.embedding_dim, device=encoder.device))
    classes = pooled[:-1]
    if prompts.pooling == "mean":
        classes = [_averaged(rows, len(c.texts)) for rows, c in zip(classes, prompts.classes, strict=True)]
    return EmbeddedPrompts(
        apply_learned(prompts, classes), learned_background(prompts, pooled[-1]), encoder.fingerprint
    )


def _averaged(rows: torch.Tensor, n_texts: int) -> torch.Tensor:
    """One row of unit length from those of a class: its texts, then its sentences."""
    mean = functional.normalize(rows[:n_texts].mean(dim=0, keepdim=True), dim=1)
    if len(rows) == n_texts:
        return mean
    said = functional.normalize(rows[n_texts:].mean(dim=0, keepdim=True), dim=1)
    return functional.normalize((1 - SENTENCE_SHARE) * mean + SENTENCE_SHARE * said, dim=1)


def class_sentences(encoder: Encoder, text: str, image_kind: ImageKind) -> list[str]:
    """The sentences by which an encoder is asked for one text."""
    preferred: Sequence[str] | None = getattr(encoder, "preferred_templates", None)
    usual = sentences(text, image_kind)  # also refuses an empty text
    return usual if preferred is None else [t.replace("{}", " ".join(text.split())) for t in preferred]


def class_questions(encoder: Encoder, c: ClassPrompt, image_kind: ImageKind) -> list[tuple[str, list[str]]]:
    """Every text of a class with the sentences it is asked by; sentences of drawn regions stand for themselves."""
    named = [(text, class_sentences(encoder, text, image_kind)) for text in c.texts]
    return named + [(text, [text]) for text in c.sentences]
