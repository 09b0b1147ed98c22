"""One ``.promptseg`` file: what each class is, readable by the next person and by no accident executable.

The file is `safetensors <https://github.com/huggingface/safetensors>`_ with one JSON text in its metadata, so any
safetensors reader opens it and reading it runs no code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.writers import write_files
from napari_promptseg.prompts.learned import LearnedPrompts
from napari_promptseg.prompts.modality_notes import modality_notes
from napari_promptseg.prompts.prompt_set import ClassPrompt, ImageKind, Pooling, PromptSet
from napari_promptseg.prompts.region_notes import checked_notes

SUFFIX = ".promptseg"

#: Written into every file; a file with a higher one was made by a newer release.
FORMAT_VERSION = 1

#: A larger file is refused before it is read.
MOST_BYTES = 256 * 1024 * 1024
_MOST_HEADER_BYTES = 16 * 1024 * 1024
_MOST_CLASSES = 65_535
_KEY = "promptseg"
_KINDS = "fiub"  # floats and integers


@dataclass(frozen=True, eq=False)
class SavedPrompts:
    """The content of a ``.promptseg`` file.

    Parameters
    ----------
    prompts : PromptSet
    model, fingerprint : str
        Of the encoder the prompts were made with.
    normalisation : dict
        How pixels became pictures: kind and limits per modality.
    validation : dict
        The report of the tuning, such as held-out Dice before and after.
    provenance : dict
        What made the file: versions, pictures, settings.
    """

    prompts: PromptSet
    model: str
    fingerprint: str
    normalisation: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def save_prompts(path: str | os.PathLike[str], saved: SavedPrompts) -> Path:
    """Write a ``.promptseg`` file, whole or not at all.

    Returns
    -------
    pathlib.Path
        Where it is; the suffix is added if missing.

    Raises
    ------
    InputError
        If there is no class, or what was learned belongs to another model.
    OutputError
        If it cannot be written.
    """
    import safetensors.numpy

    target = Path(path)
    if target.suffix.casefold() != SUFFIX:
        target = target.with_name(target.name + SUFFIX)
    prompts, learned = saved.prompts, saved.prompts.learned
    if not len(prompts):
        raise InputError("There is no class to save: name at least one.")
    if learned is not None and learned.fingerprint != saved.fingerprint:
        raise InputError(_mismatch("What was learned", learned.model, learned.fingerprint, saved))
    head = {
        "format": _KEY,
        "version": FORMAT_VERSION,
        "model": {"name": saved.model, "fingerprint": saved.fingerprint},
        "classes": [asdict(c) for c in prompts.classes],
        "background": list(prompts.background),
        "image_kind": prompts.image_kind,
        "pooling": prompts.pooling,
        "prompt_metadata": prompts.metadata,
        "learned": None
        if learned is None
        else {"scale": learned.scale, "gamma": learned.gamma, "tau": learned.tau, "facts": dict(learned.facts)},
        "normalisation": saved.normalisation,
        "validation": saved.validation,
        "provenance": saved.provenance,
    }
    try:
        text = json.dumps(head, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"The prompts cannot be saved, a value in them is not plain JSON ({error}).") from error
    arrays = {k: np.ascontiguousarray(v) for k, v in (learned.arrays() if learned else {}).items()}
    write_files({target: safetensors.numpy.save(arrays, metadata={_KEY: text})})
    return target


def load_prompts(path: str | os.PathLike[str], *, fingerprint: str | None = None, model: str = "") -> SavedPrompts:
    """Read a ``.promptseg`` file.

    Parameters
    ----------
    path : path-like
    fingerprint, model : str, optional
        Of the model in use: a file made with another one is refused. Without a fingerprint any file is read.

    Raises
    ------
    InputError
        Missing, too large, truncated, of another format, from a newer release, damaged, or for another model; the
        sentence says which.
    """
    source = Path(path)
    arrays, head = _read(source)
    try:
        saved = _parsed(head, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise InputError(f"{source.name} is damaged, its content does not fit together ({reason}).") from error
    if fingerprint is not None and saved.fingerprint != fingerprint:
        raise InputError(_mismatch(source.name, saved.model, saved.fingerprint, _Model(model, fingerprint)))
    return saved


@dataclass(frozen=True)
class _Model:
    model: str
    fingerprint: str


def _mismatch(what: str, model: str, fingerprint: str, used: SavedPrompts | _Model) -> str:
    if used.model == model:
        return (
            f"{what} was made with another version of the model {model!r} ({fingerprint[:8]}) than the one in use "
            f"({used.fingerprint[:8]}): use the release it was made with, or make the prompts again with this one."
        )
    mine = f"{used.model!r} ({used.fingerprint[:8]})" if used.model else f"another ({used.fingerprint[:8]})"
    return (
        f"{what} was made with the model {model!r} ({fingerprint[:8]}), but the model in use is {mine}: "
        f"choose {model!r}, or make the prompts again with this one."
    )


def _read(source: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Arrays and the JSON head; every way in which a file is not one of ours is told apart here."""
    import safetensors
    import safetensors.numpy

    try:
        size = source.stat().st_size
        if size > MOST_BYTES:
            raise InputError(
                f"{source.name} has {size / 1e6:.0f} MB, and a prompt file at most {MOST_BYTES / 1e6:.0f}."
            )
        data = source.read_bytes()
    except FileNotFoundError:
        raise InputError(f"The prompt file {source} does not exist: check the path.") from None
    except OSError as error:
        raise InputError(f"The prompt file {source} cannot be read ({error.strerror or error}).") from error
    foreign = InputError(f"{source.name} is not a {SUFFIX} file: choose one that 'Save prompts' wrote.")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 9 or data[8:9] != b"{" or length > _MOST_HEADER_BYTES:
        raise foreign
    truncated = InputError(f"{source.name} is truncated, the end is missing: copy it again from where it was saved.")
    if len(data) < 8 + length:
        raise truncated
    try:
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        text = header.get("__metadata__", {}).get(_KEY)
        if text is None:
            raise foreign
        if len(data) < 8 + length + max(ends, default=0):
            raise truncated
        head = json.loads(text)
        arrays = safetensors.numpy.load(data)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise foreign from error
    except safetensors.SafetensorError as error:
        raise InputError(f"{source.name} is damaged ({error}).") from error
    version = head.get("version") if isinstance(head, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or head.get("format") != _KEY:
        raise foreign
    if version > FORMAT_VERSION:
        raise InputError(
            f"{source.name} was written by a newer release (format {version}, this one reads up to "
            f"{FORMAT_VERSION}): update napari-promptseg."
        )
    return arrays, head


def _parsed(head: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> SavedPrompts:
    classes = tuple(_class(entry) for entry in head["classes"])
    if not 0 < len(classes) <= _MOST_CLASSES:
        raise InputError(f"it names {len(classes)} classes")
    for what, seen in (("name", [c.name.casefold() for c in classes]), ("value", [c.value for c in classes])):
        if len(set(seen)) != len(seen):
            raise InputError(f"a class {what} is there twice")
    kind, pooling = head["image_kind"], head["pooling"]
    if kind not in get_args(ImageKind) or pooling not in get_args(Pooling):
        raise InputError(f"image kind {kind!r} or pooling {pooling!r} is unknown")
    background = tuple(_text(word) for word in head["background"])
    model, fingerprint = _text(head["model"]["name"]), _text(head["model"]["fingerprint"])
    plain = {k: _mapping(head[k]) for k in ("normalisation", "validation", "provenance")}
    learned = _learned(head["learned"], arrays, model, fingerprint)
    metadata = _mapping(head["prompt_metadata"])
    checked_notes(metadata)
    modality_notes(metadata)
    prompts = PromptSet(classes, background, kind, pooling, metadata=metadata, learned=learned)
    return SavedPrompts(prompts, model, fingerprint, **plain)


def _class(entry: Mapping[str, Any]) -> ClassPrompt:
    value, threshold, visible = entry["value"], entry["threshold"], entry["visible"]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_CLASSES:
        raise InputError(f"{value!r} is no class value")
    if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise InputError(f"{threshold!r} is no threshold")
    colour = _text(entry["colour"])
    if len(colour) != 7 or colour[0] != "#" or not set(colour[1:].casefold()) <= set("0123456789abcdef"):
        raise InputError(f"{colour!r} is no colour")
    name = _text(entry["name"])
    if not name.strip():
        raise InputError("a class has no name")
    synonyms = tuple(_text(s) for s in entry["synonyms"])
    # files of the first release have none
    said = tuple(_text(s) for s in entry.get("sentences", ()))
    if not all(s.strip() for s in said):
        raise InputError(f"a sentence of the class {name!r} is empty")
    return ClassPrompt(name, value, synonyms, colour, float(threshold), bool(visible), said)


def _learned(
    head: Mapping[str, Any] | None, arrays: Mapping[str, npt.NDArray[Any]], model: str, fingerprint: str
) -> LearnedPrompts | None:
    if head is None:
        return None
    parts: dict[str, dict[str, npt.NDArray[Any]]] = {"views": {}, "global": {}, "extra": {}, "context": {}}
    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS or (array.dtype.kind == "f" and not np.isfinite(array).all()):
            raise InputError(f"{name} holds values that are no numbers")
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    views = {int(k): _shaped(v, 2, f"views/{k}") for k, v in parts["views"].items()}
    global_views = {int(k): _shaped(v, 1, f"global/{k}") for k, v in parts["global"].items()}
    if len({v.shape[-1] for v in (*views.values(), *global_views.values())}) > 1:
        raise InputError("its vectors differ in length")
    context = parts["context"].get("")
    scale, gamma, tau = (float(head[k]) for k in ("scale", "gamma", "tau"))
    if not (np.isfinite([scale, gamma, tau]).all() and scale > 0 and tau > 0):
        raise InputError("a temperature is not above 0")
    return LearnedPrompts(
        fingerprint,
        model,
        views,
        global_views,
        None if context is None else _shaped(context, 3, "context"),
        scale,
        gamma,
        tau,
        parts["extra"],
        _mapping(head["facts"]),
    )


def _shaped(array: npt.NDArray[Any], axes: int, name: str) -> npt.NDArray[np.float32]:
    if array.ndim != axes or 0 in array.shape or array.dtype != np.float32:
        raise InputError(f"{name} has the shape {array.shape} and type {array.dtype}")
    return array


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{value!r} is no text")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{value!r} is no mapping")
    return value
