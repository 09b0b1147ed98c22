"""NIfTI volumes: turned upright for people and encoders, and turned back for the file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import RAS_LPS, Geometry
from napari_promptseg.images.readers import native, stem
from napari_promptseg.images.stack import ImageStack, Modality


def read_nifti(path: Path) -> ImageStack:
    """Read a volume as ``(z, y, x)``, upright, with its spacing in mm.

    A fourth axis of several volumes gives one modality each. The stack's geometry and metadata keep the file's own
    grid and frames, from which `encode_nifti` writes labels that lie over the source in any program.
    """
    image = nibabel.load(path)
    values = np.asanyarray(image.dataobj)
    if values.dtype.names:  # RGB24
        values = np.stack([values[n] for n in values.dtype.names], axis=-1)
        colours = True
    else:
        colours = False
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        while values.ndim > 3 and values.shape[-1] == 1:
            values = values[..., 0]
    while values.ndim - colours < 3:
        values = values[..., np.newaxis] if not colours else values[:, :, np.newaxis]
    if values.ndim > 4:
        raise InputError(f"it has {values.ndim} axes {values.shape}; three in space and one more can be read.")
    unit = str(image.header.get_xyzt_units()[0]) if hasattr(image.header, "get_xyzt_units") else "mm"
    to_mm = np.diag([*(3 * [{"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)]), 1.0])
    affine = np.asarray(image.affine, float)
    geometry = Geometry.of_file(values.shape[:3], RAS_LPS @ to_mm @ affine)
    return ImageStack(
        _modalities(stem(path), native(geometry.to_stack(values)), colours),
        spacing=geometry.spacing,
        units="mm",
        source=path.name,
        metadata={"format": "nifti", "nifti": _frames(image, affine)},
        geometry=geometry,
    )


def encode_nifti(
    labels: npt.NDArray[Any], geometry: Geometry, frames: Mapping[str, Any] | None = None, *, compress: bool
) -> bytes:
    """Bytes of a NIfTI file of labels ``(z, y, x)`` in the geometry of the file that was read.

    `frames` are the coordinate frames of a NIfTI source, as its stack's metadata has them: they are written unchanged.
    """
    volume = np.ascontiguousarray(geometry.to_file(labels))
    if frames is None:
        affine = RAS_LPS @ geometry.file_affine
        frames = {"affine": affine, "sform": affine, "sform_code": 1, "qform": affine, "qform_code": 1, "unit": "mm"}
    image = nibabel.Nifti1Image(volume, np.asarray(frames["affine"], float))
    image.set_sform(frames["sform"], code=frames["sform_code"])
    # a quaternion cannot hold a shear (a tilted gantry): then the sform alone says where the voxels are
    sheared = frames["qform"] is not None and not _at_right_angles(np.asarray(frames["qform"], float))
    image.set_qform(frames["qform"], code=0 if sheared else frames["qform_code"])
    image.header.set_xyzt_units(frames["unit"])
    raw = image.to_bytes()
    if not compress:
        return bytes(raw)
    import gzip

    # mtime 0: the same labels give the same bytes.
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, filename="") as out:
        out.write(raw)
    return buffer.getvalue()


def _modalities(name: str, values: npt.NDArray[Any], colours: bool) -> tuple[Modality, ...]:
    """One per volume of the upright values ``(z, y, x[, n])``."""
    if colours or values.ndim == 3:
        return (Modality(name, values, colours),)
    return tuple(Modality(f"{name} volume {i + 1}", values[..., i]) for i in range(values.shape[-1]))


def _at_right_angles(affine: npt.NDArray[np.float64]) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0).clip(min=1e-12)
    return bool(np.allclose(axes.T @ axes, np.eye(3), atol=1e-4))


def _frames(image: Any, affine: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The file's coordinate frames as plain values; nothing else of the header, which may name the patient."""
    header = image.header
    if hasattr(header, "get_sform"):
        sform, sform_code = header.get_sform(coded=True)
        qform, qform_code = header.get_qform(coded=True)
        unit = header.get_xyzt_units()[0]
    else:
        sform, sform_code, qform, qform_code, unit = affine, 1, affine, 1, "mm"
    return {
        "affine": affine.tolist(),
        "sform": None if sform is None else sform.tolist(),
        "sform_code": int(sform_code),
        "qform": None if qform is None else qform.tolist(),
        "qform_code": int(qform_code),
        "unit": str(unit) if unit != "unknown" else "mm",
    }
