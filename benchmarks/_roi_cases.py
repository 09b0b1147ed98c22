"""Where regions are drawn and where the same thing is looked for: images of a pack, or planes of volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

#: What one region is: one part of the class, or all its pixels in the picture.
Part = Literal["one", "whole"]

#: Smaller sections are no picture of the thing.
FEWEST_PIXELS = 24


@dataclass(frozen=True, eq=False)
class Picture:
    """One plane, and the pixels of a class in it.

    Parameters
    ----------
    name : str
    stack : ImageStack
    plane : int
    truth, counted : numpy.ndarray
        ``(Y, X)`` bool: of the class; not left out of figures.
    instances : numpy.ndarray or None
        ``(Y, X)`` int, where the pack tells apart things that touch.
    """

    name: str
    stack: Any
    plane: int
    truth: Mask
    counted: Mask
    instances: npt.NDArray[Any] | None = None

    def region(self, part: Part, rng: np.random.Generator) -> Mask:
        """One region of the class: all of it, or an instance (a connected part) of at least the median size."""
        from scipy import ndimage

        if part == "whole":
            return self.truth
        if self.instances is not None:
            labels = np.where(self.truth, self.instances, 0)
        else:
            labels = ndimage.label(self.truth, np.ones((3, 3)))[0]
        areas = np.bincount(labels.ravel())[1:]
        large = np.flatnonzero(areas >= max(FEWEST_PIXELS, np.median(areas[areas > 0]))) + 1
        if not large.size:
            large = np.array([areas.argmax() + 1])
        chosen: Mask = labels == rng.choice(large)
        return chosen


@dataclass(frozen=True, eq=False)
class Draw:
    """Regions in the order in which they are added, and pictures to find the thing in, which are none of theirs.

    Parameters
    ----------
    label : str
        What the figures of one draw belong to: a class of a pack, or of a volume.
    value, name : int, str
        Of the class.
    drawn : tuple of (Picture, Mask)
    targets : callable
        Gives the groups of pictures of which each has one Dice: one image, or all other planes of the volume.
    """

    label: str
    value: int
    name: str
    drawn: tuple[tuple[Picture, Mask], ...]
    targets: Callable[[], Iterator[Sequence[Picture]]]


def image_draws(args: Any, most: int) -> list[list[Draw]]:
    """Draws of a flat pack, in lists that share their targets: half of the images that show a class, or --limit."""
    from napari_promptseg.errors import InputError
    from napari_promptseg.evaluation.packs import DataPack

    pack = DataPack.from_folder(args.pack)
    shown = _shown(pack, args)
    found = []
    for value, name in _classes(pack.classes, args).items():
        here = [i for i, values in enumerate(shown) if value in values]
        order = np.random.default_rng(args.seed).permutation(len(here))
        n = min(args.limit or len(here) // 2, len(here) - most)
        if n < 1:
            raise InputError(f"{len(here)} images show {name!r}, too few for {most} regions and one to look in.")
        tested = sorted(here[i] for i in order[:n])
        rest = [here[i] for i in order[n:]]

        def targets(tested: list[int] = tested, value: int = value) -> Iterator[Sequence[Picture]]:
            for i in tested:
                yield [_picture(pack, i, value, args)]

        draws = []
        for number in range(args.draws):
            rng = np.random.default_rng((args.seed, number, value))
            pictures = [_picture(pack, rest[i], value, args) for i in rng.permutation(len(rest))[:most]]
            drawn = tuple((p, p.region(args.part, rng)) for p in pictures)
            draws.append(Draw(f"{name} {number}", value or 1, name, drawn, targets))
        found.append(draws)
    return found


def volume_draws(args: Any, most: int) -> list[list[Draw]]:
    """Draws of volumes: the largest section first, then sections spread evenly; the other planes are looked in."""
    found = []
    pairs = list(volumes(args))
    if args.limit:
        pairs = [pairs[int((i + 0.5) * len(pairs) / args.limit)] for i in range(min(args.limit, len(pairs)))]
    for name, load, classes in pairs:
        for value, label in classes.items():
            stack, mask = load()
            truth = mask > 0 if value == 0 else mask == value
            truth &= mask != 255
            areas = np.count_nonzero(truth, axis=(1, 2))
            full = np.flatnonzero(areas >= FEWEST_PIXELS)
            if len(full) <= most:
                continue
            planes = _spread_planes(areas, full, most)
            rng = np.random.default_rng((args.seed, value))
            pictures = {z: Picture(f"{name} plane {z}", stack, z, truth[z], mask[z] != 255) for z in range(len(truth))}
            others = [z for z in pictures if z not in planes]
            if args.planes and args.planes < len(others):
                others = [others[int((i + 0.5) * len(others) / args.planes)] for i in range(args.planes)]
            rest = [pictures[z] for z in others]
            drawn = tuple((pictures[z], pictures[z].region(args.part, rng)) for z in planes)

            def targets(rest: list[Picture] = rest) -> Iterator[Sequence[Picture]]:
                yield rest

            found.append([Draw(f"{name} {label}", value or 1, label, drawn, targets)])
    return found


def volumes(args: Any) -> Iterator[tuple[str, Callable[[], tuple[Any, Any]], dict[int, str]]]:
    """Volumes of a pack: name, what reads image and mask, and classes; files in ``images/``, or a folder a case."""
    from napari_promptseg.evaluation.packs import DataPack, read_classes, read_mask
    from napari_promptseg.images.readers import read_image

    if (args.pack / "images").is_dir():
        pack = DataPack.from_folder(args.pack)
        for pair in pack:
            yield pair.name, lambda pair=pair: pack.load(pair, kind=args.values), _classes(pack.classes, args)
        return
    classes = _classes(read_classes(args.pack / "classes.json"), args)
    for case in sorted(p for p in args.pack.iterdir() if (p / "label.nii.gz").is_file()):
        image = _modality_of(case, args.modality)

        def load(case: Path = case, image: Path = image) -> tuple[Any, Any]:
            return read_image(image, kind=args.values), read_mask(case / "label.nii.gz")

        yield case.name, load, classes


def is_volumes(folder: Path) -> bool:
    """Whether a pack holds volumes: NIfTI files, in ``images/`` or in a folder for each case."""
    return any(folder.glob("images/*.nii*")) or any(folder.glob("*/label.nii*"))


def _spread_planes(areas: npt.NDArray[Any], full: npt.NDArray[Any], most: int) -> list[int]:
    """The plane with the largest section, then planes that halve what lies furthest from those taken."""
    planes = [int(areas.argmax())]
    while len(planes) < most:
        planes.append(int(max(full, key=lambda z: (min(abs(z - p) for p in planes), areas[z]))))
        if planes[-1] in (full[0], full[-1]):
            # the ends of a thing are slivers of it: a step inwards shows more
            inward = planes[-1] + (1 if planes[-1] == full[0] else -1)
            planes[-1] = int(inward) if inward in full and inward not in planes else planes[-1]
    return planes


def _modality_of(case: Path, wanted: str | None) -> Path:
    from napari_promptseg.errors import InputError

    files = {p.name.split(".")[0]: p for p in sorted(case.glob("*.nii*"))}
    images = {k: v for k, v in files.items() if k not in ("label", "brainmask")}
    chosen = wanted or next(iter(images), "")
    if chosen not in images:
        raise InputError(f"The case {case.name!r} has no modality {chosen!r}; it has {', '.join(images) or 'none'}.")
    return images[chosen]


def _classes(classes: dict[int, str], args: Any) -> dict[int, str]:
    """The pack's classes; with --as-one all of them together, under the key 0."""
    return {0: args.as_one} if args.as_one else {v: name.split("|")[0].strip() for v, name in classes.items()}


def _shown(pack: Any, args: Any) -> list[set[int]]:
    """Classes that each image shows well enough to be drawn; 0 stands for any."""
    found = []
    for pair in pack:
        mask = pack.load(pair, kind=args.values)[1]
        counts = np.bincount(mask[mask != 255].ravel(), minlength=1)
        found.append(
            {int(v) for v in np.flatnonzero(counts >= FEWEST_PIXELS) if v} | ({0} if counts[1:].any() else set())
        )
    return found


def _picture(pack: Any, number: int, value: int, args: Any) -> Picture:
    from napari_promptseg.evaluation.packs import read_mask

    pair = pack.pairs[number]
    stack, mask = pack.load(pair, kind=args.values)
    truth = (mask > 0) & (mask != 255) if value == 0 else mask == value
    file = args.pack / "instances" / pair.mask.name
    instances = read_mask(file) if file.is_file() else None
    return Picture(pair.name, stack, 0, truth, mask != 255, instances)
