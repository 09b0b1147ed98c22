"""Whether the embedded model knows a word, from the nearest names that it was aligned with."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch

from napari_promptseg.encoders.encoder import Familiarity

#: Cosine of sentence embeddings from which a name counts as known, and as related.
KNOWN = 0.80
RELATED = 0.62


def nearest_names(
    vectors: torch.Tensor,
    learned: torch.Tensor,
    names: Sequence[str],
    *,
    at_most_related: Collection[str] = (),
    count: int = 3,
) -> list[tuple[Familiarity, tuple[str, ...]]]:
    """Judge names by the nearest ones that the model was aligned with.

    Parameters
    ----------
    vectors : torch.Tensor
        ``(n, d)`` unit sentence embeddings of the names in question.
    learned : torch.Tensor
        ``(m, d)`` unit embeddings of the learned names.
    names : sequence of str
        The m learned names.
    at_most_related : collection of str
        Learned names whose score maps were measured too weak, or not measured: what is nearest to one of them is
        never called known.
    count : int
        Nearest names to tell.

    Returns
    -------
    list of tuple
        Per name the level, and the nearest learned names, best first.
    """
    if not len(vectors):
        return []
    cosines, index = (vectors @ learned.T).topk(min(count, len(names)), dim=1)
    judged: list[tuple[Familiarity, tuple[str, ...]]] = []
    for row, at in zip(cosines.tolist(), index.tolist(), strict=True):
        level: Familiarity = "known" if row[0] >= KNOWN else "related" if row[0] >= RELATED else "unknown"
        if level == "known" and names[at[0]] in at_most_related:
            level = "related"
        judged.append((level, tuple(names[i] for i in at)))
    return judged
