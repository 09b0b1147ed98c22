"""TIFF in its many dialects: plain, ImageJ and OME, with their axes, channels and spacing."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_promptseg.errors import InputError
from napari_promptseg.images.lazy_arrays import lazy, sorted_axes
from napari_promptseg.images.readers import native, read_picture, stem
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

_UNITS = {"micron": "um", "microns": "um", "µm": "um", "μm": "um", "\\u00B5m": "um", "inch": "in", "": "pixel"}

#: Micrometres in the units of length that OME-TIFF mixes within one file.
_MICROMETRES = {"pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


#: Bytes of an image from which on it is left on the disk.
AT_ONCE = 2**28


def read_tiff(path: Path) -> ImageStack:
    """Read the first series of a TIFF at full resolution.

    Notes
    -----
    Axes are sorted into planes (time, Z and whatever else, flattened to one axis), ``Y, X``, and channels. Samples
    of a pixel (RGB) stay colours; a channel axis (a microscope's) is of kind ``"fluorescence"``. A fourth sample
    that the file does not call alpha becomes a modality of its own. Palettes and compressions that tifffile
    leaves to an optional library are read with Pillow.

    A pyramid, and anything larger than `AT_ONCE`, stays on the disk as dask arrays; the pyramid's smaller pictures
    are the modality's levels.
    """
    with tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise InputError("it holds no image.")
        series = tif.series[0]
        page = series.keyframe
        photometric = getattr(page.photometric, "name", "MINISBLACK")
        n_levels = len(series.levels)
        is_lazy = n_levels > 1 or series.nbytes > AT_ONCE
        missing = _missing_codec(page)
        if is_lazy and missing:
            raise InputError(f"its compression ({missing}) needs another library: pip install imagecodecs.")
        if (
            missing
            or photometric not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR")
            or (photometric == "YCBCR" and not is_lazy)
        ):
            return _with_format(read_picture(path))
        axes = list(str(series.axes).lower())
        levels = [native(np.asarray(series.asarray()))] if not is_lazy else []
        alpha = any(getattr(sample, "value", sample) in (1, 2) for sample in page.extrasamples)
        spacing, units, channels = _described(tif)
    if is_lazy:
        levels = [lazy(TiffLevel(path, level), axes, path.name) for level in range(n_levels)]
    size = dict(zip(axes, levels[0].shape, strict=True))
    if set(axes) <= {"q", "i", "y", "x"} and len(axes) == 3 and levels[0].shape[-1] <= 4 < min(levels[0].shape[:2]):
        axes = ["y", "x", "s"]  # an array (y, x, channels) that was saved without saying so
        size = dict(zip(axes, levels[0].shape, strict=True))
    if photometric == "MINISWHITE":
        levels = [~level if level.dtype.kind in "bu" else -level for level in levels]
    pixels, plane_axes = sorted_axes(levels[0], axes)
    smaller = [sorted_axes(level, axes, plane_axes)[0] for level in levels[1:]]
    modalities = _modalities(stem(path), pixels, smaller, size.get("s", 1), size.get("c", 1), alpha)
    steps: tuple[float, ...] = tuple(spacing.get(a, 1.0) for a in "yx")
    names: tuple[str, ...] = ("y", "x")
    if plane_axes:
        single = plane_axes[0] if len(plane_axes) == 1 else ""
        steps = (spacing.get(single, 1.0), *steps)
        names = (single if single in ("z", "t") else "plane", *names)
    metadata: dict[str, Any] = {"format": "tiff", "axes": "".join(axes).upper()}
    if n_levels > 1:
        metadata["levels"] = [
            {"path": str(i), "shape": [int(n) for n in level.shape]} for i, level in enumerate(levels)
        ]
    if channels and len(channels) == size.get("c", 1):
        metadata["channels"] = [{"name": name} for name in channels]
    return ImageStack(modalities, steps, units, names, path.name, metadata)


class TiffLevel:
    """One picture of a pyramid on the disk, read tile by tile; a worker elsewhere opens the file anew.

    Parameters
    ----------
    path : pathlib.Path
    level : int
        0 is the finest.
    """

    def __init__(self, path: Path, level: int) -> None:
        self._place = (path.resolve(), level)
        with tifffile.TiffFile(path) as tif:
            contiguous = level == 0 and tif.series[0].dataoffset is not None and not tif.series[0].is_multifile
        if contiguous:
            self._array: Any = tifffile.memmap(path, series=0, mode="r")
        else:
            import zarr

            store = tifffile.imread(path, aszarr=True, series=0, level=level)
            self._array = zarr.open_array(store, mode="r")
            weakref.finalize(self, store.close)
        self.shape: tuple[int, ...] = tuple(self._array.shape)
        self.dtype: np.dtype[Any] = self._array.dtype
        self.ndim = len(self.shape)
        self.chunks: tuple[int, ...] | None = getattr(self._array, "chunks", None)

    def __getitem__(self, at: Any) -> npt.NDArray[Any]:
        return np.asarray(self._array[at])

    def __reduce__(self) -> tuple[Any, ...]:
        return TiffLevel, self._place


def _missing_codec(page: Any) -> str:
    """Name of a compression that tifffile cannot undo here."""
    for table, code in ((tifffile.TIFF.DECOMPRESSORS, page.compression), (tifffile.TIFF.UNPREDICTORS, page.predictor)):
        try:
            table[code]
        except KeyError:
            return str(getattr(code, "name", code))
    return ""


def _with_format(stack: ImageStack) -> ImageStack:
    stack.metadata["format"] = "tiff"
    return stack


def _modalities(
    name: str, pixels: Any, smaller: list[Any], n_samples: int, n_channels: int, alpha: bool
) -> tuple[Modality, ...]:
    if n_samples * n_channels == 1:
        return (Modality(name, pixels, levels=tuple(smaller)),)
    kind: ModalityKind = "auto" if n_channels == 1 else "fluorescence"
    if n_channels == 1 and n_samples == 2 and alpha:
        return (Modality(name, pixels[..., 0], levels=tuple(p[..., 0] for p in smaller)),)
    if n_channels == 1 and n_samples == 4 and not alpha:
        return (
            Modality(name, pixels[..., :3], True, levels=tuple(p[..., :3] for p in smaller)),
            Modality(f"{name} channel 4", pixels[..., 3], levels=tuple(p[..., 3] for p in smaller)),
        )
    return (Modality(name, pixels, True, kind, levels=tuple(smaller)),)


def _described(tif: Any) -> tuple[dict[str, float], str, list[str]]:
    """Step per axis, its unit, and the channels' names; resolution tags count only where ImageJ or OME vouch."""
    if tif.ome_metadata:
        return _ome_described(tif.ome_metadata)
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        steps = {}
        for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
            numerator, denominator = tif.pages[0].tags[tag].value if tag in tif.pages[0].tags else (1, 1)
            steps[axis] = denominator / numerator if numerator and denominator else 1.0
        steps["z"] = float(meta.get("spacing", 1.0)) or 1.0
        unit = str(meta.get("unit", ""))
        return steps, _UNITS.get(unit, unit), []
    return {}, "pixel", []


def _ome_described(xml: str) -> tuple[dict[str, float], str, list[str]]:
    image = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    channels = pixels.get("Channel", [])
    names = [str(c.get("Name", "")) for c in (channels if isinstance(channels, list) else [channels])]
    names = names if all(names) else []
    sizes = {a: float(size) for a in "xyz" if (size := pixels.get(f"PhysicalSize{a.upper()}"))}
    told = {a: str(pixels.get(f"PhysicalSize{a.upper()}Unit", "µm")) for a in sizes}
    units = {a: _UNITS.get(unit, unit) for a, unit in told.items()}
    if not units or (len(set(units.values())) > 1 and not _MICROMETRES.keys() >= set(units.values())):
        return {}, "pixel", names
    unit = next(iter(units.values()))
    ratios = {a: 1.0 if own == unit else _MICROMETRES[own] / _MICROMETRES[unit] for a, own in units.items()}
    return {a: size * ratios[a] for a, size in sizes.items()}, unit, names
