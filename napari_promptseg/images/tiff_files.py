"""TIFF in its many dialects: plain, ImageJ and OME, with their axes, channels and spacing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import native, read_picture, stem
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

_UNITS = {"micron": "um", "microns": "um", "µm": "um", "μm": "um", "\\u00B5m": "um", "inch": "in", "": "pixel"}


def read_tiff(path: Path) -> ImageStack:
    """Read the first series of a TIFF at full resolution.

    Notes
    -----
    Axes are sorted into planes (time, Z and whatever else, flattened to one axis), ``Y, X``, and channels. Samples
    of a pixel (RGB) stay colours; a channel axis (a microscope's) is of kind ``"fluorescence"``. A fourth sample
    that the file does not call alpha becomes a modality of its own. Palettes and compressions that tifffile
    leaves to an optional library are read with Pillow.
    """
    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise InputError("it holds no image.")
        series = tif.series[0]
        page = series.keyframe
        photometric = getattr(page.photometric, "name", "MINISBLACK")
        if photometric not in ("MINISBLACK", "MINISWHITE", "RGB"):
            return _with_format(read_picture(path))
        try:
            pixels = native(np.asarray(series.asarray()))
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _with_format(read_picture(path))
        if photometric == "MINISWHITE":
            pixels = ~pixels if pixels.dtype.kind in "bu" else -pixels
        alpha = any(getattr(sample, "value", sample) in (1, 2) for sample in page.extrasamples)
        spacing, units = _spacing(tif)
        axes = str(series.axes)
    pixels, plane_axes, n_samples, n_channels = _sorted_axes(pixels, axes)
    modalities = _modalities(stem(path), pixels, n_samples, n_channels, alpha)
    steps: tuple[float, ...] = tuple(spacing.get(a, 1.0) for a in "YX")
    names: tuple[str, ...] = ("y", "x")
    if plane_axes:
        single = plane_axes if len(plane_axes) == 1 else ""
        steps = (spacing.get(single, 1.0), *steps)
        names = ({"Z": "z", "T": "t"}.get(single, "plane"), *names)
    return ImageStack(modalities, steps, units, names, path.name, {"format": "tiff", "axes": axes})


def _with_format(stack: ImageStack) -> ImageStack:
    stack.metadata["format"] = "tiff"
    return stack


def _sorted_axes(pixels: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str, int, int]:
    """Bring to ``([planes,] Y, X[, channels])``; also the plane axes' letters, samples and channels."""
    if "Y" not in axes or "X" not in axes:
        raise InputError(f"its axes are {axes!r}; Y and X are needed.")
    if set(axes) <= set("QIYX") and len(axes) == 3 and pixels.shape[-1] <= 4 < min(pixels.shape[:2]):
        axes = "YXS"  # an array (y, x, channels) that was saved without saying so
    planes = [i for i, a in enumerate(axes) if a not in "YXCS" and pixels.shape[i] > 1]
    dropped = [i for i, a in enumerate(axes) if a not in "YXCS" and pixels.shape[i] == 1]
    last = [i for i, a in enumerate(axes) if a in "CS"]
    size = dict(zip(axes, pixels.shape, strict=True))
    n_samples, n_channels = size.get("S", 1), size.get("C", 1)
    pixels = np.transpose(pixels, [*dropped, *planes, axes.index("Y"), axes.index("X"), *last])
    shape = [size["Y"], size["X"]]
    if planes:
        shape.insert(0, -1)
    if n_samples * n_channels > 1:
        shape.append(n_samples * n_channels)
    return pixels.reshape(shape), "".join(axes[i] for i in planes), n_samples, n_channels


def _modalities(
    name: str, pixels: npt.NDArray[Any], n_samples: int, n_channels: int, alpha: bool
) -> tuple[Modality, ...]:
    if n_samples * n_channels == 1:
        return (Modality(name, pixels),)
    kind: ModalityKind = "auto" if n_channels == 1 else "fluorescence"
    if n_channels == 1 and n_samples == 2 and alpha:
        return (Modality(name, pixels[..., 0]),)
    if n_channels == 1 and n_samples == 4 and not alpha:
        return Modality(name, pixels[..., :3], True), Modality(f"{name} channel 4", pixels[..., 3])
    return (Modality(name, pixels, True, kind),)


def _spacing(tif: Any) -> tuple[dict[str, float], str]:
    """Step per axis letter, and its unit; resolution tags count only where ImageJ or OME vouch for them."""
    if tif.ome_metadata:
        return _ome_spacing(tif.ome_metadata)
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        steps = {}
        for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
            numerator, denominator = tif.pages[0].tags[tag].value if tag in tif.pages[0].tags else (1, 1)
            steps[axis] = denominator / numerator if numerator and denominator else 1.0
        steps["Z"] = float(meta.get("spacing", 1.0)) or 1.0
        unit = str(meta.get("unit", ""))
        return steps, _UNITS.get(unit, unit)
    return {}, "pixel"


def _ome_spacing(xml: str) -> tuple[dict[str, float], str]:
    image = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    sizes = {a: pixels.get(f"PhysicalSize{a}") for a in "XYZ"}
    units = {str(pixels.get(f"PhysicalSize{a}Unit", "µm")) for a, size in sizes.items() if size}
    if len(units) != 1:
        return {}, "pixel"
    unit = units.pop()
    return {a: float(size) for a, size in sizes.items() if size}, _UNITS.get(unit, unit)
