"""``--modality`` and ``--modality-weight``: further pictures of the same scenes, for the commands that take images."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.evaluation.packs import DataPack
    from napari_promptseg.images.modality_files import ModalityFiles
    from napari_promptseg.images.stack import ModalityKind
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.prompts.prompt_set import PromptSet


def add_modality_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a command's options."""
    group = parser.add_argument_group("several modalities of one scene")
    group.add_argument(
        "--modality",
        action="append",
        default=[],
        metavar="NAME=DIR_OR_PATTERN[#SERIES][:KIND]",
        help="a further picture of each scene, found by the image's name: nir=pack/nir, thermal=ir/*.tif:thermal, "
        "t1c=patients/*/t1c.nii.gz, t1c=study#5 for series 5 of a DICOM folder. May be given several times; an image "
        "that lacks one is segmented without it",
    )
    group.add_argument(
        "--modality-weight",
        action="append",
        default=[],
        metavar="NAME=W",
        help="how much a modality counts; the image itself is called image. 0 leaves one out "
        "(default: as in the prompt file, otherwise 1, and 0.5 beside colour pictures)",
    )
    group.add_argument(
        "--modality-resample",
        action="store_true",
        help="bring volumes that lie otherwise in the patient onto the image's grid, instead of refusing them",
    )


@dataclass(frozen=True)
class ModalityChoice:
    """What the options ask for.

    Parameters
    ----------
    files : tuple of ModalityFiles
    main : str
        What the images' own modality is called.
    weights : dict of str to float
        By name, as given.
    resample : bool
        Whether volumes that lie otherwise are brought onto the image's grid.
    """

    files: tuple[ModalityFiles, ...] = ()
    main: str = "image"
    weights: dict[str, float] | None = None
    resample: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> ModalityChoice:
        """Read the options.

        Raises
        ------
        InputError
            If one cannot be understood, a folder or pattern holds nothing, or a weight is for no modality.
        """
        from napari_promptseg.images.modality_files import MAIN, ModalityFiles

        files = tuple(ModalityFiles.parse(text) for text in options.modality)
        names = [MAIN, *(f.name for f in files)]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"Two modalities are called {name!r}: give each a name of its own.")
        weights = {}
        for text in options.modality_weight:
            name, sign, number = (part.strip() for part in text.partition("="))
            try:
                weight = float(number)
            except ValueError:
                weight = math.nan
            if not sign or not (math.isfinite(weight) and weight >= 0):
                raise InputError(f"{text!r} is no weight: write NAME=W with W of 0 or more, for example nir=0.5.")
            if name not in names:
                raise InputError(f"There is no modality {name!r} to weigh: the names are {', '.join(names)}.")
            weights[name] = weight
        return cls(files, MAIN, weights, options.modality_resample)

    def fitted(
        self, prompts: PromptSet, images: Sequence[Path], *, kind: ModalityKind, series: str | None = None
    ) -> tuple[ModalityChoice, PromptSet]:
        """Bring the choice and a prompt set together.

        Parameters
        ----------
        prompts : PromptSet
            Of a prompt file it may know the modalities it was made with, by other names.
        images : sequence of pathlib.Path
            The first is read, to see whether images are in colour.
        kind : ModalityKind
            What the images' values show, as far as it is known.
        series : str, optional
            Of DICOM folders that hold several.

        Returns
        -------
        choice : ModalityChoice
            With the names that the prompts have for its modalities.
        prompts : PromptSet
            With notes of all modalities, the prompts' own first.

        Raises
        ------
        InputError
            If no image is left beside those of the further modalities.
        """
        from napari_promptseg.images.readers import read_image
        from napari_promptseg.images.stack import Modality
        from napari_promptseg.prompts.modality_notes import (
            ModalityNote,
            matched,
            modality_notes,
            usual_weights,
            with_modality_notes,
        )

        if not self.files:
            return self, prompts
        if not images:
            raise InputError("All images named are files of a --modality: name the images that they belong to.")
        notes = list(modality_notes(prompts.metadata))
        own = read_image(images[0], kind=kind, series=series).modalities[0].shown_kind
        here = [Modality(self.main, None, kind=own), *(Modality(f.name, None, kind=f.kind) for f in self.files)]
        found = matched(here, notes)
        usual = usual_weights([m.kind for m in here])
        names = []
        for i, (m, j) in enumerate(zip(here, found, strict=True)):
            weight = (self.weights or {}).get(m.name)
            if j is None:
                name = m.name if all(n.name != m.name for n in notes) else f"{m.name} ({i + 1})"
                notes.append(ModalityNote(name, m.kind, usual[i] if weight is None else weight))
            else:
                note = notes[j]
                kept = m.kind if note.kind == "auto" else note.kind
                notes[j] = replace(note, kind=kept, weight=note.weight if weight is None else weight)
                name = note.name
            names.append(name)
        files = tuple(replace(f, name=n) for f, n in zip(self.files, names[1:], strict=True))
        told = replace(prompts, metadata=with_modality_notes(prompts.metadata, notes))
        return replace(self, files=files, main=names[0]), told

    def unmet(self, prompts: PromptSet) -> list[str]:
        """A sentence where the prompts were made with further modalities and none is given."""
        from napari_promptseg.prompts.modality_notes import modality_notes

        others = [repr(note.name) for note in modality_notes(prompts.metadata)[1:]]
        if self.files or not others:
            return []
        return [f"The prompts were made with {', '.join(others)} too, which --modality can name: masks go without."]

    def without_partners(self, images: Sequence[Path]) -> list[Path]:
        """Images that are not themselves files of a further modality, as where all lie in one folder."""
        # a folder of several DICOM series may be both: the image is one series, the modality another
        mine = {path.resolve() for f in self.files for key, path in f.files.items() if key or not path.is_dir()}
        return [p for p in images if p.resolve() not in mine]

    def jobs(self, jobs: Sequence[Job], say: Callable[[str], None]) -> list[Job]:
        """Jobs with the files of their further modalities; what is missing is said."""
        from napari_promptseg.images.modality_files import partners_of

        if not self.files:
            return list(jobs)
        partners = [partners_of(j.image, self.files, resample=self.resample) for j in jobs]
        made = [replace(j, modalities=p, main=self.main) for j, p in zip(jobs, partners, strict=True)]
        self._say_missing(
            [[p.name for p in j.modalities if p.file is None] for j in made], [j.image for j in made], say
        )
        return made

    def pack(self, pack: DataPack, say: Callable[[str], None]) -> DataPack:
        """A pack with the further modalities; what is missing is said."""
        if not self.files:
            return pack
        missing = [[f.name for f in self.files if f.partner(p.image) is None] for p in pack]
        self._say_missing(missing, [p.image for p in pack], say)
        return replace(pack, modalities=self.files, main=self.main, resample=self.resample)

    def _say_missing(
        self, missing: Sequence[Sequence[str]], images: Sequence[Path], say: Callable[[str], None]
    ) -> None:
        for modality in self.files:
            lacking = [name for name, names in zip(_told_apart(images), missing, strict=True) if modality.name in names]
            if len(lacking) == len(images):
                raise InputError(
                    f"No image has a file of the modality {modality.name!r}: they are paired by name, "
                    f"as {images[0].name!r} with {next(iter(modality.files.values())).name!r}."
                )
            if lacking:
                some = ", ".join(lacking[:3]) + (" ..." if len(lacking) > 3 else "")
                say(f"{len(lacking)} of {len(images)} images have no {modality.name!r} and go without it: {some}")


def _told_apart(files: Sequence[Path]) -> list[str]:
    """Names of files; with their folders' where several have one name, as ``flair.nii.gz`` of each patient."""
    n_called = Counter(file.name for file in files)
    return [str(Path(f.parent.name, f.name)) if n_called[f.name] > 1 else f.name for f in files]
