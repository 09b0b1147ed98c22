"""What goes into a file when a label layer is saved: its pixels as they stand, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.gui.layers import View
from napari_promptseg.gui.work import Job
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.label_formats import FORMATS, LabelFormat, format_of, misfit, usual_format
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_promptseg.gui.session import Session

#: Names that files understand, for those that napari's layers carry.
UNITS = {"nanometer": "nm", "micrometer": "um", "millimeter": "mm", "centimeter": "cm"}


def file_name(title: str) -> str:
    """A layer's name as a file's, which may not hold everything."""
    return "".join("_" if c in '/\\:*?"<>|' else c for c in title)


@dataclass(frozen=True, eq=False)
class Origin:
    """What a label layer was made of, as far as files are to know it; no pixels.

    Parameters
    ----------
    source : ImageStack
        Spacing, units, a volume's place in the patient, and what the source's file says of itself.
    shape : tuple of int
        Of the labels: ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``; further leading axes are laid one after the
        other along T.
    notes : dict
        For the legend: how leading axes were laid, where there are any.
    path : str, optional
        What the image was read from, which a DICOM segmentation reads again.
    volume : tuple of int, optional
        Shape of the volume in the patient where the labels have another, of a coarser level for example.
    """

    source: ImageStack
    shape: tuple[int, ...]
    notes: dict[str, Any]
    path: str | None
    volume: tuple[int, ...] | None = None

    @property
    def usual(self) -> LabelFormat:
        """What its labels are written in when nobody says."""
        return usual_format(self.source, self.shape)

    @property
    def image_group(self) -> Path | None:
        """The OME-Zarr image that labels of this shape can be put inside; None where there is none."""
        if self.path is None or self.source.metadata.get("format") != "ome-zarr" or not Path(self.path).is_dir():
            return None
        return Path(self.path)

    def unfit(self, form: LabelFormat) -> str | None:
        """Why labels cannot be written in a format; None where they can."""
        reason = form.unfit(self.source, self.shape)
        if reason is not None and form.needs_place and self.volume is not None:
            return f"the labels have shape {self.shape} and the volume {self.volume}"
        if reason is None and form.key == "dicom-seg" and self.path is None:
            return "it is not known where the series lies, open it through the menu File"
        return reason


@dataclass(frozen=True, eq=False)
class Export:
    """A copy of a label layer, so that painting goes on while it is written.

    Parameters
    ----------
    labels : numpy.ndarray
        Of the origin's shape.
    origin : Origin
    """

    labels: npt.NDArray[Any]
    origin: Origin

    def write(
        self,
        path: Path,
        prompts: PromptSet,
        *,
        provenance: Mapping[str, Any],
        familiarity: Mapping[str, str],
        overwrite: bool,
        form: str | None = None,
    ) -> tuple[Path, Path]:
        """Write labels and legend, as `write_labels`."""
        from napari_promptseg.images.writers import write_labels

        return write_labels(
            path,
            self.labels,
            prompts,
            source=self.origin.source,
            provenance={**provenance, **self.origin.notes},
            familiarity=familiarity,
            overwrite=overwrite,
            form=form,
            source_path=self.origin.path,
        )


def save(session: Session, path: Path, *, overwrite: bool, form: str | None = None) -> None:
    """Write the label layer in hand and its legend in the background, as they stand now.

    Parameters
    ----------
    session : Session
    path : pathlib.Path
    overwrite : bool
        Replace files that exist.
    form : str, optional
        Key of `label_formats.FORMATS`; by the path's ending where not given.
    """
    result = session.result
    layer = None if result is None else result.standing
    if result is None or layer is None:
        session.say("There is no mask to save yet: press Segment first.", "warning")
        return
    chosen = format_of(path) if form is None else FORMATS[form]
    reason = None if chosen is None else origin_of(layer, result.view, result.image).unfit(chosen)
    if chosen is not None and reason is not None:
        session.say(misfit(path, chosen, reason), "error")
        return
    export = export_of(layer, result.view, result.image)
    prompts = session.prompts
    provenance = {} if session.label_map is None else dict(session.label_map.provenance)
    familiarity = {name: level for name, (level, _) in session.known.items()}

    def task(progress: Progress) -> tuple[Path, Path]:
        return export.write(
            path, prompts, provenance=provenance, familiarity=familiarity, overwrite=overwrite, form=form
        )

    def done(files: tuple[Path, Path]) -> None:
        names = " and ".join(dict.fromkeys(file.name for file in files))
        session.say(f"Saved {names} in {files[0].parent}.")

    def failed(sentence: str) -> None:
        session.say(sentence, "error")

    session.workbench.submit(Job(f"save {path}", task, done, failed))


def export_of(layer: Labels, view: View, image: Image) -> Export:
    """Copy what is to be written of the labels of an image."""
    labels = np.array(layer.data)
    if view.channel_axis is not None:
        labels = labels.take(0, axis=view.channel_axis)
    origin = origin_of(layer, view, image)
    return Export(labels.reshape(origin.shape), origin)


def origin_of(layer: Labels, view: View, image: Image) -> Origin:
    """What files are to know of the image that labels belong to; nothing is copied."""
    shape = tuple(int(n) for n in layer.data.shape)
    axes = [axis for axis in range(len(shape)) if axis != view.channel_axis]
    shape = tuple(shape[axis] for axis in axes)
    titles = [str(layer.axis_labels[axis]) for axis in axes[:-2]]
    notes: dict[str, Any] = {}
    if titles:
        notes["leading_axes"] = {"names": titles, "shape": list(shape[:-2])}
    if len(shape) > 4:
        shape = (int(np.prod(shape[:-3])), *shape[-3:])
    metadata = image.metadata
    facts = {key: metadata[key] for key in ("format", "nifti", "dicom") if key in metadata}
    name = str(metadata.get("source") or image.name)
    path = image.source.path
    geometry = metadata.get("geometry")
    volume = None
    if isinstance(geometry, Geometry):
        if shape == geometry.shape:
            source = ImageStack((_nothing(name, shape),), geometry.spacing, "mm", (), name, facts, geometry)
            return Origin(source, shape, notes, path)
        volume = geometry.shape
    spacing, units = spacing_of(layer, axes[-3:])
    names = ("z", "y", "x")[-len(spacing) :]
    if len(titles) == 1 and titles[0].casefold() in ("t", "time"):
        names = ("t", "y", "x")
    source = ImageStack((_nothing(name, shape[-len(spacing) :]),), spacing, units, names, name, facts)
    return Origin(source, shape, notes, path, volume)


def _nothing(name: str, grid: tuple[int, ...]) -> Modality:
    """Pixels that take no memory, for a source of which only the facts count."""
    return Modality(name, np.broadcast_to(np.zeros((), np.uint8), grid))


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
