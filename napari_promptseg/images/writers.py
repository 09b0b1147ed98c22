"""Label images and the legend beside them, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.readers import stem
from napari_promptseg.images.stack import ImageStack

#: Endings of label files.
LABEL_SUFFIXES = (".tif", ".tiff", ".png", ".nii", ".nii.gz")


class LegendEntry(Protocol):
    """What the legend says of a class; `ClassPrompt` has it."""

    @property
    def name(self) -> str:
        """As the user typed it."""
        ...

    @property
    def value(self) -> int:
        """Its integer in the label image."""
        ...

    @property
    def synonyms(self) -> tuple[str, ...]:
        """Further texts."""
        ...

    @property
    def colour(self) -> str:
        """``"#rrggbb"``."""
        ...

    @property
    def threshold(self) -> float:
        """Probability under which a pixel stays background."""
        ...


class Legend(Protocol):
    """What has classes; `PromptSet` does."""

    @property
    def classes(self) -> Sequence[LegendEntry]:
        """In the user's order."""
        ...


def legend_path(labels: str | os.PathLike[str]) -> Path:
    """Where the legend of a label file lies: ``cat_labels.tif`` has ``cat_labels.json``."""
    path = Path(labels)
    return path.with_name(f"{stem(path)}.json")


def write_labels(
    path: str | os.PathLike[str],
    labels: Any,
    prompts: Legend,
    *,
    source: ImageStack | None = None,
    provenance: Mapping[str, Any] | None = None,
    familiarity: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> tuple[Path, Path]:
    """Write labels and, beside them, a JSON legend.

    Parameters
    ----------
    path : str or path-like
        Its ending chooses the format: ``.tif`` (zlib, as ImageJ reads it), ``.png`` (one plane), ``.nii`` or
        ``.nii.gz`` (where `source` was read from NIfTI; same geometry). Missing folders are made.
    labels : LabelMap or array-like
        ``(Y, X)``, ``(Z, Y, X)`` or, in a TIFF, ``(T, Z, Y, X)`` integers, 0 to 65535.
    prompts : PromptSet
        The classes that the legend explains.
    source : ImageStack, optional
        Gives spacing, orientation and the source's file name.
    provenance : mapping, optional
        JSON values added to the label map's own: model, fingerprint, settings, seconds.
    familiarity : mapping of str to str, optional
        Class name to how well the model knows it.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    labels, legend : pathlib.Path
        The files written. Both appear complete or not at all.

    Raises
    ------
    OutputError
        If a file exists and may not be replaced, or the disk is full or may not be written to.
    InputError
        If the labels or the ending do not fit.
    """
    target = Path(path)
    array = _label_array(labels)
    known = {**getattr(labels, "provenance", {}), **(provenance or {})}
    legend = {
        "classes": _class_entries(array, prompts, familiarity or {}),
        "provenance": {
            **known,
            "source": source.source if source is not None else known.get("source", ""),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    text = json.dumps(legend, indent=1, ensure_ascii=False, default=_plain) + "\n"
    beside = legend_path(target)
    content = _encode(target, array, source)
    if not overwrite:
        for file in (target, beside):
            if file.exists():
                raise OutputError(f"{str(file)!r} exists already: choose another folder or allow overwriting.")
    # Surrogates come from file names that are no valid text; their escape is valid JSON.
    write_files({beside: text.encode("utf-8", "backslashreplace"), target: content})
    return target, beside


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write files so that each is complete or untouched: beside its place first, then renamed.

    Raises
    ------
    OutputError
        Naming the file and the reason; what was begun is removed.
    """
    begun: list[tuple[Path, Path]] = []
    target = Path()
    try:
        for target, content in contents.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
            begun.append((part, target))
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for part, target in begun:
            os.replace(part, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        for part, _ in begun:
            with contextlib.suppress(OSError):  # already renamed, or the disk is gone
                part.unlink()


def output_error(path: Path, error: OSError) -> OutputError:
    """The sentence a person reads when `path` could not be written."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return OutputError(
            f"The disk is full: {str(path)!r} was not written; free some space or choose another folder."
        )
    reason = error.strerror or str(error)
    return OutputError(f"{str(path)!r} cannot be written ({reason}): choose a folder that can be written to.")


def _label_array(labels: Any) -> npt.NDArray[Any]:
    """Integer labels in the smallest type that holds them."""
    array = np.asarray(getattr(labels, "labels", labels))
    if array.ndim not in (2, 3, 4) or array.dtype.kind not in "bui" or 0 in array.shape:
        raise InputError(
            "Labels must be integers of shape (Y, X), (Z, Y, X) or (T, Z, Y, X), "
            f"not {array.dtype} of shape {array.shape}."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise InputError(f"Labels from 0 to 65535 can be written; these run from {low} to {high}.")
    return array.astype(np.uint8 if high < 256 else np.uint16)


def _class_entries(labels: npt.NDArray[Any], prompts: Legend, familiarity: Mapping[str, str]) -> list[dict[str, Any]]:
    counts = np.bincount(labels.ravel(), minlength=1)
    return [
        {
            "value": c.value,
            "name": c.name,
            "synonyms": list(c.synonyms),
            "colour": c.colour,
            "threshold": c.threshold,
            "area_share": float(counts[c.value] / labels.size) if c.value < len(counts) else 0.0,
            "familiarity": familiarity.get(c.name),
        }
        for c in prompts.classes
    ]


def _plain(value: Any) -> Any:
    """JSON for what settings may hold beside plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def _encode(path: Path, labels: npt.NDArray[Any], source: ImageStack | None) -> bytes:
    name = path.name.lower()
    if name.endswith((".tif", ".tiff")):
        return _encode_tiff(labels, source)
    if name.endswith(".png"):
        return _encode_png(path, labels)
    if name.endswith((".nii", ".nii.gz")):
        if source is None or source.geometry is None:
            raise InputError(
                f"{path.name!r} cannot be NIfTI because its source is not a volume in millimetres: write a TIFF instead."
            )
        from napari_promptseg.images.nifti_files import encode_nifti

        if labels.ndim == 4:
            raise InputError(f"{path.name!r} cannot hold several volumes: write a TIFF instead.")
        volume = labels[np.newaxis] if labels.ndim == 2 else labels
        return encode_nifti(volume, source.geometry, source.metadata.get("nifti"), compress=name.endswith(".gz"))
    raise InputError(f"{path.name!r} has an ending labels are not written as; use {', '.join(LABEL_SUFFIXES)}.")


def _encode_png(path: Path, labels: npt.NDArray[Any]) -> bytes:
    from PIL import Image

    planes = math.prod(labels.shape[:-2])
    if planes != 1:
        raise InputError(f"{path.name!r} cannot hold {planes} planes: write a TIFF instead.")
    labels = labels.reshape(labels.shape[-2:])
    buffer = io.BytesIO()
    # Grey, not a palette: every reader gives back the values.
    Image.fromarray(labels).save(buffer, format="PNG")
    return buffer.getvalue()


def _encode_tiff(labels: npt.NDArray[Any], source: ImageStack | None) -> bytes:
    import tifffile

    axes = "TZYX"[-labels.ndim :]
    if labels.ndim == 3 and source is not None and source.axis_names[0] == "t":
        axes = "TYX"
    metadata: dict[str, Any] = {"axes": axes}
    resolution = None
    if source is not None and source.units in ("um", "mm", "cm", "nm") and min(source.spacing) > 0:
        metadata["unit"] = source.units
        resolution = (1 / source.spacing[-1], 1 / source.spacing[-2])
        if len(source.spacing) == 3 and "Z" in axes:
            metadata["spacing"] = source.spacing[0]
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        labels,
        # ImageJ's dialect ends at 4 GB.
        imagej=labels.nbytes < 2**32 - 2**25,
        compression="zlib",
        photometric="minisblack",
        metadata=metadata,
        resolution=resolution,
    )
    return buffer.getvalue()
