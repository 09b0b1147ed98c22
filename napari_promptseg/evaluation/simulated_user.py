"""A user made of arithmetic: sees truth and prediction, and points, clicks or scribbles where they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.packs import IGNORED
from napari_promptseg.learning.corrections import Stroke

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Depth = npt.NDArray[np.float64]

_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass
class SimulatedUser:
    """Draws corrections from the truth of one image; the same seed draws the same.

    Parameters
    ----------
    truth : numpy.ndarray
        ``(Y, X)`` class values, 0 for background and 255 for pixels that are never touched.
    seed : int or sequence of int
    """

    truth: Labels
    seed: int | tuple[int, ...] = 0
    _touched: Mask = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.truth.ndim != 2:
            raise InputError(f"The truth has shape {self.truth.shape}; one plane (Y, X) is needed.")
        self._rng = np.random.default_rng(self.seed)
        self._touched = np.zeros(self.truth.shape, dtype=bool)

    @property
    def values(self) -> tuple[int, ...]:
        """Classes in the truth, background included."""
        return tuple(int(v) for v in np.unique(self.truth) if v != IGNORED)

    def points(self, prediction: Labels | None = None, *, per_class: int = 20) -> list[Stroke]:
        """One round of single pixels: one stroke per class of the truth.

        Parameters
        ----------
        prediction : numpy.ndarray, optional
            ``(Y, X)``. Without it pixels are drawn from each class's regions, with it from the class's errors: where
            the truth has the class and the prediction another. Either way with a probability in proportion to the
            distance from the region's border, so towards centres. Where the errors have too few pixels left, the
            rest is drawn from the class's regions.
        per_class : int

        Returns
        -------
        list of Stroke
            Of kind ``"point"``, in order of class value; a pixel is never drawn twice.
        """
        strokes = []
        for value in self.values:
            region = self.truth == value
            wanted = [region] if prediction is None else [region & (prediction != value), region]
            picked = np.zeros(0, dtype=np.int64)
            for area in wanted:
                drawn = self._draw(area, per_class - picked.size)
                picked = np.concatenate([picked, drawn])
            if picked.size:
                rows, columns = np.divmod(picked, self.truth.shape[1])
                strokes.append(Stroke.from_pixels(rows, columns, value, kind="point"))
        return strokes

    def click(self, prediction: Labels) -> Stroke | None:
        """One click at the centre of the largest error, as RITM measures (Sofiiuk et al. 2022); None without error.

        The centre is the pixel farthest from the border of the errors of one class; the class whose centre lies
        deepest is clicked.
        """
        best: tuple[float, int, int] | None = None
        for value in self.values:
            inside = depth((self.truth == value) & (prediction != value)) * ~self._touched
            place = int(inside.argmax())
            found = float(inside.flat[place])
            if found > 0 and (best is None or found > best[0]):
                best = (found, value, place)
        if best is None:
            return None
        row, column = divmod(best[2], self.truth.shape[1])
        self._touched[row, column] = True
        return Stroke.from_pixels([row], [column], best[1], kind="point")

    def scribble(self, prediction: Labels | None = None, *, corners: int = 3) -> Stroke | None:
        """One line inside the largest error (or the largest region where there is no prediction yet).

        Parameters
        ----------
        prediction : numpy.ndarray, optional
            ``(Y, X)``.
        corners : int
            Places, drawn towards the centre, that the line joins; between them it keeps away from the border.

        Returns
        -------
        Stroke or None
            One pixel wide; None where nothing is wrong.
        """
        from skimage.graph import route_through_array

        largest: tuple[int, int, Mask] | None = None
        for value in self.values:
            area = self.truth == value
            if prediction is not None:
                area &= prediction != value
            pieces, n = ndimage.label(area & ~self._touched, structure=_EIGHT)
            if n:
                sizes = np.bincount(pieces.ravel())[1:]
                if largest is None or sizes.max() > largest[0]:
                    largest = (int(sizes.max()), value, pieces == int(sizes.argmax()) + 1)
        if largest is None:
            return None
        _, value, area = largest
        inside = depth(area)
        cost = np.where(area, 1 / np.maximum(inside, 1e-3), -1.0)
        chance = inside.ravel() / inside.sum()
        ends = self._rng.choice(inside.size, corners, p=chance)
        line = [tuple(divmod(int(ends[0]), area.shape[1]))]
        for end in ends[1:]:
            path, _ = route_through_array(cost, line[-1], tuple(divmod(int(end), area.shape[1])))
            line += [(int(y), int(x)) for y, x in path[1:]]
        rows, columns = zip(*line, strict=True)
        self._touched[list(rows), list(columns)] = True
        return Stroke.from_pixels(rows, columns, value, kind="scribble")

    def _draw(self, area: Mask, n: int) -> npt.NDArray[np.int64]:
        """Up to `n` untouched pixels of an area, the deep ones more often."""
        chance = (depth(area) * ~self._touched).ravel()
        n = min(n, int(np.count_nonzero(chance)))
        if n <= 0:
            return np.zeros(0, dtype=np.int64)
        picked: npt.NDArray[np.int64] = self._rng.choice(chance.size, n, replace=False, p=chance / chance.sum())
        self._touched.flat[picked] = True
        return picked


def depth(area: Mask) -> Depth:
    """Distance of each pixel to the nearest one outside; beyond the image is outside."""
    inside: Depth = ndimage.distance_transform_edt(np.pad(area, 1))[1:-1, 1:-1]
    return inside
