"""What OME-Zarr says of labels: axes, levels and their places, colours and names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_promptseg.errors import InputError
from napari_promptseg.images.zarr_pyramid import level_factors

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.images.writers import Legend

#: Versions of OME-Zarr that are written: 0.4 rests on Zarr 2, 0.5 on Zarr 3.
Version = Literal["0.4", "0.5"]

#: Shape of a level and its transformations as the metadata has them.
Level = tuple[tuple[int, ...], list[dict[str, Any]]]

_UNITS = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter"}

#: How the axes of an upright volume run (`Geometry`), as the specification's proposal on orientation names it.
_ORIENTATION = {"z": "inferior-to-superior", "y": "anterior-to-posterior", "x": "right-to-left"}


def own_levels(shape: tuple[int, ...], source: ImageStack | None) -> tuple[list[dict[str, Any]], list[Level]]:
    """Axes and levels of labels that lie in no image."""
    names = ("t", "z", "y", "x")[-len(shape) :]
    if source is not None and len(shape) == len(source.axis_names) == 3 and source.axis_names[0] == "t":
        names = ("t", "y", "x")
    geometry = None if source is None else source.geometry
    unit = _UNITS.get("mm" if geometry is not None else "" if source is None else source.units)
    axes: list[dict[str, Any]] = []
    for name in names:
        axis: dict[str, Any] = {"name": name, "type": "time" if name == "t" else "space"}
        if name != "t" and unit is not None:
            axis["unit"] = unit
        if geometry is not None and name in _ORIENTATION:
            axis["orientation"] = {"type": "anatomical", "value": _ORIENTATION[name]}
        axes.append(axis)
    spacing = _last(() if source is None else source.spacing, len(shape), 1.0)
    told = () if source is None else source.metadata.get("origin", ())
    origin = _last(told if geometry is None else geometry.origin, len(shape), 0.0)
    places = [s if name != "t" else 0.0 for s, name in zip(spacing, names, strict=True)]
    levels: list[Level] = []
    for factors in level_factors(shape, places):
        scale = [s * f for s, f in zip(spacing, factors, strict=True)]
        # a voxel that stands for several lies in their middle
        shift = [o + (f - 1) / 2 * s for o, f, s in zip(origin, factors, spacing, strict=True)]
        transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            transforms.append({"type": "translation", "translation": shift})
        levels.append((tuple(-(-n // f) for n, f in zip(shape, factors, strict=True)), transforms))
    return axes, levels


def levels_of_image(
    image: Path, shape: tuple[int, ...]
) -> tuple[Version, list[dict[str, Any]], list[Level], list[dict[str, Any]]]:
    """Version, axes, levels and what holds for all levels of an image, as far as labels of that shape share them.

    The specification wants as many levels in labels as in their image.
    """
    import zarr

    group = zarr.open_group(image, mode="r", use_consolidated=False)
    version: Version = "0.4" if group.metadata.zarr_format == 2 else "0.5"
    ome = ome_of(group)
    if not ome.get("multiscales"):
        raise InputError(f"{image.name!r} is no OME-Zarr image: labels cannot be put inside it.")
    scales = ome["multiscales"][0]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales["axes"]]
    arrays = [group[entry["path"]] for entry in scales["datasets"]]
    places = [i for i, axis in enumerate(axes) if axis.get("type", "space") == "space" and axis["name"] != "c"]
    moments = [i for i, axis in enumerate(axes) if axis.get("type") == "time" or axis["name"] == "t"]
    keep = sorted(places if len(shape) <= len(places) else places + moments)
    if len(shape) < len(keep):  # one plane of a stack of one
        keep = [i for i in keep if i >= len(axes) - 2 or arrays[0].shape[i] > 1]
    own = tuple(arrays[0].shape[i] for i in keep)
    if own != shape:
        raise InputError(
            f"Labels of shape {shape} do not lie on {image.name!r}, which has {own}: write them to a file of their own."
        )
    levels: list[Level] = [
        (tuple(array.shape[i] for i in keep), _along(keep, entry["coordinateTransformations"]))
        for entry, array in zip(scales["datasets"], arrays, strict=True)
    ]
    return version, [axes[i] for i in keep], levels, _along(keep, scales.get("coordinateTransformations") or ())


def describe(
    group: Any,
    version: Version,
    axes: list[dict[str, Any]],
    levels: list[Level],
    prompts: Legend,
    *,
    inside: bool,
    common: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the specification's metadata; `common` transformations hold for all levels, after each one's own."""
    label: dict[str, Any] = {
        "colors": [{"label-value": c.value, "rgba": _rgba(c.colour)} for c in prompts.classes],
        "properties": [{"label-value": c.value, "name": c.name} for c in prompts.classes],
    }
    if inside:
        label["source"] = {"image": "../../"}
    scales: dict[str, Any] = {
        "name": "labels",
        "axes": axes,
        "datasets": [{"path": str(n), "coordinateTransformations": t} for n, (_, t) in enumerate(levels)],
        "type": "mode",
    }
    if common:
        scales["coordinateTransformations"] = list(common)
    if version == "0.4":
        group.attrs.update({"multiscales": [{"version": version, **scales}]})
        group.attrs["image-label"] = {"version": version, **label}
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [scales], "image-label": label}


def ome_of(group: Any) -> dict[str, Any]:
    """The specification's metadata, wherever its version keeps them."""
    attributes = dict(group.attrs)
    return dict(attributes.get("ome", attributes))


def _along(axes: Sequence[int], transforms: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Transformations along some of the axes."""
    return [
        {**t, t["type"]: [t[t["type"]][i] for i in axes]} if isinstance(t.get(t["type"]), list) else dict(t)
        for t in transforms
    ]


def _last(values: Sequence[float], n: int, usual: float) -> list[float]:
    """The last `n` of the values; what is missing in front is the usual."""
    known = [float(v) for v in values][-n:]
    return [usual] * (n - len(known)) + known


def _rgba(colour: str) -> list[int]:
    return [*bytes.fromhex(colour.lstrip("#")), 255]
