"""NRRD and MetaImage volumes, as SimpleITK reads them, turned upright."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.itk_headers import check_meta, check_nrrd
from napari_promptseg.images.readers import native, stem
from napari_promptseg.images.stack import ImageStack, Modality

#: Endings of the one format; the other's are MetaImage's.
NRRD = (".nrrd", ".nhdr")

#: What NRRD calls spaces in which the patient's left and back have no axis.
_NOT_ANATOMICAL = ("scanner-xyz", "3D-right-handed", "3D-left-handed")


def read_itk(path: Path) -> ImageStack:
    """Read a volume as ``(z, y, x)``, upright, with its spacing in mm.

    Parameters
    ----------
    path : pathlib.Path
        ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``. Anatomical spaces other than LPS are turned into it by ITK.

    Returns
    -------
    ImageStack
        One modality; one for each volume of a fourth axis and for each component of a vector image, but
        three or four 8-bit components are colours. ``metadata["notes"]`` says what the file leaves open.

    Raises
    ------
    InputError
        If SimpleITK is missing, or the file holds complex values or more than four axes.
    ValueError
        If SimpleITK cannot read it.
    """
    try:
        import SimpleITK as sitk
    except ImportError as error:
        raise InputError('SimpleITK is needed to read it: pip install "napari-promptseg[medical]".') from error
    is_nrrd = path.name.lower().endswith(NRRD)
    (check_nrrd if is_nrrd else check_meta)(path)
    try:
        image = sitk.ReadImage(str(path), imageIO="NrrdImageIO" if is_nrrd else "MetaImageIO")
    except RuntimeError as error:
        raise ValueError(_reason(path, str(error))) from error
    values = np.asarray(sitk.GetArrayFromImage(image))
    if values.dtype.kind not in "buif":
        raise InputError(f"it holds {values.dtype} values; integers or real numbers are needed.")
    n_components = int(image.GetNumberOfComponentsPerPixel())
    affine = _affine(image)
    # ITK's arrays run (n, k, j, i, component); the geometry's, as files do, (i, j, k, n, component)
    grid_axes = values.ndim - (1 if n_components > 1 else 0)
    if grid_axes > 4:
        raise InputError(f"it has {grid_axes} axes {values.shape}; three in space and one more can be read.")
    values = values.transpose((*range(grid_axes - 1, -1, -1), *range(grid_axes, values.ndim)))
    while grid_axes < 3:
        values, grid_axes = np.expand_dims(values, grid_axes), grid_axes + 1
    geometry = Geometry.of_file(values.shape[:3], affine)
    upright = native(geometry.to_stack(values))
    notes = _notes(image, is_nrrd)
    return ImageStack(
        _modalities(stem(path), upright, grid_axes == 4, n_components),
        spacing=geometry.spacing,
        units="mm",
        source=path.name,
        metadata={
            "format": "nrrd" if is_nrrd else "mha",
            **({"time": None} if grid_axes == 4 and upright.shape[3] > 1 else {}),
            **({"notes": notes, "unplaced": True} if notes else {}),
        },
        geometry=geometry,
    )


def _affine(image: Any) -> npt.NDArray[np.float64]:
    """``(4, 4)`` from the file's first three axes to millimetres; a plane lies flat at height 0, 1 mm thick."""
    n = int(image.GetDimension())
    matrix = np.asarray(image.GetDirection(), float).reshape(n, n) * np.asarray(image.GetSpacing(), float)
    used = min(n, 3)
    affine = np.eye(4)
    affine[:used, :used] = matrix[:used, :used]
    affine[:used, 3] = np.asarray(image.GetOrigin(), float)[:used]
    return affine


def _modalities(name: str, upright: npt.NDArray[Any], several: bool, n_components: int) -> tuple[Modality, ...]:
    """Views of the upright values ``(z, y, x[, volume][, component])``."""
    volumes = [(name, upright)]
    if several:
        one = upright.shape[3] == 1
        volumes = [(name if one else f"{name} volume {i + 1}", upright[:, :, :, i]) for i in range(upright.shape[3])]
    if n_components == 1:
        return tuple(Modality(label, values) for label, values in volumes)
    if n_components in (3, 4) and upright.dtype == np.uint8:
        return tuple(Modality(label, values, True, "rgb") for label, values in volumes)
    return tuple(
        Modality(f"{label} component {i + 1}", values[..., i]) for label, values in volumes for i in range(n_components)
    )


def _notes(image: Any, is_nrrd: bool) -> list[str]:
    if not is_nrrd:
        return []
    space = image.GetMetaData("NRRD_space") if image.HasMetaDataKey("NRRD_space") else ""
    if not space:
        return ["The file does not say how it lies in the patient: left, back and head were taken for its axes."]
    if space in _NOT_ANATOMICAL:
        return [f"The file's space is {space!r}: left, back and head were taken for its axes."]
    return []


def _reason(path: Path, text: str) -> str:
    """What ITK's message of many lines says at its end, without its own source's and the file's folders."""
    if "determinant is 0" in text:
        return "its axes coincide"
    if "allocate memory" in text:
        return "it would be larger than the memory"
    lines = [line.strip() for line in text.replace(str(path), path.name).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Reason:")]
    # teem's lines begin with its own name and that of a function
    return re.sub(r"^\[nrrd\] \w+: ", "", said[-1].split("): ")[-1]).rstrip(":. ")
