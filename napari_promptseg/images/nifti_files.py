"""NIfTI volumes: turned upright for people and encoders, and turned back for the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel import orientations

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import native, stem
from napari_promptseg.images.stack import ImageStack, Modality

#: Axes x, y, z run to the patient's left, back and head: as ITK has them, and upright on the screen.
UPRIGHT = ("L", "P", "S")


def read_nifti(path: Path) -> ImageStack:
    """Read a volume as ``(z, y, x)``, upright, with its spacing in mm.

    A fourth axis of several volumes gives one modality each. The stack's metadata keeps the file's own affine and
    orientation, from which `encode_nifti` writes labels that lie over the source in any program.
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
    affine = np.asarray(image.affine, float)
    source = orientations.io_orientation(affine)
    if np.isnan(source).any():
        # A broken affine says nothing about the patient: keep the file's order.
        source = orientations.axcodes2ornt(UPRIGHT)
    turn = orientations.ornt_transform(source, orientations.axcodes2ornt(UPRIGHT))
    upright = native(np.asarray(orientations.apply_orientation(values, turn)))
    zooms = [float(z) or 1.0 for z in image.header.get_zooms()[:3]]
    zooms += [1.0] * (3 - len(zooms))
    step = [0.0, 0.0, 0.0]
    for axis, (target, _) in enumerate(turn):
        step[int(target)] = zooms[axis]
    unit = str(image.header.get_xyzt_units()[0]) if hasattr(image.header, "get_xyzt_units") else "mm"
    factor = {"meter": 1000.0, "micron": 0.001}.get(unit, 1.0)
    return ImageStack(
        _modalities(stem(path), upright, colours),
        spacing=tuple(s * factor for s in reversed(step)),
        units="mm",
        source=path.name,
        metadata={"format": "nifti", "orientation": source.tolist(), **_frames(image, affine)},
    )


def encode_nifti(labels: npt.NDArray[Any], metadata: dict[str, Any], *, compress: bool) -> bytes:
    """Bytes of a NIfTI file of labels ``(z, y, x)`` in the geometry of the file that was read."""
    upright = orientations.axcodes2ornt(UPRIGHT)
    source = np.asarray(metadata["orientation"], float)
    back = orientations.ornt_transform(upright, source)
    volume = orientations.apply_orientation(np.transpose(labels, (2, 1, 0)), back)
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume), np.asarray(metadata["affine"], float))
    image.set_sform(metadata["sform"], code=metadata["sform_code"])
    image.set_qform(metadata["qform"], code=metadata["qform_code"])
    image.header.set_xyzt_units(metadata["unit"])
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
    if colours:
        return (Modality(name, values.transpose(2, 1, 0, 3), True),)
    if values.ndim == 3:
        return (Modality(name, values.transpose(2, 1, 0)),)
    return tuple(Modality(f"{name} volume {i + 1}", values[..., i].transpose(2, 1, 0)) for i in range(values.shape[-1]))


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
