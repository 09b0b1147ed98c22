"""Structures in labelled volumes: what a user would correct, what is looked at, and Dice over a volume."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError, ModelError
from napari_promptseg.evaluation.packs import IGNORED, DataPack, read_classes, read_mask
from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack, ModalityKind

Labels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

#: Files of a case that are no modality.
_NO_IMAGES = ("label", "brainmask")


@dataclass(frozen=True, eq=False)
class VolumeCase:
    """A labelled volume that is read when it is asked for.

    Parameters
    ----------
    name : str
    image, mask : pathlib.Path
    classes : dict of int to str
    """

    name: str
    image: Path
    mask: Path
    classes: dict[int, str]

    def load(self, kind: ModalityKind = "auto") -> tuple[ImageStack, Labels]:
        """Image and labels ``(z, y, x)``.

        Raises
        ------
        InputError
            If they differ in shape, lie elsewhere in the patient or are no volume.
        """
        stack = read_image(self.image, kind=kind)
        mask = read_mask(self.mask, stack, self.classes)
        if mask.shape != stack.grid or mask.ndim != 3:
            raise InputError(
                f"{self.name!r} has the shape {stack.grid}, its labels {mask.shape}: equal ones are needed."
            )
        return stack, mask


def volume_cases(folder: str | os.PathLike[str], modality: str | None = None) -> list[VolumeCase]:
    """Volumes of a pack: files in ``images/`` and ``labels/``, or a folder for each case.

    Parameters
    ----------
    folder : path-like
        Class names are in its ``classes.json``, or in that of each case.
    modality : str, optional
        Name of the file in a case's folder, without ending; the first where not given.

    Raises
    ------
    InputError
        If there is no volume, or no such modality.
    """
    root = Path(folder)
    if (root / "images").is_dir():
        pack = DataPack.from_folder(root)
        return [VolumeCase(p.name.split(".")[0], p.image, p.mask, pack.classes) for p in pack]
    found = []
    for case in sorted(p.parent for p in root.glob("*/label.nii.gz")):
        files = {p.name.split(".")[0]: p for p in sorted(case.glob("*.nii*"))}
        images = {name: p for name, p in files.items() if name not in _NO_IMAGES}
        chosen = modality or next(iter(images), "")
        if chosen not in images:
            raise InputError(
                f"The case {case.name!r} has no modality {chosen!r}; it has {', '.join(images) or 'none'}."
            )
        own = case / "classes.json"
        classes = read_classes(own if own.is_file() else root / "classes.json")
        found.append(VolumeCase(case.name, images[chosen], files["label"], classes))
    if not found:
        raise InputError(f"The folder {str(folder)!r} holds no labelled volume.")
    return found


@dataclass(frozen=True, eq=False)
class Structure:
    """One class of a volume, and the planes that a user would correct.

    Parameters
    ----------
    name : str
    value : int
    truth : numpy.ndarray
        ``(z, y, x)`` bool.
    """

    name: str
    value: int
    truth: Mask

    @property
    def areas(self) -> Ints:
        """Voxels in each plane along the first axis."""
        counts: Ints = np.count_nonzero(self.truth, axis=(1, 2)).astype(np.int64)
        return counts

    @property
    def extent(self) -> tuple[int, int]:
        """First plane that shows it, and the one after the last."""
        shown = np.flatnonzero(self.areas)
        return int(shown[0]), int(shown[-1]) + 1

    def largest(self) -> int:
        """The plane with its largest section."""
        return int(self.areas.argmax())

    def corrected(self, n: int) -> list[int]:
        """So many planes evenly spread over its extent; of one, the plane with the largest section."""
        if n == 1:
            return [self.largest()]
        first, last = self.extent
        places = [first + int((i + 0.5) * (last - first) / n) for i in range(n)]
        return sorted(set(places))


def structures(
    truth: Labels, classes: dict[int, str], *, fewest_planes: int, fewest_voxels: int = 200
) -> list[Structure]:
    """Classes that are shown on enough planes to be corrected on some and measured on others, the largest first."""
    counts = np.bincount(truth[truth != IGNORED].ravel(), minlength=1)
    order = [int(v) for v in counts.argsort()[::-1] if v and counts[v] >= fewest_voxels and int(v) in classes]
    found = []
    for value in order:
        one = Structure(classes[value].split("|")[0].strip(), value, truth == value)
        first, last = one.extent
        if last - first > fewest_planes:
            found.append(one)
    return found


def looked_at(structure: Structure, n: int, leave_out: Sequence[int]) -> dict[int, float]:
    """Planes to measure a structure on, each with how many planes it stands for.

    Parameters
    ----------
    structure : Structure
    n : int
        Planes; 0 for all. Two thirds are taken where the structure is, the rest elsewhere in the volume, each evenly.
    leave_out : sequence of int
        Planes that were shown to a method.

    Returns
    -------
    dict of int to float
        Sums over these planes, so weighted, are what sums over all planes would be on average.
    """
    first, last = structure.extent
    rest = [z for z in range(len(structure.truth)) if z not in set(leave_out)]
    inside, outside = [z for z in rest if first <= z < last], [z for z in rest if not first <= z < last]
    if not n or n >= len(rest):
        return dict.fromkeys(rest, 1.0)
    found: dict[int, float] = {}
    n_inside = min(len(inside), max(1, round(2 * n / 3)))
    for planes, wanted in ((inside, n_inside), (outside, min(len(outside), max(1, n - n_inside)))):
        if planes:
            places = [planes[int((i + 0.5) * len(planes) / wanted)] for i in range(wanted)]
            found |= dict.fromkeys(places, len(planes) / wanted)
    return found


class DiceSum:
    """Dice of a structure over planes that come one by one."""

    def __init__(self) -> None:
        self._both = self._found = self._true = 0.0

    def add(self, found: Mask, truth: Mask, weight: float = 1.0) -> None:
        """Count one plane, which stands for so many."""
        self._both += weight * np.count_nonzero(found & truth)
        self._found += weight * np.count_nonzero(found)
        self._true += weight * np.count_nonzero(truth)

    @property
    def value(self) -> float:
        """Dice so far; NaN before anything was there."""
        total = self._found + self._true
        return 2 * self._both / total if total else float("nan")


class PlaneForest:
    """A random forest on classical filters, taught on some planes of a volume and asked about others.

    The same filters and forest as `baselines.RandomForest`, as ilastik has them, on grey planes.

    Parameters
    ----------
    seed : int
    most : int
        Pixels that it learns from, of each class the same share of all.

    Raises
    ------
    ModelError
        If scikit-learn is not installed.
    """

    name = "random_forest"

    def __init__(self, *, seed: int = 0, most: int = 20_000) -> None:
        try:
            self._ensemble: Any = import_module("sklearn.ensemble")
        except ImportError as error:
            raise ModelError("The random forest needs scikit-learn: pip install scikit-learn.") from error
        self._seed, self._most = seed, most
        self._forest: Any = None

    def fit(self, features: Sequence[npt.NDArray[np.float32]], masks: Sequence[Mask]) -> None:
        """Learn a structure from planes: `filters` of each, and where it is."""
        x = np.concatenate([f.reshape(-1, f.shape[-1]) for f in features])
        y = np.concatenate([m.ravel() for m in masks])
        rng = np.random.default_rng(self._seed)
        half = self._most // 2
        some = []
        for side in (True, False):
            places = np.flatnonzero(y == side)
            some.append(rng.permutation(places)[: max(half, self._most - np.count_nonzero(y != side))])
        taken = np.concatenate(some)
        forest = self._ensemble.RandomForestClassifier(
            100, n_jobs=2, random_state=self._seed, class_weight="balanced_subsample"
        )
        self._forest = forest.fit(x[taken], y[taken])

    def chances(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """``(2, Y, X)``: of the rest and of the structure, for filters ``(Y, X, d)``."""
        found = self._forest.predict_proba(features.reshape(-1, features.shape[-1]))
        if found.shape[1] == 1:
            # it was shown one kind of pixel only
            found = np.stack(
                [1 - found[:, 0], found[:, 0]] if self._forest.classes_[0] else [found[:, 0], 1 - found[:, 0]], 1
            )
        maps: npt.NDArray[np.float32] = found.T.reshape(2, *features.shape[:2]).astype(np.float32)
        return maps


def filters(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Intensity, edges and texture at sigma 1 to 16 of a ``(Y, X, 3)`` picture's brightness: ``(Y, X, d)``."""
    basic_features: Any = import_module("skimage.feature").multiscale_basic_features
    found: npt.NDArray[np.float32] = basic_features(picture.mean(axis=-1).astype(np.uint8), sigma_min=1, sigma_max=16)
    return found.astype(np.float32)


def spread(items: Sequence[Any], n: int) -> Iterator[Any]:
    """So many items evenly spread; all for 0."""
    if not n or n >= len(items):
        yield from items
        return
    for i in range(n):
        yield items[int((i + 0.5) * len(items) / n)]
