"""Files to scenes: which function reads what, and the pictures and NumPy arrays themselves."""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, PromptSegError
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

#: What a folder that is one image is.
FolderFormat = Literal["zarr", "dicom"]

_PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
_DICOM = (".dcm", ".dicom", ".ima")

#: Ending, in lower case, to the function that reads such files: ``module:name``, looked up on first use.
_READERS: dict[str, str] = {
    **dict.fromkeys(_PICTURES, "readers:read_picture"),
    ".npy": "readers:read_array",
    **dict.fromkeys((".tif", ".tiff"), "tiff_files:read_tiff"),
    **dict.fromkeys((".nii", ".nii.gz", ".hdr", ".img", ".img.gz"), "nifti_files:read_nifti"),
    **dict.fromkeys((".nrrd", ".nhdr", ".mha", ".mhd"), "itk_files:read_itk"),
    **dict.fromkeys(_DICOM, "dicom_files:read_dicom"),
}
_FOLDERS: dict[FolderFormat, str] = {"zarr": "zarr_files:read_zarr", "dicom": "dicom_files:read_dicom"}

#: Endings of the second file of a pair, which is found through the first.
_SECOND = (".img", ".img.gz")

#: Endings, in lower case, of the files that `read_image` understands.
IMAGE_SUFFIXES: tuple[str, ...] = tuple(e for e in _READERS if e not in _SECOND)

#: From this many on, the volumes of one file are no longer taken for modalities.
MANY = 5

#: Files looked at before a folder without DICOM's endings counts as holding none.
_LOOKED_AT = 20


def is_image_name(path: str | os.PathLike[str]) -> bool:
    """Whether the name ends like a file that `read_image` understands; hidden files do not count."""
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)


def folder_format(path: str | os.PathLike[str]) -> FolderFormat | None:
    """What single image a folder is: a Zarr array or group, the slices of DICOM series, or none.

    A folder counts as DICOM where its files have that ending or, named otherwise or without any ending, begin as
    DICOM files do; so does one that holds nothing but such a folder, as discs of hospitals have them.
    """
    folder = Path(path)
    if not folder.is_dir():
        return None
    if any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")):
        return "zarr"
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    files = [p for p in inside if p.is_file() and not _is_segmentation_of_ours(p)]
    if any(p.name.lower().endswith(_DICOM) or p.name.upper() == "DICOMDIR" for p in files):
        return "dicom"
    if not files and len(inside) == 1:
        return "dicom" if folder_format(inside[0]) == "dicom" else None
    nameless = [p for p in files if not is_image_name(p)]
    return "dicom" if any(map(is_dicom, nameless[:_LOOKED_AT])) else None


def _is_segmentation_of_ours(file: Path) -> bool:
    """Whether it is DICOM that was written for a series, with its legend: it makes no series of its folder."""
    return file.name.lower().endswith("_labels.dcm") and file.with_suffix(".json").exists()


def is_image(path: str | os.PathLike[str]) -> bool:
    """Whether `read_image` takes a path that exists: a file by its name or beginning, a folder by what is in it."""
    file = Path(path)
    if file.name.startswith("."):
        return False
    if file.is_dir():
        return folder_format(file) is not None
    return is_image_name(file) or (is_dicom(file) and file.name.upper() != "DICOMDIR")


def holds_dicom(folder: Path) -> bool:
    """Whether a DICOM file lies somewhere below a folder; thousands of other files are not looked through."""
    files = (Path(root, name) for root, _, names in os.walk(folder) for name in sorted(names))
    unknown = (file for file in files if file.name.lower().endswith(_DICOM) or not is_image_name(file))
    return any(map(is_dicom, itertools.islice(unknown, 1000)))


def stem(path: str | os.PathLike[str]) -> str:
    """File name without folder and image ending: ``"a/brain.nii.gz"`` gives ``"brain"``."""
    name = Path(path).name
    endings = (".ome.tif", ".ome.tiff", ".ome.zarr", ".zarr", *_SECOND, *IMAGE_SUFFIXES)
    for ending in sorted(endings, key=len, reverse=True):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return Path(name).stem if not Path(path).is_dir() else name


def read_image(
    path: str | os.PathLike[str], *, kind: ModalityKind = "auto", series: int | str | None = None
) -> ImageStack:
    """Read one image: a file, or a folder that is one image.

    Parameters
    ----------
    path : str or path-like
        PNG, JPEG, BMP, WebP, GIF, TIFF (stacks, multi-channel, ImageJ, OME), ``.npy``, NIfTI, NRRD, MetaImage,
        DICOM (one file, a folder of slices, a DICOMDIR), OME-Zarr and plain Zarr.
    kind : ModalityKind
        What the values show; ``"auto"`` decides from the file.
    series : int or str, optional
        Number or key of the series, where a DICOM folder holds several.

    Returns
    -------
    ImageStack
        On the file's own pixel grid: the camera's rotation tag is not applied, so that labels fit the file as
        other programs index it. Medical volumes are turned upright (anterior up, patient's right on the left, as
        ``(z, y, x)``) and their geometry says how to turn labels back. Time, Z and other plane axes become one axis
        of planes. Zarr and big TIFF stay on the disk, and only what is looked at is read.

    Raises
    ------
    InputError
        If the file is missing, a folder of files, of an unknown type, or cannot be read.
    """
    file = Path(path)
    if not file.exists():
        raise InputError(f"There is no file {str(file)!r}: check the path.")
    read = _reader(file, series)
    with in_a_sentence(file):
        stack = read(file)
    if kind != "auto":
        stack = replace(stack, modalities=tuple(replace(m, kind=kind) for m in stack.modalities))
    return stack


@contextlib.contextmanager
def in_a_sentence(file: Path) -> Iterator[None]:
    """Turn whatever reading a file raises into an `InputError` that names it; errors of other kinds of ours stay."""
    try:
        yield
    except InputError as error:
        if repr(file.name) in str(error):
            raise
        raise InputError(f"{file.name!r} cannot be used: {error}") from error
    except PromptSegError:
        raise
    except MemoryError as error:
        raise InputError(f"{file.name!r} does not fit into memory: crop or downsample it first.") from error
    # Decoders raise whatever a broken file makes them stumble over, from struct.error to SyntaxError.
    except Exception as error:
        raise InputError(
            f"{file.name!r} cannot be read, it may be damaged or of another type ({_reason(error, file)})."
        ) from error


def _reason(error: Exception, file: Path) -> str:
    """What a decoder said, as a clause; without the folders, which may be named after the patient."""
    if isinstance(error, (KeyError, IndexError, TypeError, AttributeError)):  # not made for people
        return "its header contradicts itself"
    text = " ".join(str(error).split()) or type(error).__name__
    for folder in {str(file.parent), str(file.parent.resolve())} - {".", os.sep}:
        text = text.replace(folder + os.sep, "")
    return text.replace(". ", "; ").rstrip(". ")[:200]


def first_of_many(stack: ImageStack) -> ImageStack:
    """A series in time, or a file of `MANY` volumes and more, as its first volume; anything else as it is.

    Such volumes are no modalities that add to each other; a note says that the others were left out.
    """
    n = len(stack.modalities)
    if "time" not in stack.metadata or (stack.metadata["time"] is None and n < MANY):
        return stack
    notes = [
        *stack.metadata.get("notes", ()),
        f"Of its {n} volumes the first was taken: save others as files of their own.",
    ]
    return replace(stack, modalities=stack.modalities[:1], metadata={**stack.metadata, "notes": notes})


def _reader(file: Path, series: int | str | None) -> Callable[[Path], ImageStack]:
    """The function that reads such a path."""
    name, folder = file.name.lower(), folder_format(file)
    if file.is_dir() and folder is None:
        if not holds_dicom(file):
            raise InputError(f"{str(file)!r} is a folder: name an image file in it.")
        folder = "dicom"
    place = _FOLDERS[folder] if folder else next((r for ending, r in _READERS.items() if name.endswith(ending)), None)
    if place is None and is_dicom(file):
        place = _FOLDERS["dicom"]
    if place is None:
        raise InputError(
            f"{file.name!r} is of a type that cannot be read; these can: {', '.join(sorted(IMAGE_SUFFIXES))}, "
            "and folders of DICOM slices or Zarr."
        )
    module, function = place.split(":")
    read: Callable[..., ImageStack] = getattr(importlib.import_module(f"napari_promptseg.images.{module}"), function)
    if series is None:
        return read
    if place != _FOLDERS["dicom"]:
        raise InputError(f"{file.name!r} is no DICOM: leave the number of the series out.")
    return functools.partial(read, series=series)


def read_picture(path: Path) -> ImageStack:
    """Read anything Pillow can: one picture, or an animation as a stack of planes."""
    from PIL import Image

    with warnings.catch_warnings():
        # Pillow warns of damaged notes of the camera, and from 89 million pixels on, meaning web servers
        warnings.simplefilter("ignore")
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


def read_array(path: Path) -> ImageStack:
    """Read an ``.npy`` file; planes of a big stack are read when they are looked at."""
    # Mapped, not loaded.
    pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return ImageStack.from_array(native(pixels), name=stem(path), source=path.name, metadata={"format": "numpy"})
