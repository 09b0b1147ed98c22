"""Which image files are segmented, and where the labels of each go."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.label_formats import FORMATS, legend_path
from napari_promptseg.images.modality_files import MAIN, Partner
from napari_promptseg.images.readers import folder_format, holds_dicom, is_image, stem

if TYPE_CHECKING:
    from napari_promptseg.images.dicom_headers import ImageHeader
    from napari_promptseg.segmentation.volumes.plan import VolumePlan

#: Added to an image's name, so that labels written beside images never take an image's place.
SUFFIX = "_labels"

#: Endings of files that hold volumes with a place in the patient.
_VOLUMES = (".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


@dataclass(frozen=True)
class Job:
    """One image file and where its labels go.

    Parameters
    ----------
    image, labels : pathlib.Path
    modalities : tuple of Partner
        Files that show the same scene otherwise.
    main : str
        What the image's own modality is called beside them.
    form : str, optional
        Format of the labels, a key of `label_formats.FORMATS`; by the ending where not given.
    volume : VolumePlan, optional
        How a volume or stack is segmented; all its planes as they lie where not given.
    """

    image: Path
    labels: Path
    modalities: tuple[Partner, ...] = ()
    main: str = MAIN
    form: str | None = None
    volume: VolumePlan | None = None

    @property
    def table(self) -> Path:
        """Where sizes are written that `volume` asks for."""
        return self.labels.with_name(f"{stem(self.labels)}_volumes.csv")

    @property
    def legend(self) -> Path:
        """The JSON file beside the labels, or they themselves where they hold it."""
        return legend_path(self.labels, FORMATS[self.form] if self.form else None)


def journal_path(labels: Path) -> Path:
    """Where the journal of labels that are written block by block lies: beside them."""
    return labels.with_name(f"{stem(labels)}.journal.jsonl")


def find_images(names: Sequence[str], *, leave_out: Path | None = None) -> list[Path]:
    """Image files that files, folders and patterns stand for, each once, in order.

    Parameters
    ----------
    names : sequence of str
        A folder that is one image (slices of DICOM, Zarr) stands for itself, any other for the images directly in it;
        ``*``, ``?`` and ``**`` are understood where the shell left them.
    leave_out : pathlib.Path, optional
        Folder of the results: label files of earlier runs in it are no images.

    Raises
    ------
    InputError
        If a name stands for nothing.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir() and not is_image(path):
            paths = [p for p in sorted(path.iterdir()) if is_image(p)]
            if not paths and holds_dicom(path):
                paths = [path]
            if not paths:
                raise InputError(f"The folder {name!r} holds no image that can be read.")
        elif path.exists():
            paths = [path]
        elif glob.has_magic(name):
            paths = _outermost([Path(p) for p in sorted(glob.glob(name, recursive=True)) if is_image(p)])
            if not paths:
                raise InputError(f"No image fits the pattern {name!r}.")
        else:
            raise InputError(f"There is no file or folder {name!r}: check the path.")
        found.update(dict.fromkeys(paths))
    images = [p for p in found if not (_is_result(p) and leave_out is not None and _same(p.parent, leave_out))]
    if not images:
        raise InputError("No image is left: what was named are label files of an earlier run.")
    return images


def plan(images: Sequence[Path], folder: Path, form: str | None = None) -> list[Job]:
    """Give every image a label file of its own in one folder.

    Names that would meet are told apart by their own ending, then by their folders', then by a number. `form` is a
    key of `label_formats.FORMATS`; without it labels are TIFF, and NIfTI where the image is a volume in the patient,
    so that its geometry is kept.
    """
    taken: set[str] = set()
    names = [_name(p) for p in images]
    bases = [name.casefold() for name in names]
    jobs = []
    for path, name, base in zip(images, names, bases, strict=True):
        if bases.count(base) > 1 and name == stem(path):
            name = path.name.replace(".", "_")
            if name.casefold() in taken:
                name = f"{path.resolve().parent.name}_{name}"
        unique, number = name, 2
        while unique.casefold() in taken:
            unique, number = f"{name}_{number}", number + 1
        taken.add(unique.casefold())
        own = form or ("nifti" if _is_volume(path) else "tiff")
        jobs.append(Job(path, folder / f"{unique}{SUFFIX}{FORMATS[own].ending}", form=own))
    return jobs


def _name(path: Path) -> str:
    """What labels are named after: the image, but of DICOM never the patient."""
    name = stem(path)
    header = _dicom_header(path)
    if header is None:
        return name
    from napari_promptseg.images.dicom_patient import without_patient

    series = header.modality if header.number is None else f"{header.modality} series {header.number}"
    return without_patient(name, header.personal) or series.replace("/", "_")


def _is_volume(path: Path) -> bool:
    """Whether its labels can be NIfTI: a volume in millimetres, as far as names and the first header tell."""
    header = _dicom_header(path)
    return path.name.lower().endswith(_VOLUMES) if header is None else header.frames[0].has_place


def _dicom_header(path: Path) -> ImageHeader | None:
    if path.is_file() and not is_dicom(path):
        return None
    from napari_promptseg.images.dicom_folders import first_header

    return first_header(path) if path.exists() and folder_format(path) != "zarr" else None


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Leave out what lies inside a folder that is an image: slices of a series, arrays of a pyramid."""
    folders = {p for p in paths if p.is_dir()}
    return [p for p in paths if folders.isdisjoint(p.parents)]


def _is_result(path: Path) -> bool:
    legend = legend_path(path)
    return legend.stem.endswith(SUFFIX) and (legend.exists() or journal_path(path).exists())


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
