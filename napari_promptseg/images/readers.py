"""Files to scenes: pictures, TIFF stacks, NumPy arrays and NIfTI volumes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

_PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
_TIFF = (".tif", ".tiff")
_NIFTI = (".nii", ".nii.gz")

#: Endings, in lower case, of the files that `read_image` understands.
IMAGE_SUFFIXES: tuple[str, ...] = (*_PICTURES, *_TIFF, ".npy", *_NIFTI)


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like a file that `read_image` understands; hidden files do not count."""
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def stem(path: str | os.PathLike[str]) -> str:
    """File name without folder and image ending: ``"a/brain.nii.gz"`` gives ``"brain"``."""
    name = Path(path).name
    for ending in sorted((".ome.tif", ".ome.tiff", *IMAGE_SUFFIXES), key=len, reverse=True):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return Path(name).stem


def read_image(path: str | os.PathLike[str], *, kind: ModalityKind = "auto") -> ImageStack:
    """Read one image file.

    Parameters
    ----------
    path : str or path-like
        PNG, JPEG, BMP, WebP, GIF, TIFF (stacks, multi-channel, ImageJ, OME), ``.npy``, NIfTI.
    kind : ModalityKind
        What the values show; ``"auto"`` decides from the file.

    Returns
    -------
    ImageStack
        On the file's own pixel grid: the camera's rotation tag is not applied, so that labels fit the file as
        other programs index it. NIfTI is turned upright (anterior up, patient's right on the left, as ``(z, y, x)``)
        and its metadata says how to turn labels back. Time, Z and other plane axes become one axis of planes.

    Raises
    ------
    InputError
        If the file is missing, a folder, of an unknown type, or cannot be read.
    """
    file = Path(path)
    if file.is_dir():
        raise InputError(f"{str(file)!r} is a folder: name an image file in it.")
    if not file.exists():
        raise InputError(f"There is no file {str(file)!r}: check the path.")
    name = file.name.lower()
    if name.endswith(_TIFF):
        from napari_promptseg.images.tiff_files import read_tiff

        read: Callable[[Path], ImageStack] = read_tiff
    elif name.endswith(_NIFTI):
        from napari_promptseg.images.nifti_files import read_nifti

        read = read_nifti
    elif name.endswith(".npy"):
        read = _read_array
    elif name.endswith(_PICTURES):
        read = read_picture
    else:
        raise InputError(
            f"{file.name!r} is of a type that cannot be read; these can: {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    try:
        stack = read(file)
    except InputError as error:
        raise InputError(f"{file.name!r} cannot be used: {error}") from error
    except MemoryError as error:
        raise InputError(f"{file.name!r} does not fit into memory: crop or downsample it first.") from error
    # Decoders raise whatever a broken file makes them stumble over, from struct.error to SyntaxError.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{file.name!r} cannot be read, it may be damaged or of another type ({reason}).") from error
    if kind != "auto":
        stack = replace(stack, modalities=tuple(replace(m, kind=kind) for m in stack.modalities))
    return stack


def read_picture(path: Path) -> ImageStack:
    """Read anything Pillow can: one picture, or an animation as a stack of planes."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns from 89 million pixels on, meaning web servers; here the user opens his own files.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            frames = []
            for index in range(getattr(image, "n_frames", 1)):
                image.seek(index)
                frames.append(frame_pixels(image))
    shapes = {f.shape for f in frames}
    if len(shapes) > 1:
        raise InputError(f"its frames differ in size or colours {sorted(shapes)}.")
    pixels = frames[0] if len(frames) == 1 else np.stack(frames)
    channels = frames[0].ndim == 3
    return ImageStack(
        (Modality(stem(path), pixels, channels, "rgb" if channels else "grey"),),
        source=path.name,
        metadata={"format": "picture"},
    )


def frame_pixels(image: Any) -> npt.NDArray[Any]:
    """Values of one Pillow image: ``(y, x)``, or ``(y, x, C)`` for RGB and RGBA; palettes are resolved."""
    mode = str(image.mode)
    if mode in ("LA", "La", "PA", "RGBa") or (mode == "P" and "transparency" in image.info):
        image = image.convert("RGBA")
    elif mode not in ("1", "L", "RGB", "RGBA", "I", "F") and not mode.startswith("I;16"):
        image = image.convert("RGB")
    return native(np.asarray(image))


def native(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same values in this machine's byte order, which torch insists on."""
    return pixels if pixels.dtype.isnative else pixels.astype(pixels.dtype.newbyteorder("="))


def _read_array(path: Path) -> ImageStack:
    # Mapped, not loaded: planes of a big stack are read one at a time.
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return ImageStack.from_array(native(pixels), name=stem(path), source=path.name, metadata={"format": "numpy"})
