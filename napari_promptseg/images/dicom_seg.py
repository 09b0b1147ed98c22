"""DICOM segmentations: one binary segment per class, on the slices of the source series."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_codes import coded
from napari_promptseg.images.dicom_files import source_headers
from napari_promptseg.images.dicom_seg_segments import own_label
from napari_promptseg.images.dicom_values import quiet

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack
    from napari_promptseg.images.writers import Legend

_NAME = "napari-promptseg"
# not from the package itself, whose public names reach into rooms below this one
_VERSION = version(_NAME)

#: Attributes that a segmentation must copy even where the source left them out, which then stay empty.
_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
#: Attributes without which nothing can refer to the source.
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class _Segment:
    """A class that is there: its value, name and colour."""

    value: int
    name: str
    colour: str


def encode_dicom_seg(
    labels: npt.NDArray[Any],
    source: ImageStack,
    source_path: str | os.PathLike[str],
    prompts: Legend,
    legend: Mapping[str, Any],
) -> bytes:
    """Bytes of a DICOM segmentation of labels ``(z, y, x)`` on their source series.

    Patient and study are copied from the source files, as the standard demands; nothing else that this program writes
    names them. Segments are numbered 1, 2, ... in the order of the classes that occur; labels that belong to no class
    are kept, called by their number. Planes without labels are left out.

    Parameters
    ----------
    labels : numpy.ndarray
        Upright, uint8 or uint16.
    source : ImageStack
        As `read_dicom` gave it.
    source_path : str or path-like
        What it was read from: the headers are read again.
    prompts : PromptSet
    legend : mapping
        Its provenance names the model, which is written down as a parameter of the algorithm.

    Raises
    ------
    InputError
        If nothing is labelled, source files are gone, their headers lack what a segmentation refers to, or highdicom
        is missing.
    """
    try:
        import highdicom as hd
    except ImportError as error:
        raise InputError('To write DICOM SEG highdicom is needed: pip install "napari-promptseg[medical]".') from error
    if source.geometry is None:
        raise InputError("A DICOM segmentation needs the place of its slices in the patient.")
    segments = _segments(labels, prompts)
    # the file's axes (column, row, slice) as slices of rows and columns
    planes = source.geometry.to_file(labels).transpose(2, 1, 0)
    numbered = np.zeros(planes.shape, np.uint8 if len(segments) < 256 else np.uint16)
    for number, segment in enumerate(segments, start=1):
        numbered[planes == segment.value] = number
    headers = source_headers(source_path, source)
    _complete(headers)
    pixels, places = _placed(numbered, source, headers)
    with quiet():
        try:
            made = hd.seg.Segmentation(
                source_images=headers,
                pixel_array=pixels,
                plane_positions=None if places is None else [hd.PlanePositionSequence("PATIENT", p) for p in places],
                segmentation_type="BINARY",
                segment_descriptions=_descriptions(hd, segments, legend),
                series_instance_uid=hd.UID(),
                series_number=_series_number(headers[0]),
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer=_NAME,
                manufacturer_model_name=_NAME,
                software_versions=_VERSION,
                # software has no serial number, and the standard wants one
                device_serial_number=_VERSION,
                # names of classes are in any script, whatever the source's header needs
                specific_character_set="ISO_IR 192",
                content_label="SEGMENTATION",
                content_description=f"Segmentation by {_NAME}",
                series_description=f"Segmentation by {_NAME}",
            )
            if places is not None:
                _refer(made, source, headers)
            buffer = io.BytesIO()
            made.save_as(buffer, enforce_file_format=True)
        # highdicom's own words may quote the header, and with it the patient: the kind of error must do
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            lacking = getattr(error, "name", None)
            raise InputError(
                f"The headers of {source.source!r} do not allow a DICOM segmentation "
                f"({f'{lacking} is missing' if lacking else type(error).__name__}): save as NIfTI instead."
            ) from error
    return buffer.getvalue()


def _segments(labels: npt.NDArray[Any], prompts: Legend) -> list[_Segment]:
    there = set(np.unique(labels).tolist()) - {0}
    if not there:
        raise InputError("Nothing is labelled, and a DICOM segmentation cannot be empty: choose another format.")
    known = [_Segment(c.value, c.name, c.colour) for c in prompts.classes if c.value in there]
    others = sorted(there - {s.value for s in known})
    return [*known, *[_Segment(value, f"label {value}", "#808080") for value in others]]


def _descriptions(hd: Any, segments: Sequence[_Segment], legend: Mapping[str, Any]) -> list[Any]:
    from pydicom.sr.codedict import codes

    made_by = legend.get("provenance", {})
    parameters = {key: str(made_by[key])[:1024] for key in ("model", "fingerprint") if made_by.get(key)}
    algorithm = hd.AlgorithmIdentificationSequence(
        name=_NAME, version=_VERSION, family=codes.DCM.ArtificialIntelligence, parameters=parameters or None
    )
    described = []
    for number, segment in enumerate(segments, start=1):
        code = coded(segment.name)
        description = hd.seg.SegmentDescription(
            segment_number=number,
            # a backslash would part values
            segment_label=segment.name.replace("\\", "/")[:64],
            segmented_property_category=code.category,
            segmented_property_type=code.kind,
            # people name, correct and paint; the model draws
            algorithm_type="SEMIAUTOMATIC",
            algorithm_identification=algorithm,
            display_color=hd.color.CIELabColor.from_rgb(*bytes.fromhex(segment.colour.lstrip("#"))),
        )
        if code.side is not None:
            kind = description.SegmentedPropertyTypeCodeSequence[0]
            kind.SegmentedPropertyTypeModifierCodeSequence = [_item(code.side)]
        # the standard numbers segments 1, 2, ..., which is not what the labels were
        description.SegmentDescription = own_label(segment.value)
        described.append(description)
    return described


def _complete(headers: Sequence[Any]) -> None:
    """Fill what the standard lets be empty, and say what must not be."""
    for header in headers:
        for name in _TYPE_2:
            if name not in header:
                setattr(header, name, "")
        lacking = [name for name in _NEEDED if not header.get(name)]
        if lacking:
            raise InputError(
                f"The source series has no {lacking[0]}, to which a DICOM segmentation refers: save as NIfTI instead."
            )
        # the reader takes slices for parallel that headers round differently; highdicom wants the same digits
        if "ImageOrientationPatient" in header:
            header.ImageOrientationPatient = headers[0].ImageOrientationPatient
        _share(header)


def _share(header: Any) -> None:
    """What scanners repeat for each frame of a multi-frame file is where highdicom looks for it: once for all."""
    from pydicom.dataset import Dataset

    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        return
    if not header.get("SharedFunctionalGroupsSequence"):
        header.SharedFunctionalGroupsSequence = [Dataset()]
    shared = header.SharedFunctionalGroupsSequence[0]
    for name in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if name not in shared and name in frames[0]:
            shared[name] = frames[0][name]


def _placed(
    planes: npt.NDArray[Any], source: ImageStack, headers: Sequence[Any]
) -> tuple[npt.NDArray[Any], list[list[float]] | None]:
    """The planes as highdicom takes them: in the files' order where each has its slice, else with their positions."""
    facts = source.metadata["dicom"]
    uids: list[str] = facts["sop_instance_uids"]
    frames: list[int] = facts["frames"]
    several = int(headers[0].get("NumberOfFrames", 1) or 1)
    if several > 1 and len(headers) > 1:
        raise InputError(
            f"{source.source!r} lies in {len(headers)} multi-frame files, and a DICOM segmentation can refer to one "
            "only: save as NIfTI instead."
        )
    # a slice that is missing has no file to refer to, but what was drawn there is kept, in its place
    kept = [k for k, uid in enumerate(uids) if uid or planes[k].any()]
    if all(uids[k] for k in kept):
        if several == 1:
            return planes[kept], None
        if sorted(frames) == list(range(1, several + 1)):
            return planes[np.argsort(frames)], None
    places = _affine(source) @ np.array([[0, 0, k, 1] for k in kept], dtype=float).T
    return planes[kept], places[:3].T.tolist()


def _refer(made: Any, source: ImageStack, headers: Sequence[Any]) -> None:
    """Give each frame the slice it was drawn on and that slice's own position.

    Where one plane has no slice, highdicom refers none of them to any.
    """
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    facts = source.metadata["dicom"]
    files = {str(header.SOPInstanceUID): header for header in headers}
    back = np.linalg.inv(_affine(source))
    for groups in made.PerFrameFunctionalGroupsSequence:
        at = np.array([*groups.PlanePositionSequence[0].ImagePositionPatient, 1.0], dtype=float)
        k = round(float((back @ at)[2]))
        uid, frame = facts["sop_instance_uids"][k], facts["frames"][k]
        if not uid:
            groups.DerivationImageSequence = []
            continue
        header = files[uid]
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = header.SOPClassUID, uid
        own = header
        if int(header.get("NumberOfFrames", 1) or 1) > 1:
            reference.ReferencedFrameNumber = frame
            own = header.PerFrameFunctionalGroupsSequence[frame - 1].PlanePositionSequence[0]
        reference.SpatialLocationsPreserved = "YES"
        reference.PurposeOfReferenceCodeSequence = [_item(codes.DCM.SourceImageForImageProcessingOperation)]
        derivation = Dataset()
        derivation.DerivationCodeSequence = [_item(codes.DCM.Segmentation)]
        derivation.SourceImageSequence = [reference]
        groups.DerivationImageSequence = [derivation]
        groups.PlanePositionSequence[0].ImagePositionPatient = own.ImagePositionPatient


def _affine(source: ImageStack) -> npt.NDArray[np.float64]:
    if source.geometry is None:
        raise InputError("A DICOM segmentation needs the place of its slices in the patient.")
    return source.geometry.file_affine


def _item(code: Any) -> Any:
    """A code as an item of a sequence."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _series_number(header: Any) -> int:
    """Beside the source's own in a list of series."""
    try:
        return 1000 + int(header.get("SeriesNumber") or 0) % 1_000_000
    except (TypeError, ValueError):
        return 1000
