"""A table of what was found in a volume: sizes, largest sections, intensities, extents."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.volumes.planes import PlaneAxis, PlaneGrid

#: Millimetres in one unit of length.
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "micrometer": 1e-3, "nm": 1e-6}


@dataclass(frozen=True)
class StructureRow:
    """One class of a volume.

    Parameters
    ----------
    name : str
    value : int
        Of the class.
    voxels : int
    volume : float
        In `unit` cubed.
    millilitres : float or None
        None where the unit is no length, as for pixels.
    largest_area : float
        Of the largest section in a plane, in `unit` squared.
    largest_plane : int or None
        Where that is, counted from 0 as the viewer's slider does; None for a class that is nowhere.
    first_plane, last_plane : int or None
        Of the planes that show it.
    mean, deviation : float or None
        Of the image's values in it.
    unit : str
    axis : PlaneAxis
        That planes are counted along.
    """

    name: str
    value: int
    voxels: int
    volume: float
    millilitres: float | None
    largest_area: float
    largest_plane: int | None
    first_plane: int | None
    last_plane: int | None
    mean: float | None
    deviation: float | None
    unit: str
    axis: PlaneAxis


def structure_rows(
    labels: npt.NDArray[Any],
    stack: ImageStack,
    prompts: PromptSet,
    *,
    axis: PlaneAxis = "axial",
    modality: int = 0,
) -> list[StructureRow]:
    """Measure every class of a prompt set in a volume.

    Parameters
    ----------
    labels : numpy.ndarray
        Of the stack's grid.
    stack : ImageStack
        Its geometry, or its spacing, gives sizes; values are read plane by plane.
    prompts : PromptSet
    axis : PlaneAxis
        That sections are measured across.
    modality : int
        Whose values are averaged; of several channels their mean.

    Raises
    ------
    InputError
        If labels and stack differ in shape.
    """
    if labels.shape != stack.grid:
        raise InputError(f"Labels of shape {labels.shape} do not lie on the image, which has {stack.grid}.")
    values = [c.value for c in prompts.classes]
    grid = PlaneGrid.of(stack, axis)
    volume = labels.reshape(grid.shape)
    steps = [abs(float(s)) for s in (1.0, *stack.spacing)[-3:]]
    cell = float(np.prod(steps)) if stack.geometry is None else stack.geometry.voxel_volume
    area = float(np.prod([steps[a] for a in grid.across]))
    top = max([int(volume.max()), *values]) + 1
    counts = np.zeros((grid.n_planes, top), np.int64)
    for plane in range(grid.n_planes):
        counts[plane] = np.bincount(volume[grid.place(plane)].ravel(), minlength=top)
    total, mean, deviation = _intensities(volume, stack, modality, top)
    scale = _MILLIMETRES.get(stack.units)
    rows = []
    for c in prompts.classes:
        own = counts[:, c.value]
        planes = np.flatnonzero(own)
        n = int(own.sum())
        rows.append(
            StructureRow(
                name=c.name,
                value=c.value,
                voxels=n,
                volume=n * cell,
                millilitres=None if scale is None else n * cell * scale**3 / 1000,
                largest_area=float(own.max()) * area,
                largest_plane=int(own.argmax()) if n else None,
                first_plane=int(planes[0]) if n else None,
                last_plane=int(planes[-1]) if n else None,
                mean=float(mean[c.value]) if total[c.value] else None,
                deviation=float(deviation[c.value]) if total[c.value] else None,
                unit=stack.units,
                axis=axis,
            )
        )
    return rows


def table_text(tables: Sequence[tuple[str, Sequence[StructureRow]]]) -> str:
    """Rows of one or several volumes as comma-separated values with a line of titles.

    Parameters
    ----------
    tables : sequence of (str, sequence of StructureRow)
        What to call each volume, and its rows.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(
        ["volume", "structure", "label", "voxels", "size (mL)", "size (unit³)", "largest section (unit²)", "unit",
         "planes along", "largest section at plane", "first plane", "last plane", "mean intensity",
         "standard deviation"]
    )  # fmt: skip
    for name, rows in tables:
        for row in rows:
            writer.writerow(
                [_plain(name), _plain(row.name), row.value, row.voxels, _number(row.millilitres), _number(row.volume),
                 _number(row.largest_area), _plain(row.unit), row.axis, _blank(row.largest_plane),
                 _blank(row.first_plane), _blank(row.last_plane), _number(row.mean), _number(row.deviation)]
            )  # fmt: skip
    return out.getvalue()


def write_table(
    path: str | os.PathLike[str], tables: Sequence[tuple[str, Sequence[StructureRow]]], *, overwrite: bool = False
) -> None:
    """Write a CSV file that spreadsheets open with umlauts intact: whole or not at all.

    Raises
    ------
    OutputError
        If the file exists and may not be replaced, or cannot be written.
    """
    from napari_promptseg.errors import OutputError
    from napari_promptseg.images.writers import write_files

    file = Path(path)
    if file.exists() and not overwrite:
        raise OutputError(f"{str(file)!r} exists already: choose another name, or let it be replaced.")
    write_files({file: table_text(tables).encode("utf-8-sig", "backslashreplace")})


def _intensities(
    volume: npt.NDArray[Any], stack: ImageStack, modality: int, top: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Per label value how many finite values there are, their mean and their standard deviation."""
    total, first, second = (np.zeros(top) for _ in range(3))
    for plane in range(stack.n_planes):
        values = np.asarray(stack.region(plane, modality=modality), np.float64)
        values = values.mean(axis=-1) if values.ndim == 3 else values
        finite = np.isfinite(values)
        own, values = volume[plane][finite].ravel(), values[finite].ravel()
        n = np.bincount(own, minlength=top)
        sums = np.bincount(own, values, top)
        # planes are joined by their means and spreads, so that large values lose nothing
        mean = sums / np.maximum(n, 1)
        spread = np.bincount(own, (values - mean[own]) ** 2, top)
        both = np.maximum(total + n, 1)
        apart = mean - first
        second += spread + apart**2 * total * n / both
        first += apart * n / both
        total += n
    return total, first, np.sqrt(second / np.maximum(total, 1))


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _blank(value: int | None) -> str:
    return "" if value is None else str(value)
