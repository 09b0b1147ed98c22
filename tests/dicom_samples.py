"""DICOM files as scanners write them, made by tests; the patient's name in them must never come out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

#: Who must not be found anywhere outside the files.
PATIENT = {"PatientName": "Mustermann^Erika", "PatientID": "PID4711", "PatientBirthDate": "19640812"}
PERSONAL = ("mustermann", "erika", "pid4711", "19640812")

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
XRAY = "1.2.840.10008.5.1.4.1.1.1"
ULTRASOUND_CINE = "1.2.840.10008.5.1.4.1.1.3.1"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"


def upright_affine(spacing=(0.7, 0.9, 2.5), origin=(-20.0, -30.0, 100.0)) -> np.ndarray:
    """Axial slices, head first: ``(column, row, slice, 1)`` to mm in LPS."""
    affine = np.diag([*spacing, 1.0]).astype(float)
    affine[:3, 3] = origin
    return affine


def dataset(pixels: np.ndarray, sop_class: str = CT, **tags: Any) -> Dataset:
    """One image object; a tag given as None is left out."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    colours = pixels.ndim >= 3 and pixels.shape[-1] == 3
    plain: dict[str, Any] = {
        **PATIENT,
        "SOPClassUID": sop_class,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3.1",
        "SeriesInstanceUID": "1.2.3.2",
        "FrameOfReferenceUID": "1.2.3.3",
        "Modality": {CT: "CT", XRAY: "CR", ULTRASOUND_CINE: "US", SECONDARY: "OT"}.get(sop_class, "MR"),
        "SeriesNumber": 3,
        "StudyID": "",
        "Rows": pixels.shape[-3 if colours else -2],
        "Columns": pixels.shape[-2 if colours else -1],
        "SamplesPerPixel": 3 if colours else 1,
        "PhotometricInterpretation": "RGB" if colours else "MONOCHROME2",
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    if colours:
        plain["PlanarConfiguration"] = 0
    for name, value in {**plain, **tags}.items():
        if value is not None:
            setattr(data, name, value)
    raw = np.ascontiguousarray(pixels).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    data.add_new((0x0029, 0x0010), "LO", "A VENDOR OF SCANNERS")
    data.add_new((0x0029, 0x1010), "OB", b"private to the vendor")
    return data


def save(data: Dataset, path: Path) -> Path:
    """Write a file as the standard has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def place(data: Dataset, affine: np.ndarray, k: float = 0.0) -> Dataset:
    """Say where a plane lies: step `k` along the slices of an affine ``(column, row, slice, 1)`` to mm in LPS."""
    along_row, down_column = affine[:3, 0], affine[:3, 1]
    steps = [float(np.linalg.norm(axis)) for axis in (down_column, along_row)]
    data.PixelSpacing = [_short(s) for s in steps]
    data.ImageOrientationPatient = [_short(v) for v in (*(along_row / steps[1]), *(down_column / steps[0]))]
    data.ImagePositionPatient = [_short(v) for v in affine[:3, 3] + k * affine[:3, 2]]
    return data


def _short(value: float) -> str:
    """A decimal string, which DICOM keeps to 16 characters."""
    return next(text for text in (f"{value:.{n}g}" for n in range(16, 0, -1)) if len(text) <= 16)


def write_series(
    folder: Path,
    values: np.ndarray,
    affine: np.ndarray | None = None,
    *,
    sop_class: str = CT,
    name: Callable[[int], str] = "IM{:04d}.dcm".format,
    order: Sequence[int] | None = None,
    edit: Callable[[Dataset, int], Any] = lambda data, k: None,
    **tags: Any,
) -> list[Path]:
    """Write one file per plane of stored values ``(slice, row, column[, 3])``.

    `name` gives the file's name from its turn, `order` which slice is written when (and gets which instance number),
    `edit` may change the data set of slice k.
    """
    affine = upright_affine() if affine is None else affine
    paths = []
    for turn, k in enumerate(order if order is not None else range(len(values))):
        data = place(dataset(values[k], sop_class, InstanceNumber=turn + 1, **tags), affine, k)
        data.SliceThickness = _short(float(np.linalg.norm(affine[:3, 2])))
        edit(data, k)
        paths.append(save(data, folder / name(turn)))
    return paths


def enhanced_mr(values: np.ndarray, affine: np.ndarray, slopes: Sequence[float], times: Sequence[int] = ()) -> Dataset:
    """One multi-frame object, each plane with a place and a rescaling of its own (and a time point)."""
    data = dataset(values, ENHANCED_MR, NumberOfFrames=len(values), InstanceNumber=1)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    at = place(Dataset(), affine)
    measures.PixelSpacing, measures.SliceThickness = at.PixelSpacing, "2.5"
    orientation.ImageOrientationPatient = at.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([orientation])
    data.SharedFunctionalGroupsSequence = Items([shared])
    n_places = len(values) // (len(set(times)) or 1)
    frames = []
    for k, slope in enumerate(slopes):
        frame, position, rescale, content = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = place(Dataset(), affine, k % n_places).ImagePositionPatient
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = _short(slope), "5", "US"
        if len(times):
            content.TemporalPositionIndex = times[k]
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Items([position]), Items([rescale])
        frame.FrameContentSequence = Items([content])
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = Items(frames)
    return data
