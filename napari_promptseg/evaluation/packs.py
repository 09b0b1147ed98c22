"""Labelled images in folders: ``images/``, ``masks/`` with integer ids, and ``classes.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.dicom_folders import is_dicom
from napari_promptseg.images.label_placing import labels_over
from napari_promptseg.images.modality_files import MAIN, ModalityFiles, partners_of, with_partners
from napari_promptseg.images.readers import is_image_name, native, read_image, stem
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.prompts.palette import colour_for
from napari_promptseg.prompts.prompt_set import ClassPrompt, ImageKind, PromptSet

#: Mask value of pixels that are left out of every figure.
IGNORED = 255


@dataclass(frozen=True)
class LabelledImage:
    """An image file and its mask file."""

    image: Path
    mask: Path

    @property
    def name(self) -> str:
        """The image's file name."""
        return self.image.name


@dataclass(frozen=True)
class DataPack:
    """Labelled images and what their ids mean.

    Parameters
    ----------
    pairs : tuple of LabelledImage
        In order of name.
    classes : dict of int to str
        Id to name, without 0 (background or unlabelled) and 255 (ignored).
    unused_masks : tuple of str
        Masks without an image.
    modalities : tuple of ModalityFiles
        Further modalities of the images; an image may lack some.
    main : str
        What the images' own modality is called beside them.
    resample : bool
        Whether volumes that lie otherwise in the patient are brought onto the image's grid.
    """

    pairs: tuple[LabelledImage, ...]
    classes: dict[int, str]
    unused_masks: tuple[str, ...] = ()
    modalities: tuple[ModalityFiles, ...] = ()
    main: str = MAIN
    resample: bool = False

    @classmethod
    def from_folders(
        cls,
        images: str | os.PathLike[str],
        masks: str | os.PathLike[str],
        classes: str | os.PathLike[str],
        *,
        all_labelled: bool = True,
    ) -> DataPack:
        """Pair the files of two folders by name without ending.

        Parameters
        ----------
        images, masks, classes : path-like
            Two folders and the class file.
        all_labelled : bool
            Refuse images without a mask; otherwise they are left out, as long as one has a mask.

        Raises
        ------
        InputError
            If a folder or the class file is missing or unusable, or an image has no mask.
        """
        names = read_classes(classes)
        image_files, mask_files = _by_stem(Path(images)), _by_stem(Path(masks))
        alone = [p.name for s, p in image_files.items() if s not in mask_files]
        if len(alone) == len(image_files) or (alone and all_labelled):
            raise InputError(
                f"{len(alone)} of {len(image_files)} images have no mask of the same name in {str(masks)!r} "
                f"({_some(alone)}): add the masks or remove the images."
            )
        pairs = tuple(LabelledImage(p, mask_files[s]) for s, p in image_files.items() if s in mask_files)
        return cls(pairs, names, tuple(p.name for s, p in mask_files.items() if s not in image_files))

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> DataPack:
        """Read ``images/``, ``masks/`` (or ``labels/``) and ``classes.json`` in one folder."""
        root = Path(folder)
        masks = root / "masks" if (root / "masks").is_dir() else root / "labels"
        return cls.from_folders(root / "images", masks, root / "classes.json")

    def prompts(self, *, threshold: float | None = None, image_kind: ImageKind = "natural") -> PromptSet:
        """The pack's names as classes whose values are its ids; ``|`` in a name parts synonyms."""
        classes = []
        for value, label in self.classes.items():
            name, *synonyms = (" ".join(part.split()) for part in label.split("|") if part.strip())
            prompt = ClassPrompt(name, value, tuple(synonyms), colour_for(value))
            classes.append(prompt if threshold is None else replace(prompt, threshold=threshold))
        return PromptSet(tuple(classes), image_kind=image_kind)

    def load(self, pair: LabelledImage, *, kind: ModalityKind = "auto") -> tuple[ImageStack, npt.NDArray[np.int64]]:
        """Image and mask of one pair, checked against each other.

        Returns
        -------
        stack : ImageStack
            Of one modality, or of the image and all `modalities` of the pack, absent ones included.
        mask : numpy.ndarray
            Of the stack's grid: 0, ids of `classes`, and 255.

        Raises
        ------
        InputError
            If one cannot be read, the sizes differ, or the mask has an id that `classes` does not name.
        """
        stack = read_image(pair.image, kind=kind)
        if self.modalities:
            partners = partners_of(pair.image, self.modalities, resample=self.resample)
            stack = with_partners(stack, pair.image, partners, name=self.main)
        mask = read_mask(pair.mask, stack, self.classes)
        if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[-1]) and len(stack.grid) == 2:
            mask = mask.squeeze()
        if mask.shape != stack.grid:
            raise InputError(
                f"{pair.image.name!r} has the size {stack.grid} but its mask {pair.mask.name!r} {mask.shape}: "
                "they must be equal."
            )
        strange = np.setdiff1d(np.unique(mask), [0, IGNORED, *self.classes])
        if strange.size:
            raise InputError(
                f"{pair.mask.name!r} has the ids {_some(map(str, strange))} that the class file does not name: "
                "add them to it, or set those pixels to 255 to leave them out."
            )
        return stack, mask

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self.pairs)


def read_classes(path: str | os.PathLike[str]) -> dict[int, str]:
    """Read ``{"id": "name"}``; 0 is always background and 255 always ignored, whatever they are called.

    Raises
    ------
    InputError
        If the file is missing or no such list, names no class, or names one twice.
    """
    file = Path(path)
    content = _class_file(file)
    names: dict[int, str] = {}
    seen: dict[str, int] = {}
    for key, name in content.items():
        if not key.strip().isdecimal() or int(key) > 65535:
            raise InputError(f"The class file {file.name!r} has the id {key!r}; ids are whole numbers from 0 to 65535.")
        value = int(key)
        if value in (0, IGNORED):
            continue
        if not isinstance(name, str) or not name.replace("|", " ").strip():
            raise InputError(f"The class file {file.name!r} gives id {key} no name.")
        first = name.split("|")[0].strip().casefold()
        if first in seen:
            raise InputError(f"The class file {file.name!r} calls ids {seen[first]} and {value} both {name!r}.")
        seen[first] = value
        names[value] = name
    if not names:
        raise InputError(f"The class file {file.name!r} names no class beside background.")
    return dict(sorted(names.items()))


def zero_is_background(path: str | os.PathLike[str]) -> bool:
    """Whether a class file calls id 0 background (``"background (skin)"`` too) and not, say, unlabelled."""
    name = _class_file(Path(path)).get("0")
    return isinstance(name, str) and name.strip().casefold().startswith("background")


def _class_file(file: Path) -> dict[str, Any]:
    """Content of a class file, not yet checked entry by entry."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"There is no class file {str(file)!r}: check the path.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"The class file {str(file)!r} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f'The class file {str(file)!r} must hold ids and names, like {{"1": "cat", "2": "sofa"}}.')
    return content


def read_mask(
    path: Path, image: ImageStack | None = None, classes: Mapping[int, str] | None = None
) -> npt.NDArray[np.int64]:
    """Integer ids of a mask file: a palette gives its indices, not its colours.

    Parameters
    ----------
    path : pathlib.Path
    image : ImageStack, optional
        What it was drawn on, for a volume to be laid over it.
    classes : mapping of int to str, optional
        Ids and names: the segments of a DICOM segmentation get the ids of their names, since its own numbers always
        run from 1; only where none of its names is known do these count.

    Raises
    ------
    InputError
        If it cannot be read, holds colours or fractions instead of ids, lies elsewhere in the patient than `image`, or
        some of its segments' names are known and others are not.
    """
    values = _raw_mask(path, image, classes or {})
    if values.ndim == 3 and values.shape[-1] in (3, 4) and path.suffix.lower() not in (".npy", ".nii", ".gz"):
        colours = values[..., :3]
        if (colours != colours[..., :1]).any():
            raise InputError(f"The mask {path.name!r} holds colours; integer class ids are needed.")
        values = colours[..., 0]
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.round(values)):
            raise InputError(f"The mask {path.name!r} holds fractions; integer class ids are needed.")
    elif values.dtype.kind not in "bui":
        raise InputError(f"The mask {path.name!r} holds {values.dtype} values; integer class ids are needed.")
    return values.astype(np.int64)


def _raw_mask(path: Path, image: ImageStack | None, classes: Mapping[int, str]) -> npt.NDArray[Any]:
    if path.suffix.lower() in (".png", ".bmp", ".gif"):
        from PIL import Image

        try:
            with Image.open(path) as opened:
                return native(np.asarray(opened.convert("RGB") if opened.mode == "PA" else opened))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"The mask {path.name!r} cannot be read ({error}).") from error
    if is_dicom(path):
        from napari_promptseg.images.dicom_seg_reading import is_dicom_seg, read_dicom_seg

        if is_dicom_seg(path):
            grids = [] if image is None or image.geometry is None else [image.geometry]
            labels = read_dicom_seg(path, grids, n_pages=0 if image is None else image.n_planes)
            return _with_ids(_over(labels, image), labels.metadata["segments"], classes, path)
    return _over(read_image(path), image)


def _over(labels: ImageStack, image: ImageStack | None) -> npt.NDArray[Any]:
    return np.asarray(labels.modalities[0].pixels) if image is None else labels_over(labels, image)


def _with_ids(
    values: npt.NDArray[Any], segments: Sequence[Mapping[str, Any]], classes: Mapping[int, str], path: Path
) -> npt.NDArray[Any]:
    """Labels of segments with the ids of the classes that are called the same."""
    ids = {" ".join(part.split()).casefold(): i for i, label in classes.items() for part in label.split("|")}
    found = {s["value"]: ids.get(" ".join(s["name"].split()).casefold()) for s in segments}
    if not any(found.values()):
        return values
    strange = [s["name"] for s in segments if found[s["value"]] is None]
    if strange:
        raise InputError(
            f"{path.name!r} has segments that the class file does not name ({_some(strange)}): add them to it."
        )
    table = np.zeros(max(found) + 1, np.int64)
    for value, own in found.items():
        table[value] = own
    numbered: npt.NDArray[np.int64] = table[values]
    return numbered


def _by_stem(folder: Path) -> dict[str, Path]:
    """Image files of a folder by name without ending, in order."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {str(folder)!r}: check the path.")
    files: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and is_image_name(p)):
        if stem(path) in files:
            raise InputError(f"{path.name!r} and {files[stem(path)].name!r} share a name: one of them must go.")
        files[stem(path)] = path
    if not files:
        raise InputError(f"The folder {str(folder)!r} holds no image that can be read.")
    return files


def _some(names: Iterable[str], most: int = 4) -> str:
    """The first few of many, for a sentence."""
    every = list(names)
    return ", ".join(every[:most]) + (", ..." if len(every) > most else "")
