"""Labels as TIFF and PNG."""

from __future__ import annotations

import io
from typing import Any

import numpy.typing as npt

from napari_promptseg.images.stack import ImageStack


def encode_png(labels: npt.NDArray[Any]) -> bytes:
    """Bytes of a grey PNG of one plane ``(Y, X)``; leading axes of length 1 are left out."""
    from PIL import Image

    buffer = io.BytesIO()
    # Grey, not a palette: every reader gives back the values.
    Image.fromarray(labels.reshape(labels.shape[-2:])).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_tiff(labels: npt.NDArray[Any], source: ImageStack | None) -> bytes:
    """Bytes of a TIFF ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)`` with the source's spacing, as ImageJ reads it."""
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
