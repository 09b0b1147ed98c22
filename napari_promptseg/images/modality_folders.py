"""Scenes whose modalities are files of their own: ``rgb/a.png`` with ``thermal/a.png``, ``pat/flair.nii.gz`` ..."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from napari_promptseg.errors import InputError
from napari_promptseg.images.readers import is_image_name, read_image, stem
from napari_promptseg.images.stack import ImageStack, ModalityKind

#: Words in the names of files, folders, layers and series that tell what the values show.
KIND_WORDS: dict[ModalityKind, tuple[str, ...]] = {
    "rgb": ("rgb", "color", "colour", "vis", "visible", "photo"),
    "thermal": ("thermal", "ir", "tir", "lwir", "fir", "infrared"),
    "nir": ("nir", "vnir", "near infrared"),
    "depth": ("depth", "disparity", "range", "dsm", "dem", "height"),
    "ct": ("ct", "cbct", "cta"),
    "flair": ("flair", "t2f"),
    "t1": ("t1", "t1n", "t1w", "mprage"),
    "t1c": ("t1c", "t1ce", "t1gd", "t1 gd"),
    "t2": ("t2", "t2w"),
    "dwi": ("dwi", "adc", "trace"),
    "pet": ("pet", "suv", "fdg"),
    "mr": ("mr", "mri", "t2star", "pd", "pdw", "swi", "bold", "stir", "dce"),
    "fluorescence": (
        *(
            "fluorescence",
            "fluo",
            "dapi",
            "hoechst",
            "gfp",
            "egfp",
            "fitc",
            "rfp",
            "tritc",
            "mcherry",
            "m cherry",
            "cy3",
            "cy5",
        ),
        *("yfp", "cfp", "texasred", "alexa"),
    ),
    "grey": ("grey", "gray", "pan", "panchromatic", "brightfield", "ultrasound", "xray"),
}

#: Names of files that lie beside modalities and are none.
_LABEL_WORDS = frozenset({"seg", "mask", "masks", "label", "labels", "gt", "segmentation", "annotation", "annotations"})

_KIND_OF = {word: kind for kind, words in KIND_WORDS.items() for word in words}


@dataclass(frozen=True)
class Scene:
    """Files that show the same scene.

    Parameters
    ----------
    name : str
        What the files share; the folder's name where they are named by their modality alone.
    files : dict of str to pathlib.Path
        Name of each modality, as the files have it, and its file.
    """

    name: str
    files: dict[str, Path]


def guess_kind(name: str) -> ModalityKind:
    """What a modality's name says its values show.

    Parameters
    ----------
    name : str
        Of a file, folder, layer or series: ``"BraTS_001_t1ce"``, ``"near infrared"``, ``"Thermal"``.

    Returns
    -------
    ModalityKind
        ``"auto"`` where no word of `KIND_WORDS` is in it; of several words the last one counts.
    """
    words = _words(name)
    for last in range(len(words), 0, -1):
        for first in (last - 2, last - 1):
            kind = _KIND_OF.get(" ".join(words[max(first, 0) : last]))
            if kind is not None:
                return kind
    return "auto"


def find_scenes(folder: str | os.PathLike[str]) -> list[Scene]:
    """The scenes of a folder whose files or subfolders are named by modality.

    Parameters
    ----------
    folder : str or path-like
        Either subfolders named by modality with files of the same names (``rgb/a.png``, ``thermal/a.jpg``), or
        files that end with the modality (``a_rgb.png``, ``a_nir.png``), or files named by it alone
        (``flair.nii.gz``, ``t1c.nii.gz``): those are one scene. Label files (``seg``, ``mask`` ...) are left out.

    Returns
    -------
    list of Scene
        In order of their names; only those with two modalities and more. Empty where the folder holds none.
    """
    root = Path(folder)
    found: dict[str, dict[str, Path]] = {}
    for scene, modality, path in _named(root):
        found.setdefault(scene, {}).setdefault(modality, path)
    return [Scene(name or root.name, files) for name, files in sorted(found.items()) if len(files) > 1]


def read_each(scene: Scene) -> list[ImageStack]:
    """Read the files of a scene one by one, each on its own grid.

    Each modality has the name that the scene gives it and the kind that its name tells.

    Raises
    ------
    InputError
        If the scene has no file, or one cannot be read.
    """
    if not scene.files:
        raise InputError(f"The scene {scene.name!r} has no file.")
    return [_named_stack(read_image(path, kind=guess_kind(name)), name) for name, path in scene.files.items()]


def _named_stack(stack: ImageStack, name: str) -> ImageStack:
    many = len(stack.modalities) > 1
    named = [replace(m, name=f"{name} {i}" if many else name) for i, m in enumerate(stack.modalities, 1)]
    return replace(stack, modalities=tuple(named))


def _named(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Scene, modality and file of everything in a folder that a known word names; the modalities in order."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in folders:
        if guess_kind(folder.name) != "auto" and not _LABEL_WORDS & set(_words(folder.name)):
            for path in _images(folder.iterdir()):
                yield stem(path), folder.name, path
    for path in _images(root.iterdir()):
        own = stem(path)
        # the modality is what follows the last _, - or space: "BraTS20_001_t1ce"
        match = re.fullmatch(r"(?:(.*?)[_\-\s.])?(near[_\-\s]?infrared|[^_\-\s.]+)", own, re.IGNORECASE)
        if match and guess_kind(match[2]) != "auto":
            yield match[1] or "", match[2], path


def _images(paths: Iterable[Path]) -> list[Path]:
    return sorted(p for p in paths if p.is_file() and is_image_name(p))


def _words(name: str) -> list[str]:
    """Its words in lower case: at spaces, ``_``, ``-``, dots, and where a capital follows a small letter."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [w for w in re.split(r"[^0-9a-zA-Zµ]+", parted.casefold()) if w]
