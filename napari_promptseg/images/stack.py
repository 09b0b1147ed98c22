"""The scene that is segmented: aligned modalities on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.normalisation import Limits, measure_limits, to_rgb8

#: What a modality shows, which decides how its values become a picture for the encoder.
ModalityKind = Literal[
    "auto", "rgb", "grey", "fluorescence", "thermal", "depth", "nir", "ct", "mr",
    "flair", "t1", "t1c", "t2", "dwi", "pet", "other",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Modality:
    """One sensor's or sequence's view of the scene.

    Parameters
    ----------
    name : str
        Shown to the user, for example the layer's name.
    pixels : array-like
        ``(Y, X)``, ``(Y, X, C)``, ``(Z, Y, X)`` or ``(Z, Y, X, C)``; NumPy, dask or zarr. Lazy arrays
        are read one plane (or tile) at a time. None for a modality that this scene lacks while others of its set
        have it: it keeps its place and is left out of everything.
    channels : bool
        Whether the last axis is channels; `to_rgb8` says how each number of them is shown.
    kind : ModalityKind
        ``"auto"`` decides from the values.
    limits : Limits, optional
        Display range ``(low, high)`` in pixel values (a CT window, say); measured where absent.
    levels : tuple of array-like
        The same picture at coarser steps, finer first, where the file is a pyramid; `pixels` is the finest.
    square : array-like, optional
        The same plane with square pixels, ``(y, x)`` of another shape, where its own are oblong and the encoder is to
        see it in its true proportions; for a modality of one plane.
    """

    name: str
    pixels: Any
    channels: bool = False
    kind: ModalityKind = "auto"
    limits: Limits | None = None
    levels: tuple[Any, ...] = ()
    square: Any = None

    @property
    def is_absent(self) -> bool:
        """Whether the scene lacks it."""
        return self.pixels is None

    @property
    def shown_kind(self) -> ModalityKind:
        """Its kind; ``"rgb"`` where that is left to the values and there are three or four channels."""
        colour = self.channels and not self.is_absent and int(self.pixels.shape[-1]) in (3, 4)
        return "rgb" if self.kind == "auto" and colour else self.kind

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape without channels: ``(Y, X)`` or ``(Z, Y, X)``; ``()`` where it is absent."""
        if self.is_absent:
            return ()
        shape = tuple(int(n) for n in self.pixels.shape)
        return shape[:-1] if self.channels else shape


@dataclass(frozen=True, eq=False)
class ImageStack:
    """Aligned modalities of one scene, with spacing, units and axis names.

    Parameters
    ----------
    modalities : sequence of Modality
        At least one that is there; all on the same grid ``(Y, X)`` or ``(Z, Y, X)``.
    spacing : sequence of float, optional
        Size of a grid step along each axis, in `units`; 1 where not given.
    units : str
        ``"mm"``, ``"um"``, ``"pixel"`` ...
    axis_names : sequence of str, optional
        ``("y", "x")`` or ``("z", "y", "x")`` where not given.
    source : str
        Name of the file, without its folder.
    metadata : dict
        Plain values; never a patient's name.
    geometry : Geometry, optional
        Where the voxels lie in the patient, for a medical volume; then `spacing` is its own.

    Raises
    ------
    InputError
        No modality, a grid of other than 2 or 3 axes, an empty axis, grids that differ, or a geometry of another shape.
    """

    modalities: Sequence[Modality]
    spacing: tuple[float, ...] = ()
    units: str = "pixel"
    axis_names: tuple[str, ...] = ()
    source: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    geometry: Geometry | None = None
    _measured: dict[int, Limits] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        there = [m for m in self.modalities if not m.is_absent]
        if not there:
            raise InputError("The image has no modality: give at least one layer or file.")
        grid = self.grid
        if len(grid) not in (2, 3):
            raise InputError(
                f"{there[0].name!r} has {len(grid)} spatial axes {grid}; "
                "a plane (Y, X) or a stack of planes (Z, Y, X) is needed."
            )
        if 0 in grid:
            raise InputError(f"{there[0].name!r} is empty: its shape is {grid}.")
        for other in there[1:]:
            if other.grid != grid:
                raise InputError(
                    f"{other.name!r} has shape {other.grid} but {there[0].name!r} has {grid}: "
                    "resample one onto the other first."
                )
        if self.geometry is not None and self.geometry.shape != grid:
            raise InputError(f"The geometry is of a volume of shape {self.geometry.shape}, the image has {grid}.")
        if not self.spacing:
            object.__setattr__(self, "spacing", (1.0,) * len(grid))
        if not self.axis_names:
            object.__setattr__(self, "axis_names", ("z", "y", "x")[-len(grid) :])

    @classmethod
    def from_array(
        cls,
        pixels: Any,
        *,
        channels: bool | None = None,
        name: str = "image",
        kind: ModalityKind = "auto",
        **keywords: Any,
    ) -> ImageStack:
        """Make a one-modality stack; a trailing axis of 3 or 4 counts as channels unless told otherwise."""
        shape = tuple(pixels.shape)
        if channels is None:
            channels = len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4
        return cls((Modality(name, pixels, channels, kind),), **keywords)

    @property
    def grid(self) -> tuple[int, ...]:
        """``(Y, X)`` or ``(Z, Y, X)``."""
        return next(m.grid for m in self.modalities if not m.is_absent)

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the modalities that are there."""
        return tuple(i for i, m in enumerate(self.modalities) if not m.is_absent)

    @property
    def n_planes(self) -> int:
        """Number of 2-D planes along the first axis; 1 for a single plane."""
        return self.grid[0] if len(self.grid) == 3 else 1

    @property
    def plane_shape(self) -> tuple[int, int]:
        """``(Y, X)`` of one plane."""
        return self.grid[-2], self.grid[-1]

    def region(
        self, plane: int = 0, rows: slice = slice(None), columns: slice = slice(None), *, modality: int = 0
    ) -> npt.NDArray[Any]:
        """Raw values of one plane or a part of it: ``(y, x)`` or ``(y, x, C)``, read now."""
        view = self._there(modality)
        if not 0 <= plane < self.n_planes:
            raise InputError(f"Plane {plane} does not exist: {view.name!r} has {self.n_planes}.")
        at: tuple[Any, ...] = (rows, columns) if len(self.grid) == 2 else (plane, rows, columns)
        return np.asarray(view.pixels[at])

    def limits(self, modality: int = 0) -> Limits:
        """Display range shared by all planes and tiles of a modality; measured once where it was not given."""
        view = self._there(modality)
        if view.limits is not None:
            return view.limits
        if modality not in self._measured:
            self._measured[modality] = measure_limits(view.pixels, view.kind, channels=view.channels)
        return self._measured[modality]

    def picture(
        self,
        plane: int = 0,
        rows: slice = slice(None),
        columns: slice = slice(None),
        *,
        modality: int = 0,
        limits: Limits | None = None,
    ) -> npt.NDArray[np.uint8]:
        """One plane or a part of it as the encoder sees it: ``(y, x, 3)`` uint8.

        Without `limits` the modality's own are used, so that tiles and planes of one scene fit together.
        """
        view = self._there(modality)
        return to_rgb8(
            self.region(plane, rows, columns, modality=modality),
            kind=view.kind,
            limits=self.limits(modality) if limits is None else limits,
        )

    def _there(self, modality: int) -> Modality:
        view = self.modalities[modality]
        if view.is_absent:
            raise InputError(f"The modality {view.name!r} is absent from this image: choose one that is there.")
        return view
