"""Any pixel values to the 8-bit RGB picture an encoder was trained on.

One pair of display limits is measured per modality, on a subsample, and shared by all its planes and tiles, so that
the same value becomes the same grey everywhere in a scene.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ModalityKind

#: One pair for all channels, or one pair per channel of a picture whose channels are merged.
Limits = tuple[float, float] | tuple[tuple[float, float], ...]

#: Values looked at when limits are measured: enough for percentiles of 0.2 %, few enough to be instant.
_SAMPLE = 1_000_000
#: Rows are converted in strips of about this many values, which bounds the memory of a big plane.
_STRIP = 4_000_000

#: Percentiles that become black and white. 1 and 99.8: CSBDeep's and StarDist's habit for fluorescence.
_PERCENTILES = {"thermal": (0.5, 99.5), "depth": (2.0, 98.0), "nir": (1.0, 99.0)}
#: Contrasts of magnetic resonance; all are shown alike, outside the body left out of the measuring.
MR_KINDS = ("mr", "flair", "t1", "t1c", "t2", "dwi")
_PERCENTILES |= dict.fromkeys(MR_KINDS, (0.5, 99.5))
_DEFAULT_PERCENTILES = (1.0, 99.8)

#: Share of values between the lowest and zero from which on MR counts as made mean 0, and not as noisy.
_BELOW_ZERO = 0.05

#: The abdominal soft-tissue window, centre 40 and width 400 Hounsfield units.
SOFT_TISSUE_WINDOW = (-160.0, 240.0)


def to_rgb8(plane: npt.ArrayLike, kind: ModalityKind = "auto", limits: Limits | None = None) -> npt.NDArray[np.uint8]:
    """Make the picture an encoder sees from one plane of any type and number of channels.

    Parameters
    ----------
    plane : array-like
        ``(y, x)`` or ``(y, x, C)``; bool, integer or real.
    kind : ModalityKind
        What the values are; decides how limits are measured.
    limits : Limits, optional
        Values that become black and white; measured on this plane where not given, see `measure_limits`.

    Returns
    -------
    numpy.ndarray
        ``(y, x, 3)`` uint8.

    Raises
    ------
    InputError
        If the array is no plane, is empty, or holds something else than numbers.

    Notes
    -----
    Channels: 1 is repeated, 2 are merged as green and magenta, 3 are RGB, 4 are RGBA laid over black as napari
    shows it, and of more the first three count as RGB. With kind ``"fluorescence"`` 4 and more are merged, each in
    its own hue. 8-bit pictures stay as they are unless limits or a kind that is no photograph ask for a stretch.
    NaN and minus infinity become black, plus infinity white; a constant picture that is not 8-bit becomes black.
    """
    pixels = np.asarray(plane)
    if pixels.ndim not in (2, 3):
        raise InputError(f"A plane (y, x) or (y, x, channels) is needed, but the array has shape {pixels.shape}.")
    _check_values(pixels)
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    n = pixels.shape[-1]
    if limits is None:
        limits = measure_limits(pixels, kind, channels=True)
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    rows = max(1, _STRIP // max(1, pixels.shape[1] * n))
    for top in range(0, pixels.shape[0], rows):
        strip = pixels[top : top + rows]
        if _is_merged(n, kind):
            out[top : top + rows] = _merge(strip, limits)
        elif n == 1:
            out[top : top + rows] = _scale(strip, _one(limits, 0))
        elif n == 4:
            out[top : top + rows] = _over_black(strip, limits)
        else:
            for channel in range(3):
                out[top : top + rows, :, channel] = _scale(strip[..., channel], _one(limits, channel))
    return out


def measure_limits(pixels: Any, kind: ModalityKind = "auto", *, channels: bool = False) -> Limits:
    """Measure which values should become black and white.

    Parameters
    ----------
    pixels : array-like
        ``([z,] y, x)``, or with a last axis of channels; NumPy, dask or zarr. At most about a million values
        from up to eight planes are read.
    kind : ModalityKind
        Decides the rule: 8-bit pictures keep 0 to 255, float RGB within 0 to 1 keeps 0 to 1; CT with negative
        values gets the soft-tissue window; MR (all its contrasts) and depth leave out values of zero and below, and
        standardised MR, which goes below zero, only its lowest value; PET begins at 0; everything else is cut at
        robust percentiles.
    channels : bool
        Whether the last axis is channels.

    Returns
    -------
    Limits
        ``(low, high)``, or one such pair per channel where channels are merged (two channels, fluorescence).

    Raises
    ------
    InputError
        If the array is empty or holds something else than numbers.
    """
    _check_values(pixels)
    n = int(pixels.shape[-1]) if channels else 1
    dtype = np.dtype(pixels.dtype)
    if dtype == np.bool_:
        return (0.0, 1.0)
    if dtype == np.uint8 and kind in ("auto", "rgb", "grey") and not _is_merged(n, kind):
        return (0.0, 255.0)
    sample = _subsample(pixels, channels)
    if _is_merged(n, kind):
        return tuple(_robust(sample[..., channel], kind) for channel in range(n))
    if n in (3, 4) and kind in ("auto", "rgb"):
        return _photograph(sample[..., :3])
    return _robust(sample[..., :3], kind)


def _check_values(pixels: Any) -> None:
    if 0 in pixels.shape:
        raise InputError(f"The image is empty: its shape is {tuple(pixels.shape)}.")
    if np.dtype(pixels.dtype).kind not in "buif":
        raise InputError(f"The image holds {pixels.dtype} values; bool, integer or real numbers are needed.")


def _is_merged(n_channels: int, kind: str) -> bool:
    """Whether each channel is stretched by itself and drawn in its own hue."""
    return n_channels == 2 or (kind == "fluorescence" and n_channels > 1)


def _one(limits: Limits, channel: int) -> tuple[float, float]:
    """The pair that holds for one channel."""
    pair: Any = limits if np.isscalar(limits[0]) else limits[min(channel, len(limits) - 1)]
    low, high = float(pair[0]), float(pair[1])
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"The display limits must be finite numbers, not {low} and {high}.")
    return low, high


def _scale(values: npt.NDArray[Any], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Map ``low..high`` to ``0..255``; equal limits make a step, so nothing divides by zero."""
    low, high = limits
    if values.dtype == np.uint8 and limits == (0.0, 255.0):
        return values
    small = values.dtype.kind in "bu" and values.dtype.itemsize <= 2
    real: Any = np.float32 if small or values.dtype in (np.int8, np.int16, np.float16) else np.float64
    # Halved before subtracting: the difference of two huge values stays finite.
    x = np.nan_to_num(values.astype(real) * real(0.5), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    width = high * 0.5 - low * 0.5
    if not width > 0:
        return np.where(x > low * 0.5, np.uint8(255), np.uint8(0))
    np.clip(x, low * 0.5, high * 0.5, out=x)
    with np.errstate(under="ignore"):
        x -= real(low * 0.5)
        x = x / real(width) * real(255) + real(0.5)
    scaled: npt.NDArray[np.uint8] = np.clip(x, 0, 255).astype(np.uint8)
    return scaled


def _over_black(pixels: npt.NDArray[Any], limits: Limits) -> npt.NDArray[np.uint8]:
    """RGBA on a black ground; where everything is opaque the colours come through unchanged."""
    colour = np.stack([_scale(pixels[..., c], _one(limits, c)) for c in range(3)], axis=-1)
    alpha = pixels[..., 3]
    kind = alpha.dtype.kind
    full = float(np.iinfo(alpha.dtype).max) if kind in "ui" else 1.0
    if kind == "f" and np.nanmax(alpha, initial=0.0) > 1:
        full = 255.0
    share = (np.clip(np.nan_to_num(alpha), 0, full).astype(np.float32) / np.float32(full))[..., np.newaxis]
    blended: npt.NDArray[np.uint8] = (colour * share + np.float32(0.5)).astype(np.uint8)
    return blended


def _merge(pixels: npt.NDArray[Any], limits: Limits) -> npt.NDArray[np.uint8]:
    """Add the channels up, each in its own hue."""
    hues = _hues(pixels.shape[-1])
    total = np.zeros((*pixels.shape[:2], 3), np.float32)
    for channel, hue in enumerate(hues):
        total += _scale(pixels[..., channel], _one(limits, channel))[..., np.newaxis] * hue
    merged: npt.NDArray[np.uint8] = np.clip(total + 0.5, 0, 255).astype(np.uint8)
    return merged


def _hues(n: int) -> npt.NDArray[np.float32]:
    """``(n, 3)`` colours: green and magenta (told apart by everyone), RGB, or hues spread over the circle."""
    if n == 2:
        return np.array([(0, 1, 0), (1, 0, 1)], np.float32)
    return np.array([colorsys.hsv_to_rgb(i / n, 1, 1) for i in range(n)], np.float32)


def _photograph(sample: npt.NDArray[Any]) -> tuple[float, float]:
    """Limits of an RGB picture: those of its format where its values show which, else robust ones."""
    finite = sample[np.isfinite(sample)]
    if finite.size and finite.min() >= 0 and sample.dtype.kind == "f":
        if finite.max() <= 1:
            return (0.0, 1.0)
        if finite.max() <= 255 and np.array_equal(finite, np.round(finite)):
            return (0.0, 255.0)
    return _robust(sample, "rgb")


def _robust(sample: npt.NDArray[Any], kind: str) -> tuple[float, float]:
    """Percentiles of the finite values; the full range where the percentiles fall together."""
    finite = sample[np.isfinite(sample)].astype(np.float64)
    if finite.size == 0:
        return (0.0, 1.0)
    if kind == "ct" and finite.min() < 0:
        return SOFT_TISSUE_WINDOW
    if kind in MR_KINDS or kind == "depth":
        # Zero is air outside the head, or a ray that came back empty; in MR made mean 0 air is one value below all.
        lowest = finite.min()
        standardised = kind in MR_KINDS and ((finite > lowest) & (finite < 0)).mean() > _BELOW_ZERO
        floor = lowest if standardised else 0.0
        above = finite[finite > floor]
        finite = above if above.size > finite.size // 100 else finite
    # "nearest" picks existing values: no interpolation that could overflow.
    low, high = np.percentile(finite, _PERCENTILES.get(kind, _DEFAULT_PERCENTILES), method="nearest")
    if kind == "pet":
        low = min(0.0, float(low))  # no uptake is black, however much of the picture takes some up
    if not high > low:
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def _subsample(pixels: Any, channels: bool) -> npt.NDArray[Any]:
    """About `_SAMPLE` values as ``(n, C)``: up to eight planes, and of big planes a grid of small blocks."""
    shape = tuple(int(s) for s in pixels.shape)
    n = shape[-1] if channels else 1
    grid = shape[:-1] if channels else shape
    planes: list[Any] = [pixels]
    if len(grid) == 3:
        planes = [pixels[z] for z in np.unique(np.linspace(0, grid[0] - 1, 8).round().astype(int))]
    height, width = grid[-2:]
    budget = max(1, _SAMPLE // (len(planes) * n))
    if height * width <= 4 * budget:
        parts = [np.asarray(p).reshape(-1, n) for p in planes]
    else:
        # 256 blocks, so that a lazy array reads few chunks in part instead of all of them.
        side = max(1, int((budget / 256) ** 0.5))
        rows = np.unique(np.linspace(0, max(0, height - side), min(16, height)).astype(int))
        columns = np.unique(np.linspace(0, max(0, width - side), min(16, width)).astype(int))
        parts = [
            np.asarray(p[r : r + side, c : c + side]).reshape(-1, n) for p in planes for r in rows for c in columns
        ]
    return np.concatenate(parts)
