"""Labelled scenes in several modalities: pairs of pictures in folders, or volumes in one folder per patient."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

#: What a modality shows where the command does not say, by its name.
KINDS = {
    "rgb": "rgb", "images": "rgb", "nir": "nir", "thermal": "thermal", "ir": "thermal", "depth": "depth",
    "flair": "flair", "t1": "t1", "t1c": "t1c", "t2": "t2", "ct": "ct", "pet": "pet", "mr": "mr",
}  # fmt: skip

#: Planes with fewer labelled pixels are not learned from.
_ENOUGH = 100


@dataclass(frozen=True)
class Asked:
    """One modality of the command line: ``NAME=SUBFOLDER[:kind]``."""

    name: str
    where: str
    kind: Any


@dataclass(frozen=True)
class Place:
    """One labelled plane: files of its modalities, its mask, and which plane of them."""

    files: tuple[Path, ...]
    mask: Path
    plane: int


@dataclass(frozen=True, eq=False)
class Scenes:
    """A pack, parted.

    Parameters
    ----------
    asked : tuple of Asked
    classes : dict of int to str
    zero_is_background : bool
    teach : tuple of Place
        In the order they are drawn: the first k are those of k shots.
    test : tuple of Place
    parted_by : str
        What no teaching plane shares with a test plane.
    """

    asked: tuple[Asked, ...]
    classes: dict[int, str]
    zero_is_background: bool
    teach: tuple[Place, ...]
    test: tuple[Place, ...]
    parted_by: str

    def load(self, place: Place) -> tuple[Any, npt.NDArray[np.int64]]:
        """The stack and the mask ``(Y, X)`` of a plane: 255 is not annotated."""
        from napari_promptseg.images.stack import ImageStack

        stacks = [_read(f, a.kind) for f, a in zip(place.files, self.asked, strict=True)]
        parts = [replace(s.modalities[0], name=a.name, kind=a.kind) for s, a in zip(stacks, self.asked, strict=True)]
        # display limits are those of the whole volume, as when it is opened
        whole = ImageStack(tuple(parts))
        if whole.n_planes > 1:
            limited = [
                replace(m, pixels=m.pixels[place.plane], limits=_measured(f, a.kind))
                for f, m, a in zip(place.files, parts, self.asked, strict=True)
            ]
            whole = ImageStack(tuple(limited))
        mask = _mask(place.mask)
        mask = mask if mask.ndim == 2 else mask[place.plane]
        return whole, mask if self.zero_is_background else np.where(mask == 0, 255, mask)

    def prompts(self) -> Any:
        """The classes by their names."""
        from napari_promptseg.evaluation.packs import DataPack

        return DataPack((), self.classes).prompts()


def part(folder: Path, wanted: list[str], most_shots: int, limit: int, seed: int) -> Scenes:
    """Read what a pack holds and draw the planes to learn from and to test on."""
    from napari_promptseg.errors import InputError
    from napari_promptseg.evaluation.packs import read_classes, zero_is_background

    asked = [_asked(text) for text in wanted]
    if (folder / "masks").is_dir():
        if not any(a.where == "images" for a in asked):
            asked.insert(0, Asked("rgb", "images", "rgb"))
        places = [p for p in _pairs(folder, asked) if bool(((m := _mask(p.mask)) > 0).any() and (m < 255).any())]
        drawn = np.random.default_rng(seed).permutation(len(places)).tolist()
        teach, rest = [places[i] for i in drawn], sorted(drawn[most_shots:])
        test, by = [places[i] for i in rest], "picture"
        teach = teach[:most_shots]
    else:
        asked = _completed(folder, asked)
        cases = _cases(folder, asked)
        held = seed % len(cases)
        rng = np.random.default_rng(seed)
        several = [_planes(c, most_shots) for i, c in enumerate(cases) if i != held]
        every = [p for planes in several for p in planes]
        teach = [every[i] for i in rng.permutation(len(every))][:most_shots]
        depth = len(_mask(cases[held].mask))
        test = [replace(cases[held], plane=z) for z in range(depth)]
        by = "patient"
    if len(teach) < most_shots or not test:
        raise InputError(f"{most_shots} images to learn from leave none to test on: ask for fewer shots.")
    if 0 < limit < len(test):
        test = [test[int((i + 0.5) * len(test) / limit)] for i in range(limit)]
    names = folder / "classes.json"
    return Scenes(tuple(asked), read_classes(names), zero_is_background(names), tuple(teach), tuple(test), by)


def stacked(stack: Any) -> Any:
    """What people do today: channels of several modalities in one three-channel picture.

    Beside a colour picture the other takes the place of red, and red and green move on: false colours; of grey
    pictures each takes a channel, the first one again where there are two.
    """
    from napari_promptseg.images.stack import ImageStack, Modality

    pictures = [stack.picture(modality=i) for i in stack.present]
    first = stack.modalities[stack.present[0]]
    if first.shown_kind == "rgb":
        channels = [pictures[1][..., 0], pictures[0][..., 0], pictures[0][..., 1]]
    else:
        channels = [p[..., 0] for p in pictures][:3]
        channels += channels[: 3 - len(channels)]
    return ImageStack((Modality("stacked", np.stack(channels[:3], axis=-1), True, "rgb", (0.0, 255.0)),))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The pack and its modalities."""
    parser.add_argument("--pack", type=Path, help="folder of pictures and masks, or of patients' folders")
    parser.add_argument(
        "--modality",
        action="append",
        metavar="NAME=SUBFOLDER[:kind]",
        help="a modality, the first one first: a folder of the pack, or the name of a file in each patient's folder",
    )


def _asked(text: str) -> Asked:
    from napari_promptseg.errors import InputError
    from napari_promptseg.images.stack import ModalityKind

    name, _, rest = text.partition("=")
    where, _, kind = rest.partition(":")
    if not name or not where:
        raise InputError(f"The modality {text!r} must read NAME=SUBFOLDER or NAME=SUBFOLDER:kind.")
    kind = kind or KINDS.get(name.casefold(), KINDS.get(where.casefold(), "auto"))
    if kind not in get_args(ModalityKind):
        raise InputError(f"{kind!r} is no kind of modality: use one of {', '.join(get_args(ModalityKind))}.")
    return Asked(name, where, kind)


def _pairs(folder: Path, asked: list[Asked]) -> list[Place]:
    from napari_promptseg.evaluation.packs import DataPack, LabelledImage

    packs = [DataPack.from_folders(folder / a.where, folder / "masks", folder / "classes.json") for a in asked]
    by_mask: list[dict[Path, LabelledImage]] = [{p.mask: p for p in pack} for pack in packs]
    masks = [m for m in by_mask[0] if all(m in other for other in by_mask)]
    return [Place(tuple(pairs[m].image for pairs in by_mask), m, 0) for m in masks]


def _completed(folder: Path, asked: list[Asked]) -> list[Asked]:
    """With one modality named, the pack's others in front of it."""
    listed = folder / "modalities.json"
    if len(asked) > 1 or not listed.is_file():
        return asked
    names = [n.split(".")[0] for n in json.loads(listed.read_text(encoding="utf-8"))]
    own = asked[0].where.split(".")[0]
    return [*(Asked(n, n, KINDS.get(n.casefold(), "auto")) for n in names if n != own), *asked]


def _cases(folder: Path, asked: list[Asked]) -> list[Place]:
    from napari_promptseg.errors import InputError
    from napari_promptseg.images.readers import is_image_name, stem

    found = []
    for case in sorted(p for p in folder.iterdir() if p.is_dir()):
        files = {stem(p): p for p in case.iterdir() if is_image_name(p)}
        mask = files.get("label") or files.get("labels") or files.get("seg")
        own = [files.get(a.where.split(".")[0]) for a in asked]
        if mask is not None and all(own):
            found.append(Place(tuple(f for f in own if f is not None), mask, 0))
    if len(found) < 2:
        raise InputError(f"{folder.name!r} has fewer than two patients with all modalities and a label file.")
    return found


def _planes(case: Place, wanted: int) -> list[Place]:
    """Planes with labels, evenly spread."""
    counts = (_mask(case.mask) > 0).reshape(len(_mask(case.mask)), -1).sum(axis=1)
    have = np.flatnonzero(counts > _ENOUGH)
    n = min(wanted, len(have))
    return [replace(case, plane=int(have[int((i + 0.5) * len(have) / n)])) for i in range(n)]


@lru_cache(maxsize=16)
def _read(path: Path, kind: Any) -> Any:
    from napari_promptseg.images.readers import read_image

    return read_image(path, kind=kind)


@lru_cache(maxsize=8)
def _mask(path: Path) -> npt.NDArray[np.int64]:
    from napari_promptseg.evaluation.packs import read_mask

    return read_mask(path)


@lru_cache(maxsize=16)
def _measured(path: Path, kind: Any) -> Any:
    return _read(path, kind).limits(0)
