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
from napari_promptseg.images.geometry import RAS_LPS, Geometry, is_grid
from napari_promptseg.images.readers import native, stem
from napari_promptseg.images.stack import ImageStack, Modality

#: Share of a step by which sform and qform may differ before it is said.
_AGREE = 0.05


def read_nifti(path: Path) -> ImageStack:
    """Read a volume as ``(z, y, x)``, upright, with its spacing in mm.

    A fourth axis of several volumes gives one modality each. The stack's geometry and metadata keep the file's own
    grid and frames, from which `encode_nifti` writes labels that lie over the source in any program.
    """
    # numbers of a broken header overflow on the way; what comes of them is looked at
    with np.errstate(all="ignore"):
        return _stack_of(nibabel.load(path), path)


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
    # what is broken in the source is not handed on: it lies where its affine says
    sform, qform = (_grid_or_none(frames[name]) for name in ("sform", "qform"))
    image = nibabel.Nifti1Image(volume, np.asarray(frames["affine"], float))
    image.set_sform(sform, code=0 if sform is None else frames["sform_code"])
    # a quaternion cannot hold a shear (a tilted gantry): then the sform alone says where the voxels are
    is_said = qform is not None and _at_right_angles(qform)
    image.set_qform(qform, code=frames["qform_code"] if is_said else 0)
    image.header.set_xyzt_units(frames["unit"])
    raw = image.to_bytes()
    if not compress:
        return bytes(raw)
    import gzip

    # mtime 0: the same labels give the same bytes.
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=6, mtime=0, filename="") as out:
        out.write(raw)
    return buffer.getvalue()


def _stack_of(image: Any, path: Path) -> ImageStack:
    if np.dtype(image.get_data_dtype()).kind == "c":
        raise InputError("it holds complex values: save their magnitude as a NIfTI of its own.")
    values, colours = _values(image)
    if values.ndim > 4:
        raise InputError(f"it has {values.ndim} axes {values.shape}; three in space and one more can be read.")
    unit = str(image.header.get_xyzt_units()[0]) if hasattr(image.header, "get_xyzt_units") else "mm"
    to_mm = {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    affine, notes = _affine(image, to_mm)
    geometry = Geometry.of_file(values.shape[:3], RAS_LPS @ np.diag([to_mm, to_mm, to_mm, 1.0]) @ affine)
    metadata: dict[str, Any] = {"format": "nifti", "nifti": _frames(image, affine)}
    if not _is_placed(image.header):
        metadata["unplaced"] = True
    if values.ndim == 4 and not colours:
        metadata["time"] = step = _time_step(image.header)
        if step is not None:
            notes.append(f"The file holds {values.shape[3]} volumes, {step:g} s apart; each is a modality.")
    strange = 0 if values.dtype.kind != "f" else values.size - int(np.count_nonzero(np.isfinite(values)))
    if strange:
        notes.append(f"{strange} voxels hold no finite number; they are shown black.")
    if notes:
        metadata["notes"] = notes
    return ImageStack(
        _modalities(stem(path), native(geometry.to_stack(values)), colours),
        spacing=geometry.spacing,
        units="mm",
        source=path.name,
        metadata=metadata,
        geometry=geometry,
    )


def _grid_or_none(matrix: Any) -> npt.NDArray[np.float64] | None:
    found = None if matrix is None else np.asarray(matrix, float)
    return found if found is not None and is_grid(found) else None


def _values(image: Any) -> tuple[npt.NDArray[Any], bool]:
    """Values ``(i, j, k[, volume or colour])`` with the header's slope applied, and whether the last are colours."""
    values = np.asanyarray(image.dataobj)
    if values.dtype.names:  # RGB24
        values = np.stack([values[n] for n in values.dtype.names], axis=-1)
        return (values[:, :, np.newaxis] if values.ndim == 3 else values), True
    if values.dtype.kind == "f" and values.dtype.itemsize > 4:
        finite = values[np.isfinite(values)]
        if np.abs(finite).max(initial=0) <= np.finfo(np.float32).max:
            values = values.astype(np.float32)
    if values.ndim == 5 and values.shape[3] == 1:  # vectors: NIfTI keeps the fourth axis for time
        values = values[:, :, :, 0]
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    while values.ndim < 3:
        values = values[..., np.newaxis]
    return values, False


def _affine(image: Any, to_mm: float) -> tuple[npt.NDArray[np.float64], list[str]]:
    """From the file's index to its own frame (RAS), and what is to be said about where that comes from.

    Notes
    -----
    As the standard asks and nibabel does, the sform counts before the qform. A sform that is declared but holds no
    grid is passed over.
    """
    header = image.header
    if not hasattr(header, "get_sform"):
        return np.asarray(image.affine, float), [
            "Analyze files do not say which side is the patient's left: the file's order was taken as nibabel does."
        ]
    sform, qform = (
        None if code == 0 else matrix for matrix, code in (_coded(header, "sform"), _coded(header, "qform"))
    )
    if sform is not None and not is_grid(sform):
        broken, sform = "The file's sform is broken", None
        if qform is not None and is_grid(qform):
            return qform, [f"{broken}: the qform was used."]
        return np.asarray(header.get_base_affine(), float), [
            f"{broken} and it has no qform: left and right were taken from the order of its voxels, which may be wrong."
        ]
    if sform is None and (qform is None or not is_grid(qform)):
        return np.asarray(header.get_base_affine(), float), [
            "The file does not say how it lies in the patient (no sform, no qform): left and right were taken from the "
            "order of its voxels, which may be wrong."
        ]
    if sform is None or qform is None or not is_grid(qform):
        return np.asarray(qform if sform is None else sform, float), []
    apart = _apart(sform, qform, image.shape)
    if apart > _AGREE * np.linalg.norm(sform[:3, :3], axis=0).min():
        return sform, [f"The file's sform and qform disagree by up to {apart * to_mm:.3g} mm: the sform was used."]
    return sform, []


def _is_placed(header: Any) -> bool:
    """Whether the file itself says how it lies in the patient."""
    if not hasattr(header, "get_sform"):
        return False
    return any(_grid_or_none(_coded(header, name)[0]) is not None for name in ("sform", "qform"))


def _coded(header: Any, name: str) -> tuple[npt.NDArray[np.float64] | None, int]:
    try:
        matrix, code = getattr(header, f"get_{name}")(coded=True)
    except ValueError:  # a quaternion of no rotation
        return None, 0
    return (None if matrix is None else np.asarray(matrix, float)), int(code)


def _apart(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """The longest way between the places of a corner of the volume."""
    ends = [(0, n - 1) for n in (*shape[:3], 1, 1, 1)[:3]]
    corners = np.array(np.meshgrid(*ends, [1.0], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def _time_step(header: Any) -> float | None:
    """Seconds between the volumes of a series in time; None where they are something else."""
    unit = str(header.get_xyzt_units()[1]) if hasattr(header, "get_xyzt_units") else ""
    factor = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}.get(unit)
    zooms = header.get_zooms()
    step = float(zooms[3]) if len(zooms) > 3 else 0.0
    return step * factor if factor is not None and step > 0 else None


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
        sform, sform_code = _coded(header, "sform")
        qform, qform_code = _coded(header, "qform")
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
