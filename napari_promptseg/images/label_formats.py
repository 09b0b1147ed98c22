"""Which formats labels are written in, how each is recognised, and why one does not fit a picture."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_promptseg.images.readers import stem
from napari_promptseg.images.zarr_labels import image_of

if TYPE_CHECKING:
    from napari_promptseg.images.stack import ImageStack


@dataclass(frozen=True)
class LabelFormat:
    """One way of keeping labels in files.

    Parameters
    ----------
    key : str
        As the command line has it.
    title : str
        As people call it.
    endings : tuple of str
        In lower case, the usual one first; none where the labels are a folder of pictures.
    purpose : str
        Who reads it, in a few words.
    legend_inside : bool
        Whether the legend is in the file itself and none lies beside it.
    """

    key: str
    title: str
    endings: tuple[str, ...]
    purpose: str
    legend_inside: bool = False

    @property
    def ending(self) -> str:
        """The usual one; empty for a folder."""
        return self.endings[0] if self.endings else ""

    @property
    def needs_place(self) -> bool:
        """Whether it holds a volume that lies somewhere in the patient."""
        return self.key in _VOLUMES

    def unfit(self, source: ImageStack | None, shape: Sequence[int]) -> str | None:
        """Why labels of that shape and source cannot be written so; None where they can.

        Parameters
        ----------
        source : ImageStack, optional
            What the labels were made of.
        shape : sequence of int
            ``(Y, X)``, ``(Z, Y, X)`` or ``(T, Z, Y, X)``.
        """
        planes = math.prod(shape[:-2])
        if self.key in _FLAT:
            return None if planes == 1 else f"it cannot hold {planes} planes"
        if not self.needs_place:
            return None
        geometry = None if source is None else source.geometry
        if geometry is None:
            return "its source is not a volume in millimetres"
        if len(shape) > 3:
            return "it cannot hold several volumes"
        own = (1,) * (3 - len(shape)) + tuple(shape)
        if own != geometry.shape:
            return f"the labels have shape {tuple(shape)} and the volume {geometry.shape}"
        if self.key == "dicom-seg":
            if source is None or not source.metadata.get("dicom"):
                return "its source is no DICOM series, whose slices it must refer to"
            if importlib.util.find_spec("highdicom") is None:
                return 'highdicom is missing (pip install "napari-promptseg[medical]")'
        return None


#: Formats of one plane, and formats of a volume that lies somewhere in the patient.
_FLAT = ("png", "class-png", "coco", "coco-polygons")
_VOLUMES = ("nifti", "nrrd", "mha", "dicom-seg")

#: By key, in the order in which they are offered.
FORMATS: dict[str, LabelFormat] = {
    f.key: f
    for f in (
        LabelFormat("tiff", "TIFF", (".tif", ".tiff"), "any image; ImageJ and napari read it"),
        LabelFormat("png", "PNG", (".png",), "one plane; every program reads it"),
        LabelFormat("nifti", "NIfTI", (".nii.gz", ".nii"), "a volume in its place, for research tools"),
        LabelFormat("nrrd", "NRRD", (".seg.nrrd", ".nrrd"), "a volume in its place, with names for 3D Slicer"),
        LabelFormat("mha", "MetaImage", (".mha",), "a volume in its place, for ITK's tools"),
        LabelFormat("dicom-seg", "DICOM SEG", (".dcm",), "a volume of a DICOM series, for the hospital's archive"),
        LabelFormat("ome-zarr", "OME-Zarr", (".ome.zarr", ".zarr"), "any image; large ones are read piece by piece"),
        LabelFormat("coco", "COCO", (".coco.json",), "one plane; regions as runs of pixels, exactly", True),
        LabelFormat(
            "coco-polygons", "COCO polygons", (".polygons.json",), "one plane; regions as polygons to edit", True
        ),
        LabelFormat("class-png", "PNG per class", (), "one plane; a folder with a black and white picture per class"),
    )
}

#: Endings of label files.
LABEL_SUFFIXES: tuple[str, ...] = tuple(e for f in FORMATS.values() for e in f.endings)


def format_of(path: str | os.PathLike[str]) -> LabelFormat | None:
    """The format that a name stands for: by its ending, or by lying in an OME-Zarr image's ``labels``."""
    name = Path(path).name.lower()
    if image_of(path) is not None:
        return FORMATS["ome-zarr"]
    return next((f for f in FORMATS.values() if name.endswith(f.endings)), None) if name else None


def misfit(path: str | os.PathLike[str], form: LabelFormat, reason: str) -> str:
    """The sentence a person reads when labels cannot be written in a format."""
    return f"{Path(path).name!r} cannot be written as {form.title}: {reason}; write a TIFF instead."


def usual_format(source: ImageStack | None, shape: Sequence[int]) -> LabelFormat:
    """What labels are written in when nobody says: NIfTI for a volume in the patient, else TIFF."""
    nifti = FORMATS["nifti"]
    return nifti if nifti.unfit(source, shape) is None else FORMATS["tiff"]


def legend_path(labels: str | os.PathLike[str], form: LabelFormat | None = None) -> Path:
    """Where the legend of labels lies: ``cat_labels.tif`` has ``cat_labels.json``.

    COCO files and labels inside an OME-Zarr image hold theirs: then it is the labels' own path.
    """
    path = Path(labels)
    form = form or format_of(path)
    if form is None or not form.endings:
        return path.with_name(f"{path.name}.json") if form else path.with_name(f"{stem(path)}.json")
    if form.legend_inside or image_of(path) is not None:
        return path
    ending = next((e for e in sorted(form.endings, key=len, reverse=True) if path.name.lower().endswith(e)), "")
    name = path.name[: len(path.name) - len(ending)] if ending and len(path.name) > len(ending) else stem(path)
    return path.with_name(f"{name}.json")
