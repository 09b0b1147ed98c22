"""Regions as a user drew them, and the pixels that are learned from: theirs, and those around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.learned_classes import on_cells

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Pixels of a region, at least: one pixel shows no thing.
FEWEST_PIXELS = 4


@dataclass(frozen=True, eq=False)
class DrawnRegion:
    """Exact pixels of one plane that show a class, or that do not.

    Parameters
    ----------
    features : DenseFeatures
        Of the plane. Regions of one plane share this very object.
    mask : numpy.ndarray
        ``(Y, X)`` bool, of the plane's size.
    value : int
        Of the class, 1 or more.
    positive : bool
        Whether it shows the class or what must not be taken for it.
    concept : Concept, optional
        What it is in words.

    Raises
    ------
    InputError
        If the mask has another size, fewer than `FEWEST_PIXELS` pixels or all of the plane's.
    """

    features: DenseFeatures
    mask: Mask
    value: int
    positive: bool = True
    concept: Concept | None = None

    def __post_init__(self) -> None:
        mask = np.asarray(self.mask, dtype=bool)
        object.__setattr__(self, "mask", mask)
        if mask.shape != tuple(self.features.image_shape):
            raise InputError(
                f"The region is of a plane of {mask.shape} and the features of one of "
                f"{tuple(self.features.image_shape)}: draw it on the image that was encoded."
            )
        if self.value < 1:
            raise InputError(f"A region cannot have the class value {self.value}: classes count from 1.")
        count = int(np.count_nonzero(mask))
        if count < FEWEST_PIXELS:
            raise InputError(
                f"The region has {count} pixel{'' if count == 1 else 's'} in the image: draw one of at least "
                f"{FEWEST_PIXELS}, or click for a point."
            )
        if self.positive and count == mask.size:
            raise InputError("The region is the whole image, which leaves nothing to tell it from: draw a smaller one.")


@dataclass(frozen=True, eq=False)
class PlaneMarks:
    """What the regions of one class say about one plane.

    Parameters
    ----------
    features : DenseFeatures
    inside, outside : numpy.ndarray
        ``(Y, X)`` bool: the class; what is said not to be it (negative regions, and those of other classes).
    around : numpy.ndarray
        ``(Y, X)`` bool: all else. Empty where no region of the class is positive on the plane.
    """

    features: DenseFeatures
    inside: Mask
    outside: Mask
    around: Mask


def marks_of(regions: Sequence[DrawnRegion], value: int) -> list[PlaneMarks]:
    """The planes of one class, in the order of the regions; where regions disagree, the later one is right."""
    planes: dict[int, tuple[DenseFeatures, npt.NDArray[np.int8]]] = {}
    for region in regions:
        own = planes.setdefault(id(region.features), (region.features, np.zeros(region.mask.shape, np.int8)))
        own[1][region.mask] = 1 if region.value == value and region.positive else -1
    found = []
    for features, said in planes.values():
        inside, outside = said > 0, said < 0
        around = said == 0 if inside.any() else np.zeros_like(inside)
        if inside.any() or any(r.value == value and r.features is features for r in regions):
            found.append(PlaneMarks(features, inside, outside, around))
    if not any(m.inside.any() for m in found):
        raise InputError("A class is learned from at least one region that shows it: draw a positive one.")
    return found


@dataclass(frozen=True, eq=False)
class Pixels:
    """Pixels drawn from the planes of one class.

    Parameters
    ----------
    planes : tuple of DenseFeatures
    plane, rows, columns : numpy.ndarray
        ``(n,)`` int64: which of the planes, and where.
    labels : numpy.ndarray
        ``(n,)`` bool: of the class.
    areas : numpy.ndarray
        ``(n,)`` float64: pixels of the plane that each stands for.
    said : numpy.ndarray
        ``(n,)`` bool: the user said so, by a region of either kind; False for what only lies around.
    """

    planes: tuple[DenseFeatures, ...]
    plane: Ints
    rows: Ints
    columns: Ints
    labels: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.float64]
    said: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.labels.size)

    def where(self, keep: npt.NDArray[np.bool_]) -> Pixels:
        """Those that a ``(n,)`` mask keeps."""
        return Pixels(
            self.planes,
            self.plane[keep],
            self.rows[keep],
            self.columns[keep],
            self.labels[keep],
            self.areas[keep],
            self.said[keep],
        )

    def read(self, maps: Mapping[int, torch.Tensor] | Sequence[torch.Tensor]) -> torch.Tensor:
        """``(n, k)`` float32 values of ``(h, w, k)`` maps, one per plane, at the pixels; bilinear."""
        rows: list[torch.Tensor] = []
        order: list[Ints] = []
        for number, features in enumerate(self.planes):
            mine = np.flatnonzero(self.plane == number)
            if mine.size:
                rows.append(on_cells(maps[number], features.image_shape, self.rows[mine], self.columns[mine]))
                order.append(mine)
        back = np.argsort(np.concatenate(order), kind="stable")
        return torch.cat(rows)[torch.from_numpy(back).to(rows[0].device)]

    def weights(self) -> npt.NDArray[np.float64]:
        """``(n,)`` that add up to 1: one half to the class, one half to the rest, each plane the same within both.

        What the user said is not the class has half of the rest, however small it is.
        """
        out: npt.NDArray[np.float64] = np.zeros(len(self))
        refused = ~self.labels & self.said
        around = ~self.labels & ~self.said
        for group, share in ((self.labels, 2.0), (refused, 1.0), (around, 1.0 if refused.any() else 2.0)):
            for number in np.unique(self.plane[group]):
                some = group & (self.plane == number)
                out[some] = self.areas[some] / self.areas[some].sum()
            if group.any():
                out[group] *= share / out[group].sum()
        out /= out.sum()
        return out


def draw_pixels(marks: Sequence[PlaneMarks], *, inside: int = 400, outside: int = 800, seed: int = 0) -> Pixels:
    """Draw pixels evenly from each plane's marks.

    Parameters
    ----------
    marks : sequence of PlaneMarks
    inside, outside : int
        At most so many of the class, and of what is not it, over all planes; each plane gives the same share.
    seed : int
    """
    rng = np.random.default_rng(seed)
    columns: list[list[npt.NDArray[np.float64]]] = []
    for number, plane in enumerate(marks):
        for mask, label, said, most in (
            (plane.inside, True, True, inside),
            (plane.outside, False, True, outside // 2),
            (plane.around, False, False, outside),
        ):
            places = np.flatnonzero(mask)
            if not places.size:
                continue
            drawn = rng.permutation(places)[: max(1, most // len(marks))]
            y, x = np.divmod(drawn, mask.shape[1])
            each = places.size / drawn.size
            columns.append([np.full(drawn.size, v, float) for v in (number, label, said, each)] + [y, x])
    plane_of, labels, said_of, areas, rows, cols = (np.concatenate(c) for c in zip(*columns, strict=True))
    return Pixels(
        tuple(m.features for m in marks),
        plane_of.astype(np.int64),
        rows.astype(np.int64),
        cols.astype(np.int64),
        labels.astype(bool),
        areas,
        said_of.astype(bool),
    )


#: Share of the surroundings that may go where the model's own words say that they are of the class.
MOST_NAMED = 0.5


def without_lookalikes(pixels: Pixels, most: float = 0.1, named: torch.Tensor | None = None) -> Pixels:
    """Leave out what only lies around and looks as the region does: it may be another one of the kind.

    Parameters
    ----------
    pixels : Pixels
    most : float
        Share of the surroundings' area that may go, at most.
    named : torch.Tensor, optional
        ``(n,)`` logits by the class's name, where the model knows it; what the name finds goes too, up to `MOST_NAMED`.

    Notes
    -----
    What looks like the region's mean as much as half of the region itself does goes, the most alike first. What the
    user said is not the class stays.
    """
    vectors = torch.nn.functional.normalize(pixels.read([f.semantic for f in pixels.planes]), dim=1)
    keep = np.ones(len(pixels), dtype=bool)
    for number in range(len(pixels.planes)):
        of_plane = pixels.plane == number
        around = np.flatnonzero(of_plane & ~pixels.labels & ~pixels.said)
        inside = np.flatnonzero(of_plane & pixels.labels)
        if not around.size or not inside.size:
            continue
        centre = vectors[torch.from_numpy(around).to(vectors.device)].mean(0)
        about = torch.nn.functional.normalize(vectors - centre, dim=1)
        mean = torch.nn.functional.normalize(about[torch.from_numpy(inside).to(about.device)].mean(0), dim=0)
        alike = (about @ mean).cpu().numpy()
        suspects = around[alike[around] >= np.median(alike[inside])]
        suspects = suspects[np.argsort(-alike[suspects], kind="stable")]
        keep[suspects[: int(most * around.size)]] = False
        if named is not None:
            said = named.cpu().numpy()
            found = around[said[around] > 0]
            keep[found[np.argsort(-said[found], kind="stable")][: int(MOST_NAMED * around.size)]] = False
    return pixels.where(keep)
