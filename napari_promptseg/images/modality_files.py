"""Further modalities of images as files of their own: which file belongs to which image, read onto one stack."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from napari_promptseg.errors import InputError
from napari_promptseg.images.modality_folders import guess_kind
from napari_promptseg.images.readers import folder_format, is_image, read_image, stem
from napari_promptseg.images.resampling import onto_grid
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

#: Kinds that may be written behind a colon.
KINDS: tuple[str, ...] = tuple(k for k in get_args(ModalityKind) if k != "auto")

#: What the image itself is called where nothing gives it another name.
MAIN = "image"


@dataclass(frozen=True)
class ModalityFiles:
    """One further modality of many images.

    Parameters
    ----------
    name : str
    kind : ModalityKind
    files : dict of str to pathlib.Path
        By what the file shares with its image: its name without ending, or what the wildcards of a pattern stand for.
    series : str or None
        Number or key of the series, where DICOM folders hold several; None takes the one whose description is of the
        kind.
    """

    name: str
    kind: ModalityKind
    files: dict[str, Path]
    series: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModalityFiles:
        """Read ``NAME=DIR_OR_PATTERN[#series][:kind]``.

        ``nir=pack/nir``, ``t1c=scans/*/t1c.nii.gz:t1c``, ``t1c=study#5`` for series 5 of a DICOM folder.

        Raises
        ------
        InputError
            If a part is missing, the kind is none, or the folder or pattern holds no image.
        """
        name, sign, place = (part.strip() for part in text.partition("="))
        if not (name and sign and place):
            raise InputError(f"{text!r} is no modality: write NAME=FOLDER or NAME=PATTERN, for example nir=pack/nir.")
        folder, colon, last = place.rpartition(":")
        kind = guess_kind(name)
        if colon and last.strip().casefold() in KINDS:
            place, kind = folder, _kind(last)
        elif colon and folder and not re.search(r"[\\/]", last) and not Path(place).exists():
            raise InputError(f"{last!r} is no kind of modality: use one of {', '.join(KINDS)} in {text!r}.")
        place, series = _series_of(place)
        path = Path(place)
        if path.is_dir() and not is_image(path):
            found = {stem(p): p for p in sorted(path.iterdir()) if is_image(p)}
        elif glob.has_magic(place):
            found = {
                _stands_for(place, p): Path(p) for p in sorted(glob.glob(place, recursive=True)) if is_image(Path(p))
            }
        elif path.exists():
            found = {"": path}
        else:
            raise InputError(f"There is no folder {place!r} for the modality {name!r}: check the path.")
        if not found:
            raise InputError(f"{place!r} holds no image for the modality {name!r}: check the path.")
        return cls(name, kind, found, series)

    def partner(self, image: Path) -> Path | None:
        """The file of this modality that shows the same scene as `image`; None where there is none.

        Notes
        -----
        By name without ending first; then by what stands before the last ``_``, ``-`` or space, so that ``a_rgb`` finds
        ``a_nir`` (a number there tells scenes apart, not modalities); then, for patterns, by the image's folder, so
        that ``pat1/flair`` finds ``pat1/t1c``. A single file is the partner of every image.
        """
        if "" in self.files:
            return self.files[""]
        own = stem(image)
        begin: dict[str, list[Path]] = {}
        for key, path in self.files.items():
            begin.setdefault(_before(key), []).append(path)
        exact = {key: [path] for key, path in self.files.items()}
        for table, key in (
            (exact, own),
            (exact, _before(own)),
            (begin, own),
            (begin, _before(own)),
            (exact, image.absolute().parent.name),
        ):
            found = [p for p in table.get(key, ()) if p.resolve() != image.resolve()] if key else []
            if len(found) == 1:
                return found[0]
        return None


@dataclass(frozen=True)
class Partner:
    """The file that shows the scene of an image in one further modality.

    Parameters
    ----------
    name : str
    kind : ModalityKind
    file : pathlib.Path or None
        None where there is none.
    resample : bool
        Whether a volume that lies otherwise in the patient is brought onto the image's grid.
    series : str or None
        See `ModalityFiles`.
    """

    name: str
    kind: ModalityKind
    file: Path | None
    resample: bool = False
    series: str | None = None


def partners_of(image: Path, modalities: Sequence[ModalityFiles], *, resample: bool = False) -> tuple[Partner, ...]:
    """One partner of an image per modality, absent ones included."""
    return tuple(Partner(m.name, m.kind, m.partner(image), resample, m.series) for m in modalities)


def with_partners(stack: ImageStack, image: Path, partners: Sequence[Partner], *, name: str = MAIN) -> ImageStack:
    """An image with its further modalities; one that it lacks keeps its place and is absent.

    Parameters
    ----------
    stack : ImageStack
        Of `image`; only its first modality is taken.
    image : pathlib.Path
    partners : sequence of Partner
    name : str
        Of the image's own modality from now on.

    Raises
    ------
    InputError
        If a file cannot be read, or does not lie on the image's grid: nothing is resampled silently.
    """
    shown = [replace(stack.modalities[0], name=name)]
    for modality in partners:
        file = modality.file
        if file is None:
            shown.append(Modality(modality.name, None, kind=modality.kind))
            continue
        other = read_image(file, kind=modality.kind, series=modality.series or _series_of_kind(file, modality))
        if stack.geometry and other.geometry and not other.geometry.lies_like(stack.geometry):
            if not modality.resample:
                raise InputError(
                    f"{file.name!r} does not lie where {image.name!r} lies in the patient: "
                    "resample one onto the other first, or ask for it with --modality-resample."
                )
            other = onto_grid(other, stack)
        if other.grid != stack.grid:
            raise InputError(
                f"{file.name!r} has the size {other.grid} and {image.name!r} {stack.grid}: "
                "resample one onto the other first."
            )
        view = other.modalities[0]
        if modality.kind in ("nir", "thermal", "depth") and view.channels and _is_grey(view):
            view = replace(view, pixels=view.pixels[..., 0], channels=False)
        shown.append(replace(view, name=modality.name))
    return replace(stack, modalities=tuple(shown))


def _series_of(place: str) -> tuple[str, str | None]:
    """A place without ``#series``, and the series; as it is where there is a file or folder of the whole name."""
    before, sign, after = place.rpartition("#")
    return (before, after.strip()) if sign and before and after.strip() and not Path(place).exists() else (place, None)


def _series_of_kind(file: Path, modality: Partner) -> str | None:
    """Of a DICOM folder with several series, the one whose description is of the modality's kind."""
    if not file.is_dir() or folder_format(file) != "dicom":
        return None
    from napari_promptseg.images.dicom_series import list_series

    found = list_series(file)
    named = [s for s in found if guess_kind(s.description) == modality.kind]
    if len(found) < 2 or len(named) == 1:
        return named[0].key if len(found) > 1 else None
    listed = ", ".join(f"{s.key} {s.description}".strip() for s in found)
    raise InputError(
        f"{file.name!r} holds {len(found)} series and {len(named)} of them are described as {modality.kind}: "
        f"choose one with --modality {modality.name}={file.name}#NUMBER, of {listed}."
    )


def _is_grey(view: Modality) -> bool:
    """Whether a picture stores one value three times, as many programs write grey ones."""
    import numpy as np

    pixels = np.asarray(view.pixels[..., :3])
    return bool((pixels == pixels[..., :1]).all())


def _kind(word: str) -> ModalityKind:
    return next(k for k in get_args(ModalityKind) if k == word.strip().casefold())


def _before(name: str) -> str:
    """What stands before the last ``_``, ``-`` or space; nothing where there is none or a number follows it.

    ``FLIR_0211`` and ``FLIR_0212`` are two scenes and not two modalities of one.
    """
    match = re.fullmatch(r"(.+)[_\-\s]([^_\-\s]+)", name)
    return match[1] if match and not re.search(r"^\d+$|\d{3}", match[2]) else ""


def _stands_for(pattern: str, path: str) -> str:
    """What the wildcards of a pattern stand for in a path that fits it."""
    parts = re.split(r"(\*+|\?)", Path(pattern).as_posix())
    text = "".join("(.*?)" if p.startswith("*") else "(.)" if p == "?" else re.escape(p) for p in parts)
    match = re.fullmatch(text, Path(path).as_posix())
    return "_".join(g.strip("/") for g in match.groups() if g) if match else stem(path)
