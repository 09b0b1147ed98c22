"""What tells one job from another: what is done, in which way, to which files as they are now.

An earlier run's labels count as finished only under the same digest, so that changed prompts, settings or pictures are
never mixed with what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_promptseg.errors import OutputError
from napari_promptseg.large.pictures import identity

if TYPE_CHECKING:
    from napari_promptseg.images.modality_files import Partner
    from napari_promptseg.images.stack import ModalityKind
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.large.bench import Setup
    from napari_promptseg.large.pictures import Picture


def job_digest(setup: Setup, picture: Picture) -> str:
    """Hex digest of a job in blocks: what is done to which picture, cut in which way."""
    sources = [identity(file) for file in picture.files]
    facts = [picture.kind, picture.limits, asdict(picture.plan), picture.main, _partners(picture.modalities), sources]
    return _digest(setup, facts)


def file_digest(setup: Setup, job: Job, kind: ModalityKind, series: str | None) -> str:
    """Hex digest of a job on a file that is segmented in one piece."""
    files = [job.image, *(p.file for p in job.modalities if p.file is not None)]
    volume = {} if job.volume is None else job.volume.notes
    facts = [kind, series, job.form, volume, job.main, _partners(job.modalities), [identity(file) for file in files]]
    return _digest(setup, facts)


def finished_earlier(job: Job, digest: str) -> dict[str, float] | None:
    """What a run of the same job found that has written its labels whole.

    Parameters
    ----------
    job : Job
    digest : str
        Of `file_digest`.

    Returns
    -------
    dict of str to float, optional
        Class name to its share of the image; None where labels or legend are missing.

    Raises
    ------
    OutputError
        If they were made by another job, or by something else.
    """
    if not (job.labels.exists() and job.legend.exists()):
        return None
    shares = _shares_under(job.legend, digest)
    if shares is None:
        raise OutputError(
            f"{str(job.labels)!r} was made from another picture, or with other prompts or settings: pass --overwrite "
            "or choose another folder."
        )
    return shares


def begun_earlier(job: Job, digest: str) -> bool:
    """Whether a run of the same job was killed after its legend and before its labels were there."""
    return not job.labels.exists() and _shares_under(job.legend, digest) is not None


def _shares_under(legend: Path, digest: str) -> dict[str, float] | None:
    """The classes' shares that a legend tells; None where it is of another job, or none of ours."""
    try:
        said = json.loads(legend.read_text(encoding="utf-8"))
        shares = {str(c["name"]): float(c["area_share"]) for c in said["classes"]}
        return shares if said["provenance"]["job"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _partners(partners: Sequence[Partner]) -> list[list[Any]]:
    return [[p.name, p.kind, p.resample, p.file is None] for p in partners]


def _digest(setup: Setup, facts: Sequence[Any]) -> str:
    return hashlib.blake2b(json.dumps([setup.digest, *facts], sort_keys=True).encode(), digest_size=16).hexdigest()
