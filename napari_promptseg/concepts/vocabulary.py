"""Names a region may have, by kind of picture: shipped in ``resources/concepts/``, extended by files of the user."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.prompt_set import ImageKind
from napari_promptseg.resource_files import resource

_KINDS: tuple[ImageKind, ...] = get_args(ImageKind)


@dataclass(frozen=True)
class Vocabulary:
    """Words for one kind of picture.

    Parameters
    ----------
    kind : ImageKind
    names : tuple of str
        Names of things that such pictures show, each once.
    sentences : tuple of str
        What such a picture is called, to tell kinds apart.
    """

    kind: ImageKind
    names: tuple[str, ...]
    sentences: tuple[str, ...] = ()

    def extended(self, other: Vocabulary) -> Vocabulary:
        """With the names and sentences of another one; those of the other come first."""
        return Vocabulary(self.kind, _once((*other.names, *self.names)), _once((*other.sentences, *self.sentences)))


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """Read ``{"kind": "endoscopy", "names": ["polyp", ...], "sentences": ["an endoscopy image", ...]}``.

    Parameters
    ----------
    path : path-like
        JSON; ``sentences`` may be missing.

    Raises
    ------
    InputError
        If the file is missing or holds something else.
    """
    file = Path(path)
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"There is no vocabulary file {str(file)!r}: check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"The vocabulary file {str(file)!r} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict) or content.get("kind") not in _KINDS:
        raise InputError(f'The vocabulary file {file.name!r} must name its "kind", one of {", ".join(_KINDS)}.')
    names = _texts(content, "names", file.name)
    if not names:
        raise InputError(f'The vocabulary file {file.name!r} has no "names": list at least one.')
    return Vocabulary(content["kind"], names, _texts(content, "sentences", file.name))


@cache
def shipped_vocabularies() -> Mapping[ImageKind, Vocabulary]:
    """The vocabularies in ``resources/concepts/``, one for each kind of picture."""
    folder = resource("concepts")
    return {kind: read_vocabulary(folder / f"{kind}.json") for kind in _KINDS}


def vocabularies(added: Iterable[Vocabulary] = ()) -> dict[ImageKind, Vocabulary]:
    """The shipped vocabularies with those of the user before them."""
    found = dict(shipped_vocabularies())
    for vocabulary in added:
        found[vocabulary.kind] = found[vocabulary.kind].extended(vocabulary)
    return found


def _texts(content: dict[str, Any], key: str, file: str) -> tuple[str, ...]:
    values = content.get(key, [])
    if not isinstance(values, list) or not all(isinstance(v, str) and v.strip() for v in values):
        raise InputError(f'The vocabulary file {file!r} must hold "{key}" as a list of texts.')
    return _once(" ".join(v.split()) for v in values)


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    """Each text once, without regard to case, the first spelling kept."""
    kept: dict[str, str] = {}
    for text in texts:
        kept.setdefault(text.casefold(), text)
    return tuple(kept.values())
