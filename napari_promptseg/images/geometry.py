"""Where the voxels of a volume lie in the patient, and how the file's own grid is turned upright and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError

#: The anatomical planes, in the order of the axes of an upright volume ``(z, y, x)`` that they cut.
PlaneName = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[PlaneName, PlaneName, PlaneName] = ("axial", "coronal", "sagittal")

#: Turns coordinates of NIfTI (right to left, back to front) into those of DICOM and ITK, and back.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: Cosine above which an axis counts as running along the patient's: 0.1 degrees off moves 500 voxels by one.
_STRAIGHT = float(np.cos(np.deg2rad(0.1)))


#: Lengths in mm beyond which a header means nothing.
_SHORTEST, _FARTHEST = 1e-9, 1e9


def is_grid(affine: npt.NDArray[Any]) -> bool:
    """Whether a matrix ``(4, 4)`` puts voxels of some size into some place."""
    if not (np.abs(affine) <= _FARTHEST).all():
        return False
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    return bool((steps > _SHORTEST).all() and np.linalg.matrix_rank(affine[:3, :3] / steps) == 3)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The grid of a volume's file in the patient, and the turn that makes an upright stack of it.

    An upright stack has axes ``(z, y, x)`` that run, as nearly as the grid allows, to the patient's head, back and
    left: the first axis cuts axial planes, and each lies on the screen as radiologists are used to.

    Parameters
    ----------
    file_shape : tuple of int
        ``(ni, nj, nk)``, voxels along the file's axes: along a row, down a column, from slice to slice.
    file_affine : numpy.ndarray
        ``(4, 4)`` float64: from the file's index ``(i, j, k, 1)`` to millimetres in LPS, as DICOM and ITK have them
        (x to the patient's left, y to the back, z to the head).
    order : tuple of int
        Which of the file's axes each of the stack's ``(z, y, x)`` comes from.
    flips : tuple of bool
        Whether it runs against that axis.

    Notes
    -----
    No voxel is interpolated: turning there and back gives the same array.
    """

    file_shape: tuple[int, int, int]
    file_affine: npt.NDArray[np.float64]
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @classmethod
    def of_file(cls, shape: tuple[int, ...], affine: Any) -> Geometry:
        """The turn that brings a file's grid closest to upright.

        Parameters
        ----------
        shape : tuple of int
            ``(ni, nj, nk)``.
        affine : array-like
            ``(4, 4)``, from the file's index to millimetres in LPS. Where it is broken (not finite, axes that
            coincide, lengths that nothing has) the file's order is taken for upright, with steps as long as its
            columns say.

        Raises
        ------
        InputError
            For another number of axes.
        """
        from nibabel import orientations

        if len(shape) != 3:
            raise InputError(f"A volume has three axes in space, not {len(shape)}: {tuple(shape)}.")
        matrix = np.array(affine, dtype=float)
        if not is_grid(matrix):
            sane = np.where(np.abs(matrix) <= _FARTHEST, matrix, 0.0)
            steps = np.linalg.norm(sane[:3, :3], axis=0)
            matrix = np.diag([*np.where(steps > _SHORTEST, steps, 1.0), 1.0])
        found = orientations.io_orientation(RAS_LPS @ matrix)
        turn = orientations.ornt_transform(found, orientations.axcodes2ornt(("L", "P", "S")))
        order, flips = [0, 0, 0], [False, False, False]
        for axis, (target, direction) in enumerate(turn):
            order[2 - int(target)], flips[2 - int(target)] = axis, bool(direction < 0)
        matrix.flags.writeable = False
        ni, nj, nk = (int(n) for n in shape)
        return cls((ni, nj, nk), matrix, (order[0], order[1], order[2]), (flips[0], flips[1], flips[2]))

    def to_stack(self, values: Any) -> Any:
        """Turn an array of the file's, ``(ni, nj, nk, ...)``, upright: a view ``(z, y, x, ...)`` of the same values."""
        turned = values.transpose((*self.order, *range(3, values.ndim)))
        return turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def to_file(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn an upright array ``(z, y, x)`` back to the file's ``(ni, nj, nk)``.

        Raises
        ------
        InputError
            If its shape is not that of this volume.
        """
        if labels.shape != self.shape:
            raise InputError(
                f"Labels of shape {labels.shape} do not lie on the volume, which has {self.shape}: "
                "resample them onto it first."
            )
        unflipped = labels[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]
        return unflipped.transpose(np.argsort(self.order))

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of the upright stack."""
        z, y, x = (self.file_shape[axis] for axis in self.order)
        return z, y, x

    @cached_property
    def affine(self) -> npt.NDArray[np.float64]:
        """``(4, 4)``: from the upright index ``(z, y, x, 1)`` to millimetres ``(x, y, z, 1)`` in LPS."""
        index = np.zeros((4, 4))
        index[3, 3] = 1.0
        for axis, (own, flip, n) in enumerate(zip(self.order, self.flips, self.shape, strict=True)):
            index[own, axis] = -1.0 if flip else 1.0
            index[own, 3] = n - 1.0 if flip else 0.0
        matrix: npt.NDArray[np.float64] = self.file_affine @ index
        return matrix

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Length in mm of a step along ``(z, y, x)``."""
        z, y, x = (float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))
        return z, y, x

    @cached_property
    def is_straight(self) -> bool:
        """Whether each axis runs along the patient's, so that a scale and a shift put the volume in its place."""
        along = np.abs(np.diag(self.affine[2::-1, :3])) / np.asarray(self.spacing)
        return bool((along > _STRAIGHT).all())

    @cached_property
    def origin(self) -> tuple[float, float, float]:
        """Where the first voxel's centre lies, ``(z, y, x)`` in mm.

        For an oblique grid: where it would lie if the grid were straightened about its middle.
        """
        middle = (np.asarray(self.shape) - 1) / 2
        centre = (self.affine @ np.array([*middle, 1.0]))[2::-1]
        z, y, x = (float(v) for v in centre - middle * np.asarray(self.spacing))
        return z, y, x

    @property
    def acquired(self) -> PlaneName:
        """The plane that the file's slices lie in, as nearly as can be named."""
        return PLANES[self.order.index(2)]

    @property
    def voxel_volume(self) -> float:
        """Of one voxel, in mm³; less than the product of the steps where the axes are not at right angles."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def lies_like(self, other: Geometry, tolerance: float = 1e-2) -> bool:
        """Whether both have the same upright grid, to a share of a step."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1.0], indexing="ij")).reshape(4, -1)
        apart = np.abs((self.affine - other.affine) @ corners)[:3]
        return bool(apart.max() <= tolerance * min(self.spacing))
