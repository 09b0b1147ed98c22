"""DICOM segmentations to upright labels: binary, fractional and label maps, of whatever program."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.images.dicom_files import geometry_of
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.dicom_headers import SEGMENTATIONS, ImageHeader, header_of
from napari_promptseg.images.dicom_patient import without_patient
from napari_promptseg.images.dicom_pixels import stored_planes
from napari_promptseg.images.dicom_seg_places import Placed, laid_onto, on_own_grid, pages, stated_step
from napari_promptseg.images.dicom_seg_segments import Segment, segments_of, with_undescribed
from napari_promptseg.images.dicom_seg_source import volumes_beside
from napari_promptseg.images.dicom_values import integer, number, pydicom_module, quiet, text_of, value_of
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.progress import Progress, silent

_TYPES = ("BINARY", "FRACTIONAL", "LABELMAP")


def is_dicom_seg(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a DICOM segmentation; only the start of its header is read."""
    if not Path(path).is_file() or not is_dicom(path):
        return False
    try:
        pydicom = pydicom_module()
        with quiet():
            data = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=["SOPClassUID"])
        return text_of(data, "SOPClassUID") in SEGMENTATIONS
    # of a damaged file, or without pydicom: for the reading itself to complain about
    except Exception:
        return False


def find_dicom_segs(path: str | os.PathLike[str]) -> list[Path]:
    """The DICOM segmentations that a path stands for: the file itself, or those below a folder, in order of path."""
    start = Path(path)
    below = (Path(root, name) for root, _, names in os.walk(start) for name in names) if start.is_dir() else (start,)
    return sorted(file for file in below if is_dicom_seg(file))


def read_dicom_seg(
    path: str | os.PathLike[str],
    grids: Sequence[Geometry] = (),
    *,
    n_pages: int = 0,
    progress: Progress = silent,
) -> ImageStack:
    """Read a DICOM segmentation as labels, turned upright.

    Parameters
    ----------
    path : str or path-like
        A file of the types binary, fractional or label map.
    grids : sequence of Geometry
        Of images that it may have been drawn on. The labels come on the first that has its frames among its planes;
        else on that of the series it refers to, if this lies in the same folder or in one beside; else on the grid
        that its own frames make.
    n_pages : int
        How many pictures the image has, for frames without a place in the patient; where it is not known, they end
        with the last that is marked.
    progress : Progress
        Told of each frame.

    Returns
    -------
    ImageStack
        One modality of labels ``(z, y, x)`` (``(y, x)`` or pages where the frames have no place), uint8 or uint16; 0
        where there is no frame. A label is the number of its segment; in files of this program, the number that it
        had. Of a fractional segmentation, what has at least half of the highest value is marked. Where segments
        overlap, the one with the highest number counts.

        ``metadata["segments"]`` lists ``{"value", "name", "colour"}`` in order of the numbers, the colour
        ``"#rrggbb"`` or empty; ``metadata["notes"]`` says what was decided.

    Raises
    ------
    InputError
        If the file is no segmentation, has no segment, is damaged, or its frames lie on no common grid.
    """
    file = Path(path)
    pydicom = pydicom_module()
    if not file.is_file() or not is_dicom(file):
        raise InputError(f"{file.name!r} is no DICOM file: it may be damaged or of another type.")
    try:
        with quiet():
            data = pydicom.dcmread(file, force=True)
            header = _header(data, file)
            segments = segments_of(data, header.personal)
            numbers = _numbers(data, header, segments)
            placed = _placed(data, header, grids, n_pages, progress)
            made = _Frames(data, header, numbers, placed, progress).joined(segments)
    except InputError as error:
        raise InputError(f"{file.name!r} cannot be opened as a segmentation: {error}") from error
    except (CancelledError, MemoryError):
        raise
    # whatever a damaged file makes pydicom stumble over; its own words may quote the patient
    except Exception as error:
        raise InputError(f"{file.name!r} cannot be read, it is damaged: copy or send it again.") from error
    label = header.description or "Segmentation"
    label = label if header.number is None else f"{label} (series {header.number})"
    return ImageStack(
        (Modality(label, made.labels),),
        spacing=placed.spacing,
        units=placed.units,
        axis_names=placed.axes,
        source=without_patient(file.name, header.personal) or label,
        metadata={
            "format": "dicom-seg",
            "notes": [*placed.notes, *made.notes],
            "segments": [{"value": s.value, "name": s.name, "colour": s.colour} for s in made.segments],
        },
        geometry=placed.geometry,
    )


def _header(data: Any, file: Path) -> ImageHeader:
    if text_of(data, "SOPClassUID") not in SEGMENTATIONS:
        modality = text_of(data, "Modality")
        # two letters or three, whatever a careless or damaged header has there
        what = f" but {modality}" if modality.isalnum() and len(modality) <= 3 and modality != "SEG" else ""
        raise InputError(f"it is no DICOM segmentation{what}.")
    if text_of(data, "SegmentationType").upper() not in _TYPES:
        raise InputError("it does not say whether it is binary, fractional or a label map, and may be damaged.")
    if "PixelData" not in data:
        raise InputError("it has a header but no pixels: it was not copied or sent in full.")
    header = header_of(data, file)
    if not header.rows or not header.columns:
        raise InputError("it does not say how large its planes are, and may be damaged.")
    return header


def _numbers(data: Any, header: ImageHeader, segments: Sequence[Segment]) -> tuple[int, ...]:
    """Of the segment that each frame shows; of a label map, whose values are the numbers, 0."""
    if text_of(data, "SegmentationType").upper() == "LABELMAP":
        return (0,) * header.n_frames
    own = value_of(data, "PerFrameFunctionalGroupsSequence") or []
    shared = value_of(data, "SharedFunctionalGroupsSequence") or []
    known = {s.number for s in segments}
    out = []
    for k in range(header.n_frames):
        items = [value_of(groups, "SegmentIdentificationSequence") for groups in (*own[k : k + 1], *shared[:1])]
        said = next((integer(value_of(item[0], "ReferencedSegmentNumber")) for item in items if item), None)
        if said is None and len(known) == 1:
            (said,) = known
        if said is None or said not in known:
            raise InputError(f"its plane {k + 1} belongs to no segment that it describes: it may be damaged.")
        out.append(said)
    return tuple(out)


def _placed(data: Any, header: ImageHeader, grids: Sequence[Geometry], n_pages: int, progress: Progress) -> Placed:
    """Where the frames go: onto a given grid, onto that of the series beside, or onto their own."""
    if not all(frame.has_place for frame in header.frames):
        return pages(data, header, volumes_beside(data, header.path, progress), n_pages)
    for grid in grids:
        found = laid_onto(grid, header.frames, stated_step(data))
        if found is not None:
            return found
    for grid in filter(None, map(geometry_of, volumes_beside(data, header.path, progress))):
        found = laid_onto(grid, header.frames)
        if found is not None:
            return found
    return on_own_grid(data, header.frames)


@dataclass(frozen=True, eq=False)
class _Joined:
    """All segments in one array, upright, with what was decided."""

    labels: npt.NDArray[Any]
    segments: tuple[Segment, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames of a segmentation, the segment that each shows, and where it goes."""

    data: Any
    header: ImageHeader
    numbers: tuple[int, ...]
    placed: Placed
    progress: Progress

    def joined(self, segments: Sequence[Segment]) -> _Joined:
        """One label a voxel."""
        kind = text_of(self.data, "SegmentationType").upper()
        notes = []
        if kind == "LABELMAP":
            labels = self._map()
            segments = with_undescribed(segments, np.unique(labels).tolist())
        else:
            labels, n_shared = self._masks(self._least() if kind == "FRACTIONAL" else 1)
            again = sum(n - 1 for n in Counter(zip(self.numbers, self.placed.planes, strict=True)).values())
            if kind == "FRACTIONAL":
                notes.append("The segmentation is fractional: what has at least half of the highest value is marked.")
            if again:
                notes.append(
                    f"{again} {'plane lies' if again == 1 else 'planes lie'} where another one of the same segment "
                    "does (other times, say): what any of them marks is marked."
                )
            if n_shared:
                notes.append(
                    f"Segments overlap in {n_shared} {'voxel' if n_shared == 1 else 'voxels'}: there the one with the "
                    "highest number is shown, since labels hold one segment a voxel."
                )
        values = np.zeros(max(s.number for s in segments) + 1, np.uint16)
        for s in segments:
            values[s.number] = s.value
        if values.max() < 256:
            values = values.astype(np.uint8)
        joined = values[labels]
        return _Joined(joined[0] if len(self.placed.axes) == 2 else joined, tuple(segments), tuple(notes))

    def _least(self) -> int:
        """Of a fractional segmentation, the least stored value that is half of the highest."""
        highest = number(value_of(self.data, "MaximumFractionalValue"), least=1.0, most=65535.0)
        return int(-(-(highest or 255.0) // 2))

    def _masks(self, least: int) -> tuple[npt.NDArray[Any], int]:
        """Numbers of the segments in the upright array, and in how many voxels there are several."""
        labels = np.zeros(self.placed.shape, np.uint8 if max(self.numbers) < 256 else np.uint16)
        several = np.zeros(self.placed.shape, bool)
        both = zip(self._parts(labels), self._parts(several), strict=True)
        for segment, (before, shared), values in zip(self.numbers, both, self._planes(), strict=True):
            marked = values >= least
            shared |= marked & (before != 0) & (before != segment)
            before[marked & (before < segment)] = segment
        return labels, int(np.count_nonzero(several))

    def _map(self) -> npt.NDArray[Any]:
        """The same of a label map, which says what its background is."""
        background = integer(value_of(self.data, "PixelPaddingValue")) or 0
        labels = np.zeros(self.placed.shape, np.uint16)
        for part, values in zip(self._parts(labels), self._planes(), strict=True):
            marked = values != background
            part[marked] = values[marked]
        return labels

    def _parts(self, labels: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        return self.placed.parts(labels, self.header.rows, self.header.columns)

    def _planes(self) -> Iterator[npt.NDArray[Any]]:
        """Stored values of one frame after the other."""
        for done, plane in enumerate(stored_planes(self.data)):
            self.progress(done, self.header.n_frames, "Reading DICOM segments")
            if plane.shape != (self.header.rows, self.header.columns):
                raise InputError("its pixels are not as many as its header says: it is damaged.")
            yield plane
