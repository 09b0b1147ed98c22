"""Many image files to many label files; one that fails is named and does not stop the rest."""

from __future__ import annotations

import glob
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import CancelledError, InputError, OutputError, PromptSegError
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.label_formats import FORMATS, legend_path
from napari_promptseg.images.modality_files import MAIN, Partner, with_partners
from napari_promptseg.images.readers import first_of_many, folder_format, holds_dicom, is_image, read_image, stem
from napari_promptseg.images.writers import write_labels
from napari_promptseg.progress import Progress, silent

if TYPE_CHECKING:
    from napari_promptseg.images.dicom_headers import ImageHeader
    from napari_promptseg.images.stack import ImageStack, ModalityKind
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter
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


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Parameters
    ----------
    job : Job
    shares : dict of str to float
        Class name to its share of the image, in ``[0, 1]``; empty where it failed.
    seconds : float
    error : PromptSegError, optional
        Why nothing was written.
    """

    job: Job
    shares: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: PromptSegError | None = None


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


def segment_stack(
    segmenter: Segmenter,
    stack: ImageStack,
    prompts: PromptSet,
    *,
    volume: VolumePlan | None = None,
    progress: Progress = silent,
) -> tuple[npt.NDArray[Any], dict[str, Any]]:
    """Segment all planes of a stack, or those that `volume` wants, in its way.

    Returns
    -------
    labels : numpy.ndarray
        ``(Y, X)`` or ``(Z, Y, X)``, as the stack's grid.
    provenance : dict
        As the label map of the first plane has it, with the number of planes.
    """
    from napari_promptseg.segmentation.volumes.plan import VolumePlan

    return (volume or VolumePlan()).segmented(segmenter, stack, prompts, progress)


def segment_files(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    prompts: PromptSet,
    *,
    kind: ModalityKind = "auto",
    series: str | None = None,
    overwrite: bool = False,
    progress: Callable[[Job], Progress] = lambda job: silent,
    debug: bool = False,
) -> Iterator[Outcome]:
    """Segment files one by one, yielding what became of each.

    Parameters
    ----------
    segmenter : Segmenter
    jobs : sequence of Job
    prompts : PromptSet
    kind : ModalityKind
        What the files' values show.
    series : str, optional
        Number or key of the series of DICOM folders that hold several.
    overwrite : bool
        Replace label files that exist; otherwise such a job fails before any work.
    progress : callable
        Gives the listener for a job's own steps.
    debug : bool
        Let errors that nobody foresaw through instead of reporting them as the job's.

    Raises
    ------
    CancelledError
        If a listener stopped the work; what was written before stays.
    """
    for job in jobs:
        work = partial(
            segment_file,
            segmenter,
            job,
            prompts,
            kind=kind,
            series=series,
            overwrite=overwrite,
            progress=progress(job),
        )
        yield attempted(job, work, debug=debug)


def attempted(job: Job, work: Callable[[], dict[str, float]], *, debug: bool = False) -> Outcome:
    """Do the work of a job and say what became of it.

    Parameters
    ----------
    job : Job
    work : callable
        Gives the classes' shares.
    debug : bool
        Let errors that nobody foresaw through.

    Raises
    ------
    CancelledError
        If a listener stopped the work.
    """
    start = time.perf_counter()
    try:
        return Outcome(job, work(), time.perf_counter() - start)
    except CancelledError:
        raise
    except Exception as error:
        if debug and not isinstance(error, (PromptSegError, MemoryError)):
            raise
        return Outcome(job, seconds=time.perf_counter() - start, error=reported(job, error))


def reported(job: Job, error: Exception) -> PromptSegError:
    """What a person reads of an error that ended a job.

    A night's batch must survive the one file that meets a defect of ours; ``--debug`` shows where it is.
    """
    if isinstance(error, PromptSegError):
        return error
    if isinstance(error, MemoryError):
        return InputError(f"{job.image.name!r} does not fit into memory: crop or downsample it first.")
    reason = " ".join(str(error).split())
    defect = PromptSegError(
        f"{job.image.name!r} met an unforeseen error ({type(error).__name__}: {reason}): "
        "run it again with --debug and report what it says."
    )
    defect.__cause__ = error
    return defect


def notes_of(job: Job) -> list[str]:
    """What a finished job's legend says about its image: sides that are a guess, slices that are missing."""
    try:
        legend = json.loads(job.legend.read_text(encoding="utf-8"))
        return [str(note) for note in legend["provenance"].get("notes", ())]
    # labels that hold their legend themselves are no JSON
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def check_free(job: Job) -> None:
    """Refuse a job whose labels exist.

    Raises
    ------
    OutputError
        Naming the file.
    """
    for file in (job.labels, job.legend):
        if file.exists():
            raise OutputError(f"{str(file)!r} exists already: pass --overwrite or choose another folder.")


def segment_file(
    segmenter: Segmenter,
    job: Job,
    prompts: PromptSet,
    *,
    kind: ModalityKind = "auto",
    series: str | None = None,
    overwrite: bool = False,
    notes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> dict[str, float]:
    """Segment one file that fits into memory and write its labels.

    Parameters
    ----------
    segmenter, job, prompts, kind, series, overwrite, progress
        As of `segment_files`.
    notes : mapping, optional
        Plain values for the provenance.

    Returns
    -------
    dict of str to float
        Class name to its share of the image.
    """
    start = time.perf_counter()
    if not overwrite:
        check_free(job)
    stack = first_of_many(read_image(job.image, kind=kind, series=series))
    if job.modalities:
        stack = with_partners(stack, job.image, job.modalities, name=job.main)
    stack = stack if job.volume is None else job.volume.windowed(stack)
    labels, made_by = segment_stack(segmenter, stack, prompts, volume=job.volume, progress=progress)
    names = prompts.names
    write_labels(
        job.labels,
        labels,
        prompts,
        source=stack,
        provenance={**made_by, **(notes or {}), "seconds": round(time.perf_counter() - start, 3)},
        familiarity=dict(zip(names, map(str, segmenter.known(prompts)), strict=True)),
        overwrite=overwrite,
        form=job.form,
        source_path=job.image,
    )
    if job.volume is not None and job.volume.table:
        from napari_promptseg.segmentation.volumes.table import structure_rows, write_table

        rows = structure_rows(labels, stack, prompts, axis=job.volume.axes[0])
        # two images of one name in two folders have two names here
        write_table(job.table, [(stem(job.labels).removesuffix(SUFFIX), rows)], overwrite=True)
    return {c.name: float(np.count_nonzero(labels == c.value) / labels.size) for c in prompts.classes}


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
