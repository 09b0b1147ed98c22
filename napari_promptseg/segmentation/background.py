"""What the classes are told apart from: which background words stay, and how they count."""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.prompts.prompt_set import DEFAULT_BACKGROUND, PromptSet


def _plain(text: str) -> str:
    """Fold case, articles and a plural, so that ``"Trees"`` meets ``"a tree"``."""
    words = [w for w in text.casefold().split() if w not in ("a", "an", "the")]
    if words and len(words[-1]) > 3 and words[-1].endswith("s") and not words[-1].endswith("ss"):
        words[-1] = words[-1][:-1]
    return " ".join(words)


def with_fitting_background(prompts: PromptSet, encoder: Encoder) -> PromptSet:
    """The same prompts with the background words that make sense beside these classes and this model.

    A word that is also a class's own name or synonym goes: a user who asks for ``sky`` wants sky drawn,
    although ``sky`` is in the default list. An encoder with ``background_words_help = False`` was trained with
    background vectors of its own and does better without the default list; words the user typed stay.
    """
    dropped = {_plain(text) for c in prompts.classes for text in c.texts}
    if not getattr(encoder, "background_words_help", True):
        dropped.update(_plain(word) for word in DEFAULT_BACKGROUND)
    kept = tuple(word for word in prompts.background if _plain(word) not in dropped)
    return prompts if kept == prompts.background else replace(prompts, background=kept)


def background_logit(logits: torch.Tensor) -> torch.Tensor:
    """One map for everything else: the best of the background words at each cell.

    Parameters
    ----------
    logits : torch.Tensor
        ``(b, h, w)``, one map per word, at least one.

    Returns
    -------
    torch.Tensor
        ``(h, w)``.

    Notes
    -----
    The maximum rather than the sum, as SCLIP and NACLIP evaluate with a list of background synonyms
    (Wang et al. 2024, Hajimiri et al. 2025): a longer list then does not by itself push classes away.
    """
    return logits.amax(dim=0)
