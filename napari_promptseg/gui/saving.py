"""What goes into a file when a label layer is saved: its pixels as they stand, and the size of a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.layers import View
from napari_promptseg.gui.work import Task
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from napari.layers import Labels

#: Names that files understand, for those that napari's layers carry.
UNITS = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm"}


@dataclass(frozen=True, eq=False)
class Export:
    """A copy of a label layer, so that painting goes on while it is written.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``; further leading axes are laid one after the other along T.
    source : ImageStack
        No pixels of its own: spacing and units for the file.
    notes : dict
        For the legend: how leading axes were laid, where there are any.
    """

    labels: npt.NDArray[Any]
    source: ImageStack
    notes: dict[str, Any]

    def task(self, path: Path, prompts: PromptSet, **keywords: Any) -> Task:
        """Writing, as a job for the worker; parameters as of `write`."""
        return lambda progress: self.write(path, prompts, **keywords)

    def write(
        self,
        path: Path,
        prompts: PromptSet,
        *,
        provenance: Mapping[str, Any],
        familiarity: Mapping[str, str],
        overwrite: bool,
    ) -> tuple[Path, Path]:
        """Write labels and legend, as `write_labels`."""
        from napari_promptseg.images.writers import write_labels

        return write_labels(
            path,
            self.labels,
            prompts,
            source=self.source,
            provenance={**provenance, **self.notes},
            familiarity=familiarity,
            overwrite=overwrite,
        )


def export_of(layer: Labels, view: View, name: str) -> Export:
    """Copy what is to be written; `name` is the image's."""
    labels = np.array(layer.data)
    axes = list(range(labels.ndim))
    if view.channel_axis is not None:
        labels = labels.take(0, axis=view.channel_axis)
        axes.remove(view.channel_axis)
    titles = [str(layer.axis_labels[axis]) for axis in axes[:-2]]
    notes: dict[str, Any] = {}
    if titles:
        notes["leading_axes"] = {"names": titles, "shape": list(labels.shape[:-2])}
    if labels.ndim > 4:
        labels = labels.reshape(-1, *labels.shape[-3:])
    spacing, units = spacing_of(layer, axes[-3:])
    names = ("z", "y", "x")[-len(spacing) :]
    if len(titles) == 1 and titles[0].casefold() in ("t", "time"):
        names = ("t", "y", "x")
    grid = np.broadcast_to(np.zeros((), np.uint8), labels.shape[-len(spacing) :])
    source = ImageStack((Modality(name, grid),), spacing, units, names, source=name)
    return Export(labels, source, notes)


def spacing_of(layer: Labels, axes: list[int]) -> tuple[tuple[float, ...], str]:
    """Length of one step along each of `axes` in the world, and its unit.

    A rotation or an affine transformation counts too. The unit is that of a row's pixels, ``"pixel"`` where it is no
    length; an axis before rows and columns may be of another kind (seconds) and keeps its own figure.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    steps = [np.linalg.norm(np.asarray(layer.data_to_world(np.eye(layer.ndim)[axis])) - origin) for axis in axes]
    spacing = [float(step) for step in steps]
    units = [layer.units[axis] for axis in axes]
    if all(u.is_compatible_with("meter") for u in units[-2:]):
        name = str(units[-1]) if str(units[-1]) in UNITS else "millimeter"
        factors = [float((1 * u).to(name).magnitude) if u.is_compatible_with("meter") else 1.0 for u in units]
        return tuple(step * factor for step, factor in zip(spacing, factors, strict=True)), UNITS[name]
    return tuple(spacing), "pixel"
