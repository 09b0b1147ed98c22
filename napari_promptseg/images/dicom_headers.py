"""What a DICOM file says about itself, read without its pixels: which series, and where each of its planes lies."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_promptseg.images.dicom_patient import PERSONAL, personal_words, without_patient
from napari_promptseg.images.dicom_values import (
    at_right_angles,
    integer,
    number,
    numbers,
    pydicom_module,
    quiet,
    text_of,
    value_of,
)

#: Storage classes that have rows and columns but are no picture of the patient, or one in tiles: segmentations,
#: doses, directories, spectra, whole slides.
_NO_PICTURE = (
    "1.2.840.10008.5.1.4.1.1.66",
    "1.2.840.10008.5.1.4.1.1.481.2",
    "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.1.1.4.2",
    "1.2.840.10008.5.1.4.1.1.77.1.6",
)

#: Storage classes of masks: segmentations, and those that are label maps.
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

#: What tells images at one place apart, most telling first: echo, diffusion, magnitude from phase, time.
TRAITS = (
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "InversionTime",
    "ImageType",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "AcquisitionNumber",
)
#: Where an enhanced multi-frame object keeps the same: functional group and its attribute.
_FUNCTIONAL_TRAITS = {
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
}
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")

_TAGS = (
    *PERSONAL,
    *TRAITS,
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SpecificCharacterSet",
    "Modality",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceLocation",
    "SliceThickness",
    "SpacingBetweenSlices",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "BitsAllocated",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


#: Steps between pixels or slices, and distances from the scanner's middle, that a header can mean, in mm.
_LENGTHS: dict[str, float] = {"least": 1e-6, "most": 1e5}
_FARTHEST = 1e7


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """One DICOM image file without its pixels.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    sop_uid, sop_class, series_uid, study_uid, frame_of_reference : str
        Identifiers; empty where the file has none.
    number : int, optional
        Of the series.
    description : str
        Of the series, cleaned: empty where it holds a name, number or birth date of the patient.
    modality : str
        ``"CT"``, ``"MR"``, ``"US"`` ...
    photometric : str
        How the stored values become grey or colour.
    rows, columns, n_frames : int
        Size.
    padding : tuple of float, optional
        Range of the stored values that fill up what was not imaged.
    frames : tuple of Frame
        One for each plane.
    personal : frozenset of str
        Words that say who the patient is; for comparing only, never shown.
    """

    path: Path
    sop_uid: str
    sop_class: str
    series_uid: str
    study_uid: str
    frame_of_reference: str
    number: int | None
    description: str
    modality: str
    photometric: str
    rows: int
    columns: int
    n_frames: int
    padding: tuple[float, float] | None
    personal: frozenset[str] = field(repr=False)
    frames: tuple[Frame, ...] = field(default=(), repr=False)

    @property
    def is_colour(self) -> bool:
        """Whether its planes have colours."""
        return not self.photometric.startswith("MONOCHROME")


@dataclass(frozen=True, eq=False)
class Frame:
    """One plane of an image file.

    Parameters
    ----------
    header : ImageHeader
        Of its file.
    index : int
        Which of the file's planes, from 0.
    position : tuple of float
        ``(x, y, z)`` of the first pixel's centre, in mm, LPS; empty where unknown, as are the next two.
    orientation : tuple of float
        Directions of a row and of a column, three numbers each.
    pixel_spacing : tuple of float
        ``(down a column, along a row)`` in mm.
    step : float, optional
        Distance between slices as the header states it, else their thickness, in mm.
    slope, intercept : float
        From stored to real values.
    instance : int, optional
        Instance number.
    location : float, optional
        Slice location, in mm along an axis that the header does not name.
    traits : dict
        Those of `TRAITS` that it has.
    """

    header: ImageHeader
    index: int
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    step: float | None
    slope: float
    intercept: float
    instance: int | None
    location: float | None
    traits: dict[str, str]

    @property
    def has_place(self) -> bool:
        """Whether the header says where the plane lies in the patient."""
        return bool(self.position and self.orientation and self.pixel_spacing)


class NoImageError(Exception):
    """The file is DICOM but holds nothing to show; the text is what it holds."""


def read_header(path: Path) -> ImageHeader:
    """Read what a file says about itself, up to its pixels.

    Raises
    ------
    NoImageError
        For DICOM that cannot be shown as a picture: reports, presentation states, segmentations, contours, doses,
        directories, spectra, whole slides.
    Exception
        Whatever a broken file makes pydicom raise, or ValueError where it says nothing of itself.
    """
    pydicom = pydicom_module()
    with quiet():
        # forced: files from before the standard's preamble are still about, and callers looked at the first bytes
        data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
        sop_class = str(value_of(data, "SOPClassUID") or getattr(data.file_meta, "MediaStorageSOPClassUID", ""))
        rows, columns = integer(value_of(data, "Rows")) or 0, integer(value_of(data, "Columns")) or 0
        if not sop_class and not rows:
            raise ValueError("neither a kind of object nor a size")
        if not rows or not columns or any(sop_class == c or sop_class.startswith(f"{c}.") for c in _NO_PICTURE):
            raise NoImageError(_class_name(pydicom, sop_class))
        return header_of(data, path)


def header_of(data: Any, path: Path) -> ImageHeader:
    """What data that were read from a file say, whatever kind of object they are.

    Raises
    ------
    Exception
        Whatever broken data make pydicom raise.
    """
    n_frames = max(1, integer(value_of(data, "NumberOfFrames")) or 1)
    if n_frames > path.stat().st_size:
        raise ValueError("more planes than bytes")
    personal = personal_words(data)
    header = ImageHeader(
        path=path,
        sop_uid=text_of(data, "SOPInstanceUID"),
        sop_class=str(value_of(data, "SOPClassUID") or getattr(data.file_meta, "MediaStorageSOPClassUID", "")),
        series_uid=text_of(data, "SeriesInstanceUID"),
        study_uid=text_of(data, "StudyInstanceUID"),
        frame_of_reference=text_of(data, "FrameOfReferenceUID"),
        number=integer(value_of(data, "SeriesNumber")),
        description=without_patient(text_of(data, "SeriesDescription"), personal),
        modality=without_patient(text_of(data, "Modality")[:16], personal) or "OT",
        photometric=text_of(data, "PhotometricInterpretation")
        or ("RGB" if integer(value_of(data, "SamplesPerPixel")) == 3 else "MONOCHROME2"),
        rows=integer(value_of(data, "Rows")) or 0,
        columns=integer(value_of(data, "Columns")) or 0,
        n_frames=n_frames,
        padding=_padding(data),
        personal=personal,
    )
    first = _frame(data, header, 0)
    if value_of(data, "PerFrameFunctionalGroupsSequence"):
        frames = tuple(_frame(data, header, i) for i in range(n_frames))
    else:  # the planes of a cine differ in nothing but their turn
        frames = tuple(replace(first, index=i) for i in range(n_frames))
    object.__setattr__(header, "frames", frames)
    return header


def _frame(data: Any, header: ImageHeader, index: int) -> Frame:
    groups = _FunctionalGroups(data, index)
    stated = (groups.get("PixelMeasuresSequence", name) for name in ("SpacingBetweenSlices", "SliceThickness"))
    step = next((abs(found) for value in stated if (found := number(value, **_LENGTHS)) is not None), None)
    spacing = numbers(groups.get("PixelMeasuresSequence", "PixelSpacing"), 2, **_LENGTHS)
    # of an X-ray these hold on the detector, which is all that is known
    spacing = spacing or numbers(value_of(data, "ImagerPixelSpacing"), 2, **_LENGTHS)
    spacing = spacing or numbers(value_of(data, "NominalScannedPixelSpacing"), 2, **_LENGTHS)
    orientation = numbers(groups.get("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    position = numbers(groups.get("PlanePositionSequence", "ImagePositionPatient"), 3, most=_FARTHEST)
    slope = number(groups.get("PixelValueTransformationSequence", "RescaleSlope"))
    traits = {}
    for name in TRAITS:
        value = groups.get(*_FUNCTIONAL_TRAITS[name]) if name in _FUNCTIONAL_TRAITS else value_of(data, name)
        if name == "ImageType" and groups.is_enhanced:
            value = next((v for v in (groups.get(s, "FrameType") for s in _FRAME_TYPES) if v is not None), value)
        if value is not None and str(value):
            traits[name] = str(value)
    return Frame(
        header=header,
        index=index,
        position=position if groups.own_place else (),
        orientation=orientation if orientation and at_right_angles(orientation) else (),
        pixel_spacing=spacing if spacing and min(spacing) > 0 else (),
        step=step,
        # a slope of zero would wipe the picture out: such headers mean that there is none
        slope=slope or 1.0,
        intercept=number(groups.get("PixelValueTransformationSequence", "RescaleIntercept")) or 0.0,
        instance=integer(value_of(data, "InstanceNumber")),
        location=number(value_of(data, "SliceLocation")),
        traits=traits,
    )


class _FunctionalGroups:
    """Attributes of one plane: from its own functional groups, the shared ones, or the file as a whole."""

    def __init__(self, data: Any, index: int) -> None:
        own = value_of(data, "PerFrameFunctionalGroupsSequence") or []
        shared = value_of(data, "SharedFunctionalGroupsSequence") or []
        self._items = [*own[index : index + 1], *shared[:1]]
        self._data = data
        self.is_enhanced = bool(self._items)

    @property
    def own_place(self) -> bool:
        """Whether the plane has a position of its own; many planes with one position for all have none."""
        return self.is_enhanced or (integer(value_of(self._data, "NumberOfFrames")) or 1) == 1

    def get(self, sequence: str, name: str) -> Any:
        for item in self._items:
            group = value_of(item, sequence)
            value = value_of(group[0], name) if group else None
            if value is not None:
                return value
        return value_of(self._data, name)


def _padding(data: Any) -> tuple[float, float] | None:
    bits = integer(value_of(data, "BitsAllocated")) or 16
    signed = integer(value_of(data, "PixelRepresentation")) == 1

    def as_stored(name: str) -> float | None:
        # headers give it signed or not as they please; the pixels decide
        stored = integer(value_of(data, name))
        if stored is None:
            return None
        stored %= 2**bits
        return float(stored - 2**bits if signed and stored >= 2 ** (bits - 1) else stored)

    value = as_stored("PixelPaddingValue")
    if value is None:
        return None
    limit = as_stored("PixelPaddingRangeLimit")
    return (value, value) if limit is None else (min(value, limit), max(value, limit))


def _class_name(pydicom: Any, uid: str) -> str:
    """``"RT Structure Set"`` for its storage class."""
    if uid == SEGMENTATIONS[1]:  # younger than what pydicom knows
        return "Label Map Segmentation"
    name = str(pydicom.uid.UID(uid).name) if uid else ""
    kind = "object of an unknown kind" if not name or name == uid else name.removesuffix(" Storage")
    return f"{kind} without pixels" if kind.endswith(" Image") else kind
