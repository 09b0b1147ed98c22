"""What napari opens through this plugin: volumes in their place in millimetres, pyramids, one layer per series.

Nothing here imports napari: a reader hands back plain tuples of values, keywords and layer type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_folders import first_header, is_dicom
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.label_formats import legend_path
from napari_promptseg.images.modality_folders import find_scenes, guess_kind, read_each
from napari_promptseg.images.normalisation import Limits, measure_limits
from napari_promptseg.images.readers import MANY, folder_format, holds_dicom, in_a_sentence, is_image, read_image
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.palette import colour_for

#: What napari makes a layer from: values, keywords, layer type.
LayerData = tuple[Any, dict[str, Any], str]

#: What napari calls the units of stacks; it knows no others.
_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter", "m": "meter"}
_KNOWN = frozenset(_UNITS.values()) | {"pixel", "second"}

#: Hounsfield units of air, and of what is denser than any soft tissue: a volume that holds both is CT.
_AIR, _BONE = -900.0, 300.0

#: As legends write colours.
_COLOUR = re.compile("#[0-9a-fA-F]{6}")


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerData]] | None:
    """Say whether this plugin reads a path, as napari asks before it opens one.

    Parameters
    ----------
    path : str or list of str
        A file or folder; or several files that the user wants as one, which only slices of one DICOM series are.

    Returns
    -------
    callable or None
        `read_layers`, or None so that napari asks the next reader.
    """
    try:
        place = _one_place(path)
        if place is None or not place.exists():
            return None
        known = is_image(place) or is_dicom(place)
        known = known or (place.is_dir() and (len(find_scenes(place)) == 1 or holds_dicom(place)))
    except OSError:  # not ours to complain about
        return None
    return read_layers if known else None


def read_layers(
    path: str | list[str], *, grids: Sequence[Geometry] = (), progress: Progress = silent
) -> list[LayerData]:
    """Read a path into layers.

    Parameters
    ----------
    path : str or list of str
        As for `get_reader`.
    grids : sequence of Geometry
        Of images that are open: a DICOM segmentation is laid onto the one that it was drawn on.
    progress : Progress
        Told of each file of a DICOM folder.

    Returns
    -------
    list of LayerData
        As `layers_of`; labels that were saved with a legend, and DICOM segmentations, as labels; for a DICOM folder
        all its series, the one with most voxels visible, or its segmentations if it holds nothing else; for a folder
        of one scene with modalities by name (``flair.nii.gz``, ``t1c.nii.gz``) those.

    Raises
    ------
    InputError
        One sentence about what cannot be read.
    """
    place = _one_place(path)
    if place is None:
        raise InputError("Several files are opened as one only if they are slices of DICOM series in one folder.")
    with in_a_sentence(place):
        stacks = _stacks(place, grids, progress)
        layers = [layers_of(stack) for stack in stacks]
    classes = [_segments_of(stack) for stack in stacks]
    if len(stacks) == 1:
        classes = [classes[0] or _classes_of(place)]
    layers = [[_as_labels(m, c) for m in made] if c else made for made, c in zip(layers, classes, strict=True)]
    if all("dicom" in stack.metadata for stack in stacks):  # they may have nothing in common
        largest = max(stacks, key=lambda stack: int(np.prod(stack.grid)))
        for stack, made in zip(stacks, layers, strict=True):
            for _, keywords, _ in made if stack is not largest else ():
                keywords["visible"] = False
    return [layer for made in layers for layer in made]


def _stacks(place: Path, grids: Sequence[Geometry], progress: Progress) -> list[ImageStack]:
    """The one image of a path; of DICOM every series, also where one file holds several volumes, or segmentations."""
    form = folder_format(place)
    if place.is_dir() and form is None:
        scenes = find_scenes(place)
        if len(scenes) == 1:
            return read_each(scenes[0])
        form = "dicom"
    if form == "dicom" or (form is None and is_dicom(place)):
        from napari_promptseg.images.dicom_files import read_all_dicom
        from napari_promptseg.images.dicom_seg_reading import find_dicom_segs, read_dicom_seg

        segmentations = find_dicom_segs(place) if first_header(place) is None else []
        if segmentations:
            return [read_dicom_seg(file, grids, progress=progress) for file in segmentations]
        return read_all_dicom(place, progress=progress)
    return [read_image(place)]


def layers_of(stack: ImageStack, **keywords: Any) -> list[LayerData]:
    """Make layer data of a scene.

    Parameters
    ----------
    stack : ImageStack
    **keywords : Any
        Keywords of every layer, which count before those found here; ``metadata`` is added to what is found.

    Returns
    -------
    list of LayerData
        One layer per modality, and per channel where channels have names; a pyramid is one multiscale layer. A file
        of many volumes is one layer with a slider. Scale, units and axis labels are always set. A volume lies where
        it lies in the patient: world coordinates are ``(z, y, x)`` in mm, LPS. An oblique one is straightened about
        its middle, and its exact place is in ``metadata["geometry"]``.

        ``metadata`` holds what the file says and saving needs: that of the stack, ``source``, ``geometry``, ``plane``
        (the anatomical one its slices were taken in), ``kind``, and ``notes``, a list of sentences.
    """
    shown: list[tuple[Modality, str, float]] = [(m, "", 1.0) for m in stack.modalities]
    several = [m for m in stack.modalities if not m.channels]
    if len(several) == len(stack.modalities) >= MANY and "time" in stack.metadata:
        step = stack.metadata["time"]
        shown = [(_joined(stack, several), "volume" if step is None else "t", step or 1.0)]
    layers = []
    for modality, leading, step in shown:
        layers += _layers(stack, modality, leading, step)
    extra = keywords.pop("metadata", {})
    return [(data, {**own, **keywords, "metadata": {**own["metadata"], **extra}}, kind) for data, own, kind in layers]


def _classes_of(place: Path) -> dict[int, tuple[str, str]]:
    """Name and colour of each value of labels that were saved with a legend beside them; none for any other file."""
    legend = legend_path(place)
    if legend == place or not legend.is_file():
        return {}
    try:
        classes = json.loads(legend.read_bytes())["classes"]
        return {int(c["value"]): (str(c["name"]), str(c["colour"])) for c in classes if _COLOUR.fullmatch(c["colour"])}
    except (OSError, ValueError, KeyError, TypeError):  # some other file of that name
        return {}


def _segments_of(stack: ImageStack) -> dict[int, tuple[str, str]]:
    """The same of a DICOM segmentation, which holds them itself."""
    segments = stack.metadata.get("segments", [])
    return {s["value"]: (s["name"], s["colour"] or colour_for(s["value"])) for s in segments}


def _as_labels(layer: LayerData, classes: dict[int, tuple[str, str]]) -> LayerData:
    """Whole numbers as a layer of labels in the classes' colours; anything else stays an image."""
    data, keywords, _ = layer
    finest = data[0] if isinstance(data, list) else data
    if finest.dtype.kind not in "ui" or keywords["rgb"]:
        return layer
    own = {k: v for k, v in keywords.items() if k not in ("rgb", "contrast_limits", "colormap")}
    colours: dict[int | None, Any] = {value: colour for value, (_, colour) in classes.items()}
    names = ["background", *(name for name, _ in classes.values())]
    own |= {
        "colormap": {**colours, 0: "transparent", None: "gray"},
        "features": {"index": [0, *classes], "class": names},
    }
    return data, own, "labels"


def _one_place(path: str | list[str]) -> Path | None:
    if isinstance(path, str):
        return Path(path)
    places = [Path(p) for p in path]
    if len(places) == 1:
        return places[0]
    folders = {p.parent for p in places}
    together = len(folders) == 1 and folder_format(places[0].parent) == "dicom"
    return places[0].parent if together else None


def _joined(stack: ImageStack, modalities: Sequence[Modality]) -> Modality:
    """All volumes of a file as ``(n, z, y, x)``; nothing is copied."""
    import dask.array as da

    parts = [da.from_array(m.pixels, chunks=m.pixels.shape, name=False) for m in modalities]
    return replace(modalities[0], name=modalities[0].name.removesuffix(" volume 1"), pixels=da.stack(parts))


def _layers(stack: ImageStack, modality: Modality, leading: str, step: float) -> list[LayerData]:
    """Layers of one modality; `leading` names an axis in front of the stack's own."""
    kind = _kind(stack, modality)
    common = _keywords(stack, modality, kind)
    data = [modality.pixels, *modality.levels]
    if modality.channels and not _is_rgb(modality):
        channels = stack.metadata.get("channels", [])
        if len(channels) == int(modality.pixels.shape[-1]):
            return [
                _layer([level[..., i] for level in data], kind, common, **_of_channel(channel, modality.name))
                for i, channel in enumerate(channels)
            ]
        data, leading, step = [_channels_first(level) for level in data], "c", 1.0
    if leading:
        common = {
            **common,
            "scale": (step, *common["scale"]),
            "translate": (0.0, *common["translate"]),
            "units": ("second" if leading == "t" else "pixel", *common["units"]),
            "axis_labels": (leading, *common["axis_labels"]),
        }
    pair = _pair(modality.limits)
    return [_layer(data, kind, common, rgb=_is_rgb(modality), **({"contrast_limits": pair} if pair else {}))]


def _keywords(stack: ImageStack, modality: Modality, kind: ModalityKind) -> dict[str, Any]:
    geometry = stack.geometry
    notes = list(stack.metadata.get("notes", ()))
    if geometry is not None and not geometry.is_straight:
        notes.append(
            "The volume lies obliquely in the patient: it is shown straightened about its middle, and labels are saved "
            "in its exact place."
        )
    metadata = {**stack.metadata, "source": stack.source, "kind": kind, "notes": notes}
    if geometry is not None:
        metadata |= {"geometry": geometry, "plane": geometry.acquired}
    unit = _UNITS.get(stack.units, stack.units)
    no_shift = (0.0,) * len(stack.grid)
    return {
        "name": modality.name,
        "scale": tuple(stack.spacing),
        "translate": geometry.origin if geometry is not None else tuple(stack.metadata.get("origin", no_shift)),
        "units": tuple(
            "pixel" if unit not in _KNOWN or axis not in ("z", "y", "x") else unit for axis in stack.axis_names
        ),
        "axis_labels": tuple(stack.axis_names),
        "metadata": metadata,
    }


def _layer(data: list[Any], kind: ModalityKind, common: dict[str, Any], **own: Any) -> LayerData:
    keywords = {**common, **own}
    is_rgb = keywords.setdefault("rgb", False)
    if not is_rgb and "contrast_limits" not in keywords:
        # the coarsest level, so that no large file is read for it
        pair = _pair(measure_limits(_planes(data[-1]), kind))
        if pair is not None:
            keywords["contrast_limits"] = pair
    return (data, {**keywords, "multiscale": True}, "image") if len(data) > 1 else (data[0], keywords, "image")


def _planes(pixels: Any) -> Any:
    """Values to measure limits on: of several volumes or channels the middle one."""
    while len(pixels.shape) > 3:
        pixels = pixels[pixels.shape[0] // 2]
    return pixels


def _of_channel(channel: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"name": f"{name} {channel['name']}", "blending": "additive"}
    if "colour" in channel:
        found["colormap"] = channel["colour"]
    if "window" in channel:
        found["contrast_limits"] = tuple(channel["window"])
    return found


def _kind(stack: ImageStack, modality: Modality) -> ModalityKind:
    """The modality's own kind; for a volume in the patient what its name or its values tell."""
    if modality.kind != "auto" or stack.geometry is None or modality.channels:
        return modality.kind
    named = guess_kind(modality.name)
    if named != "auto":
        return named
    plane = np.asarray(_planes(modality.pixels)[stack.n_planes // 2])
    if plane.dtype.kind not in "if":
        return "auto"
    # where a scanner saw nothing, other programs write no number
    return "ct" if (plane <= _AIR).any() and (plane >= _BONE).any() else "auto"


def _pair(limits: Limits | None) -> tuple[float, float] | None:
    """One pair that napari takes; None where there is none."""
    if limits is None:
        return None
    values = np.asarray(limits, float)
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else None


def _is_rgb(modality: Modality) -> bool:
    return modality.channels and modality.pixels.shape[-1] in (3, 4) and modality.kind in ("rgb", "auto")


def _channels_first(pixels: Any) -> Any:
    return pixels.transpose((pixels.ndim - 1, *range(pixels.ndim - 1)))
