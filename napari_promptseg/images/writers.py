"""Label images and the legend beside them, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.images.class_pictures import (
    encode_class_pictures,
    picture_name,
    pictures_told,
    remove_pictures,
)
from napari_promptseg.images.label_formats import FORMATS, LABEL_SUFFIXES, LabelFormat, format_of, legend_path, misfit
from napari_promptseg.images.stack import ImageStack


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


def write_labels(
    path: str | os.PathLike[str],
    labels: Any,
    prompts: Legend,
    *,
    source: ImageStack | None = None,
    provenance: Mapping[str, Any] | None = None,
    familiarity: Mapping[str, str] | None = None,
    overwrite: bool = False,
    form: str | None = None,
    source_path: str | os.PathLike[str] | None = None,
) -> tuple[Path, Path]:
    """Write labels and, beside or inside them, a JSON legend.

    Parameters
    ----------
    path : str or path-like
        Its ending chooses the format (`label_formats.FORMATS`) where `form` does not. ``image.zarr/labels/name``
        puts labels inside an OME-Zarr image. Missing folders are made.
    labels : LabelMap or array-like
        ``(Y, X)``, ``(Z, Y, X)`` or, in TIFF and OME-Zarr, ``(T, Z, Y, X)`` integers, 0 to 65535.
    prompts : PromptSet
        The classes that the legend explains.
    source : ImageStack, optional
        Gives spacing, place in the patient, the series that a DICOM segmentation refers to, and the file's name.
    provenance : mapping, optional
        JSON values added to the label map's own: model, fingerprint, settings, seconds.
    familiarity : mapping of str to str, optional
        Class name to how well the model knows it.
    overwrite : bool
        Replace files that exist.
    form : str, optional
        Key of `label_formats.FORMATS`.
    source_path : str or path-like, optional
        What `source` was read from, which a DICOM segmentation reads again; it is written nowhere.

    Returns
    -------
    labels, legend : pathlib.Path
        What was written; the same path twice where the legend is inside. All appears complete or not at all.

    Raises
    ------
    OutputError
        If a file exists and may not be replaced, or the disk is full or may not be written to.
    InputError
        If the labels or the ending do not fit.
    """
    target = Path(path)
    chosen = format_of(target) if form is None else FORMATS[form]
    if chosen is None:
        raise InputError(f"{target.name!r} has an ending labels are not written as; use {', '.join(LABEL_SUFFIXES)}.")
    array = label_array(labels)
    reason = chosen.unfit(source, array.shape)
    if reason is not None:
        raise InputError(misfit(target, chosen, reason))
    known = {**getattr(labels, "provenance", {}), **(provenance or {})}
    legend = legend_of(_counts(array), prompts, known, familiarity, source)
    beside = legend_path(target, chosen)
    if not overwrite:
        for file in dict.fromkeys((target, beside)):
            if file.exists():
                raise OutputError(f"{str(file)!r} exists already: choose another folder or allow overwriting.")
    if chosen.key == "ome-zarr":
        from napari_promptseg.images.zarr_labels import write_zarr_labels

        write_zarr_labels(target, array, source, prompts, legend, overwrite=overwrite)
        files: dict[Path, bytes] = {}
    else:
        files = _encoded(_Labels(target, chosen, array, prompts, source, source_path, legend))
    earlier = pictures_told(beside) if chosen.key == "class-png" else []
    if beside != target:
        # the legend first, so that there are no labels without one
        files = {beside: legend_bytes(legend), **files}
    write_files(files)
    remove_pictures(target, {*earlier} - {file.name for file in files})
    return target, beside


def legend_of(
    counts: npt.NDArray[Any],
    prompts: Legend,
    provenance: Mapping[str, Any],
    familiarity: Mapping[str, str] | None = None,
    source: ImageStack | None = None,
) -> dict[str, Any]:
    """What a legend says; for labels too large for memory, from the count of pixels of each value.

    Parameters
    ----------
    counts : numpy.ndarray
        ``(n,)``, pixels with the labels 0, 1, 2 ...
    prompts : PromptSet
    provenance : mapping
        Plain values: model, settings, seconds.
    familiarity : mapping of str to str, optional
        Class name to how well the model knows it.
    source : ImageStack, optional
        Gives the file's name.
    """
    total = max(1, int(counts.sum()))
    return {
        "classes": [
            {
                "value": c.value,
                "name": c.name,
                "synonyms": list(c.synonyms),
                "colour": c.colour,
                "threshold": c.threshold,
                "area_share": float(counts[c.value] / total) if c.value < len(counts) else 0.0,
                "familiarity": (familiarity or {}).get(c.name),
            }
            for c in prompts.classes
        ],
        "provenance": {
            **provenance,
            "source": source.source if source is not None else provenance.get("source", ""),
            **(
                {"notes": list(source.metadata["notes"])} if source is not None and source.metadata.get("notes") else {}
            ),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }


def legend_bytes(legend: Mapping[str, Any]) -> bytes:
    """The legend's file."""
    text = json.dumps(legend, indent=1, ensure_ascii=False, default=plain) + "\n"
    # Surrogates come from file names that are no valid text; their escape is valid JSON.
    return text.encode("utf-8", "backslashreplace")


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


def check_writable(folder: Path) -> None:
    """Refuse a folder that nothing can be written into before the work for it is done; it need not be there yet.

    Raises
    ------
    OutputError
        Naming it, or the nearest folder above it that is there.
    """
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not os.access(there, os.W_OK):
        raise OutputError(f"{str(there)!r} cannot be written to: choose another folder.")


def output_error(path: Path, error: OSError) -> OutputError:
    """The sentence a person reads when `path` could not be written."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return OutputError(
            f"The disk is full: {str(path)!r} was not written; free some space or choose another folder."
        )
    reason = error.strerror or str(error)
    return OutputError(f"{str(path)!r} cannot be written ({reason}): choose a folder that can be written to.")


def label_array(labels: Any) -> npt.NDArray[Any]:
    """Integer labels in the smallest type that holds them, uint8 or uint16."""
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


def plain(value: Any) -> Any:
    """JSON for what settings may hold beside plain values."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def _counts(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Pixels of each value; plane by plane, because NumPy counts in copies eight times as large as uint8."""
    counts = np.zeros(int(labels.max()) + 1, np.int64)
    for plane in labels.reshape(-1, *labels.shape[-2:]):
        found = np.bincount(plane.ravel())
        counts[: len(found)] += found
    return counts


@dataclass(frozen=True, eq=False)
class _Labels:
    """What is written: everything that one format or another keeps of labels."""

    path: Path
    form: LabelFormat
    array: npt.NDArray[Any]
    prompts: Legend
    source: ImageStack | None
    source_path: str | os.PathLike[str] | None
    legend: dict[str, Any]

    @property
    def plane(self) -> npt.NDArray[Any]:
        """The only one there is."""
        return self.array.reshape(self.array.shape[-2:])


def _encoded(made: _Labels) -> dict[Path, bytes]:
    """The files, without the legend beside them."""
    path, key = made.path, made.form.key
    if key in ("tiff", "png"):
        from napari_promptseg.images.picture_labels import encode_png, encode_tiff

        return {path: encode_tiff(made.array, made.source) if key == "tiff" else encode_png(made.array)}
    if key == "class-png":
        for entry, c in zip(made.legend["classes"], made.prompts.classes, strict=True):
            entry["picture"] = picture_name(c)
        return {path / name: content for name, content in encode_class_pictures(made.plane, made.prompts).items()}
    if key in ("coco", "coco-polygons"):
        from napari_promptseg.images.coco import CocoFile

        file = CocoFile(made.prompts, "runs" if key == "coco" else "polygons")
        file.add(made.legend["provenance"]["source"] or path.name, made.plane, made.legend)
        return {path: file.encoded()}
    return {path: _encoded_volume(made)}


def _encoded_volume(made: _Labels) -> bytes:
    """A file of labels that lie in the patient."""
    path, key, source = made.path, made.form.key, made.source
    if source is None or source.geometry is None:
        raise InputError(f"{path.name!r} needs the place of its voxels in the patient.")
    volume = made.array[np.newaxis] if made.array.ndim == 2 else made.array
    if key == "nifti":
        from napari_promptseg.images.nifti_files import encode_nifti

        frames = source.metadata.get("nifti")
        return encode_nifti(volume, source.geometry, frames, compress=path.name.lower().endswith(".gz"))
    if key == "nrrd":
        from napari_promptseg.images.itk_labels import encode_nrrd

        own = json.dumps(made.legend, ensure_ascii=False, default=plain)
        return encode_nrrd(volume, source.geometry, made.prompts, {"napari-promptseg": own})
    if key == "mha":
        from napari_promptseg.images.itk_labels import encode_mha

        return encode_mha(volume, source.geometry)
    from napari_promptseg.images.dicom_seg import encode_dicom_seg

    if made.source_path is None:
        raise InputError(
            f"{path.name!r} cannot be written as DICOM SEG: it is not known where the series lies; open it again."
        )
    return encode_dicom_seg(volume, source, made.source_path, made.prompts, made.legend)
