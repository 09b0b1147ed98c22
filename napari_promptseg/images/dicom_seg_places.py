"""Where the frames of a DICOM segmentation go: onto the grid of an image, onto one that they make, or onto pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_grid import grid_of
from napari_promptseg.images.dicom_headers import Frame, ImageHeader
from napari_promptseg.images.dicom_series import Volume, by_place, parallel
from napari_promptseg.images.dicom_values import integer, number, text_of, value_of
from napari_promptseg.images.geometry import Geometry

#: How far, in steps of a grid, a frame's voxels may lie beside the grid's: headers round.
_OFF_GRID = 0.1
#: Share by which a stated distance of slices may be another than the grid's: of a tilted gantry it may be either.
_OTHER_STEP = 0.15
#: More pictures than a file can have.
_MOST_PAGES = 100_000


@dataclass(frozen=True, eq=False)
class Placed:
    """Where in an upright array of labels each frame goes.

    Parameters
    ----------
    shape : tuple of int
        Of the array: ``(z, y, x)``, or ``(pages, rows, columns)``.
    order : tuple of int
        The array's axes along which frames follow each other, rows do, and columns do.
    flips : tuple of bool
        Whether these run against the array's.
    planes : tuple of int
        Place of each frame along the first of them.
    corner : tuple of int
        Row and column of the frames' first pixel along the others.
    geometry : Geometry, optional
        Of the array; None for pages.
    spacing : tuple of float
    units : str
    axes : tuple of str
        Names of the image's axes: of a single page there are two.
    notes : tuple of str
        What was decided, a sentence each.
    """

    shape: tuple[int, int, int]
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    planes: tuple[int, ...]
    corner: tuple[int, int]
    geometry: Geometry | None
    spacing: tuple[float, ...]
    units: str
    axes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def parts(self, labels: npt.NDArray[Any], rows: int, columns: int) -> Iterator[npt.NDArray[Any]]:
        """Views ``(rows, columns)`` of an upright array, one for each frame, for its pixels to be written into."""
        turned = labels.transpose(self.order)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        row, column = self.corner
        for plane in self.planes:
            yield turned[plane, row : row + rows, column : column + columns]


def laid_onto(grid: Geometry, frames: Sequence[Frame], step: float | None = None) -> Placed | None:
    """The frames as parts of an image's planes, of whichever axis; None where one of them is not.

    Parameters
    ----------
    grid : Geometry
        Of the image, whatever its format.
    frames : sequence of Frame
        At least one, each with a place.
    step : float, optional
        Distance of slices that the image must have, in mm: else coarse slices would be laid onto every other fine one.
    """
    rows, columns = frames[0].header.rows, frames[0].header.columns
    back = np.linalg.inv(grid.affine)
    steps = np.zeros((len(frames), 3, 2))
    for k, frame in enumerate(frames):
        steps[k, :, 0] = np.asarray(frame.orientation[3:]) * frame.pixel_spacing[0]
        steps[k, :, 1] = np.asarray(frame.orientation[:3]) * frame.pixel_spacing[1]
    steps = back[:3, :3] @ steps
    whole = np.rint(steps[0])
    along = [int(axis) for axis in np.abs(whole).argmax(axis=0)]
    # over the whole frame the steps may not add up to another voxel
    drift = np.abs(steps - whole) * (rows, columns)
    if along[0] == along[1] or not (np.abs(whole).sum(axis=0) == 1).all() or drift.max() > 2 * _OFF_GRID:
        return None
    order = (3 - sum(along), *along)
    if step is not None and abs(step / grid.spacing[order[0]] - 1) > _OTHER_STEP:
        return None
    flips = (False, *(bool(whole[axis, k] < 0) for k, axis in enumerate(along)))
    at = np.array([frame.position for frame in frames], float) @ back[:3, :3].T + back[:3, 3]
    off = np.abs(at - np.rint(at)).max()
    lengths = np.array([grid.shape[axis] for axis in order])
    index = np.rint(at).astype(np.int64)[:, order]
    index = np.where(flips, lengths - 1 - index, index)
    # of a part of the image's plane, the whole part
    last = index + np.array([0, rows - 1, columns - 1])
    if off > _OFF_GRID or (index[:, 1:] != index[0, 1:]).any() or index.min() < 0 or (last >= lengths).any():
        return None
    return _on(grid, (order[0], order[1], order[2]), (False, flips[1], flips[2]), index)


def on_own_grid(data: Any, frames: Sequence[Frame]) -> Placed:
    """The frames on the grid that they make themselves; planes between them that the file left out are counted.

    Raises
    ------
    InputError
        If they are turned against each other, of several pixel sizes, or unevenly spaced.
    """
    if len(parallel(list(frames))) > 1:
        raise InputError("its planes are turned against each other or differ in pixel size, so no volume holds them.")
    places = by_place(frames)
    header = frames[0].header
    try:
        found = grid_of([place[0] for place in places], sparse=True, step=stated_step(data))
    except InputError as error:
        raise InputError(
            "its planes are not evenly spaced, so no volume holds them: open it beside its series, on whose grid it "
            "may lie."
        ) from error
    at = {id(plane): k for k, plane in enumerate(found.planes) if plane is not None}
    of_frame = {id(frame): at[id(place[0])] for place in places for frame in place}
    grid = Geometry.of_file((header.columns, header.rows, len(found.planes)), found.affine)
    slices, down, across = (grid.order.index(axis) for axis in (2, 1, 0))
    flips = (grid.flips[slices], grid.flips[down], grid.flips[across])
    index = np.array([(of_frame[id(frame)], 0, 0) for frame in frames])
    return _on(grid, (slices, down, across), flips, index, found.notes)


def pages(data: Any, header: ImageHeader, volumes: Sequence[Volume] = (), count: int = 0) -> Placed:
    """Frames without a place in the patient, each on the picture that it was drawn on.

    Parameters
    ----------
    data : pydicom.Dataset
    header : ImageHeader
    volumes : sequence of Volume
        Pictures that they may refer to, in their order.
    count : int
        How many pictures there are at least; where that is not known, they end with the last that is marked.

    Raises
    ------
    InputError
        If they do not say which it was, or lie on a slide.
    """
    if value_of(data, "TotalPixelMatrixRows"):
        raise InputError("it was made on a slide in tiles, which cannot be opened.")
    sources = [_source_of(data, k) for k in range(header.n_frames)]
    at: list[int] = []
    for volume in volumes:
        turns = {(f.header.sop_uid, f.index + 1): turn for turn, f in enumerate(volume.frames)}
        found = [turns.get(source) for source in sources]
        at = [turn for turn in found if turn is not None]
        if len(at) == len(sources):
            count = max(count, len(volume.frames))
            break
        at = []
    if not at and header.n_frames == 1:
        at = [sources[0][1] - 1]
    elif not at:
        if len({uid for uid, _ in sources}) > 1 or not sources[0][0]:
            raise InputError(
                "it does not say where in the patient its planes lie: open it in the folder of the pictures that it "
                "was made on."
            )
        at = [frame - 1 for _, frame in sources]
    if min(at) < 0 or max(at) > _MOST_PAGES:
        raise InputError("it refers to pictures that cannot be; it may be damaged.")
    count = max(count, max(at) + 1)
    spacing = header.frames[0].pixel_spacing
    shape, units = (count, header.rows, header.columns), "mm" if spacing else "pixel"
    spacing = spacing or (1.0, 1.0)
    unturned = (0, 1, 2), (False, False, False)
    if count == 1:
        return Placed(shape, *unturned, tuple(at), (0, 0), None, spacing, units, ("y", "x"))
    note = "The file does not say where in the patient its planes lie: they are shown as pages."
    return Placed(shape, *unturned, tuple(at), (0, 0), None, (1.0, *spacing), units, ("plane", "y", "x"), (note,))


def _on(
    grid: Geometry,
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
    index: npt.NDArray[np.int64],
    notes: tuple[str, ...] = (),
) -> Placed:
    """Frames that lie at `index` (plane, first row, first column) of a grid."""
    planes, corner = tuple(index[:, 0].tolist()), (int(index[0, 1]), int(index[0, 2]))
    return Placed(grid.shape, order, flips, planes, corner, grid, grid.spacing, "mm", ("z", "y", "x"), notes)


def stated_step(data: Any) -> float | None:
    """The distance of slices as the file has it: between those that it left out too."""
    for groups in value_of(data, "SharedFunctionalGroupsSequence") or []:
        measures = value_of(groups, "PixelMeasuresSequence")
        found = number(value_of(measures[0], "SpacingBetweenSlices"), least=1e-6, most=1e5) if measures else None
        if found is not None:
            return abs(found)
    return None


def _source_of(data: Any, index: int) -> tuple[str, int]:
    """The picture that a frame says it was made of: UID of its file, empty if it does not say, and number in it."""
    own = value_of(data, "PerFrameFunctionalGroupsSequence") or []
    shared = value_of(data, "SharedFunctionalGroupsSequence") or []
    for groups in (*own[index : index + 1], *shared[:1]):
        derived = value_of(groups, "DerivationImageSequence")
        sources = value_of(derived[0], "SourceImageSequence") if derived else None
        if sources:
            uid = text_of(sources[0], "ReferencedSOPInstanceUID")
            return uid, integer(value_of(sources[0], "ReferencedFrameNumber")) or 1
    return "", 1
