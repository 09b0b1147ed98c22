"""What a first description would wait for, done ahead: the names of the vocabularies in the model's joint space."""

from __future__ import annotations

from collections.abc import Mapping

from napari_promptseg.concepts.vocabulary import Vocabulary, vocabularies
from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.prompt_set import ClassPrompt, ImageKind, PromptSet

#: Names per call of the text tower, so that it can be stopped between calls.
_AT_ONCE = 32


def prepare_names(
    encoder: Encoder, words: Mapping[ImageKind, Vocabulary] | None = None, *, progress: Progress = silent
) -> int:
    """Embed the names that `describe_region` ranks, for every kind of picture; they are remembered with the sentences.

    Parameters
    ----------
    encoder : Encoder
        Names that it does not know are judged and left out, as when names are ranked.
    words : mapping, optional
        Vocabularies by kind; the shipped ones where not given.
    progress : callable
        ``(done, total, description)`` before each piece of work; `CancelledError` raised in it ends the work, and
        what was embedded until then stays.

    Returns
    -------
    int
        How many names the model knows.

    Notes
    -----
    A kind is guessed with the sentences of ``"natural"`` pictures, and names are ranked with those of their own kind.
    """
    offered = vocabularies() if words is None else words
    every = list(dict.fromkeys(name for v in offered.values() for name in v.names))
    pieces = [every[i : i + _AT_ONCE] for i in range(0, len(every), _AT_ONCE)]
    total, known = len(pieces), set[str]()
    for done, names in enumerate(pieces):
        progress(done, total, "reading names")
        levels = encoder.familiarity(names)
        mine = [n for n, (level, _) in zip(names, levels, strict=True) if level in ("known", "related")]
        known.update(mine)
        for kind in offered:
            own = [n for n in mine if kind == "natural" or n in offered[kind].names]
            if own:
                embed_prompts(encoder, PromptSet(tuple(ClassPrompt(n, i) for i, n in enumerate(own, 1)), (), kind))
    progress(total, total, "names read")
    return len(known)
