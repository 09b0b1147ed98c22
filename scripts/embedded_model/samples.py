"""Labelled pixels with their frozen features, gathered from data packs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from napari_promptseg.encoders.aligned_space import CONTRAST_CHANNELS, Grids, contrast, grids
from napari_promptseg.encoders.aligned_trunk import DilatedTrunk, input_size, resized
from scripts.embedded_model.views import Kind, Labels, Picture, view

AREA = 448 * 448

#: Channels of the four maps of `Grids`; a row of features holds low, middle, top and wide in this order.
LOW, MIDDLE, TOP = 80, 432, 1280
OWN = LOW + MIDDLE + TOP


@dataclass(frozen=True)
class Pack:
    """How a pack is sampled.

    Parameters
    ----------
    kind : {"photo", "lesion", "nuclei"}
        How views are drawn.
    views : int
        Cropped and recoloured views per picture, beside the picture itself.
    pixels, view_pixels : int
        Per class in the picture, and in each further view.
    background : str or None
        The name that mask id 0 has; None where it is unlabelled.
    """

    kind: Kind
    views: int
    pixels: int
    view_pixels: int
    background: str | None = None


PACKS: dict[str, Pack] = {
    "coco128_seg": Pack("photo", 3, 60, 30),
    "isic_skin": Pack("lesion", 10, 40, 25, "skin"),
    "dsb2018_nuclei": Pack("nuclei", 3, 40, 25, "empty slide"),
}


@dataclass
class Samples:
    """Labelled pixels of one pack.

    Parameters
    ----------
    features : torch.Tensor
        ``(n, OWN + MIDDLE)`` float16.
    names : list of str
        Per row.
    view : torch.Tensor
        ``(n,)``: the view that each row is from.
    means, spreads : torch.Tensor
        ``(views, OWN)``: mean and standard deviation of the features over each view.
    file : torch.Tensor
        ``(views,)``: the place of each view's picture in the pack's sorted files.
    """

    features: torch.Tensor
    names: list[str]
    view: torch.Tensor
    means: torch.Tensor
    spreads: torch.Tensor
    file: torch.Tensor

    def inputs(self) -> torch.Tensor:
        """What a head reads: the first features against their view's mean and spread, then all features."""
        m = CONTRAST_CHANNELS
        first = self.features[:, :m].float()
        return torch.cat([contrast(first, self.means[self.view, :m], self.spreads[self.view, :m]), self.features], 1)

    def top(self) -> torch.Tensor:
        """Features of the last convolution."""
        return self.features[:, OWN - TOP : OWN]

    def fold(self, fold: int | None) -> Samples:
        """Those of every second picture, from picture `fold` on; all for None."""
        if fold is None:
            return self
        kept = (self.file % 2 == fold)[self.view]
        names = [n for n, k in zip(self.names, kept.tolist(), strict=True) if k]
        return Samples(self.features[kept], names, self.view[kept], self.means, self.spreads, self.file)


def read(trunk: DilatedTrunk, picture: Picture) -> Grids:
    """The maps of a picture, as `JointSpace` reads them."""
    size = input_size(picture.shape[:2], AREA)
    with torch.no_grad():
        return grids(trunk.levels(resized(picture, size, torch.device("cpu"))), size)


def gather(data: Path, trunk: DilatedTrunk, pack: str, seed: int) -> Samples:
    """Sample all pictures of one pack."""
    rng = np.random.default_rng(seed)
    how = PACKS[pack]
    rows, names, views, means, spreads, origin = [], [], [], [], [], []
    for number, picture, layers in pictures(data, pack):
        for turn in range(how.views + 1):
            drawn = [labels for labels, _ in layers]
            shown, drawn = view(picture, drawn, how.kind, rng) if turn else (picture, drawn)
            found = read(trunk, shown)
            own = (found.low, found.middle, found.top)
            means.append(torch.cat([m.mean((1, 2)) for m in own]))
            spreads.append(torch.cat([m.flatten(1).std(1, correction=0) for m in own]))
            for labels, (_, known) in zip(drawn, layers, strict=True):
                for value in np.unique(labels).tolist():
                    if value in known:
                        at = torch.from_numpy(some(labels == value, how.view_pixels if turn else how.pixels, rng))
                        rows.append(_at(found, at, labels.shape).half())
                        names += [known[value]] * len(at)
                        views += [len(origin)] * len(at)
            origin.append(number)
    return Samples(
        torch.cat(rows), names, torch.tensor(views), torch.stack(means), torch.stack(spreads), torch.tensor(origin)
    )


def pictures(data: Path, pack: str) -> Iterator[tuple[int, Picture, list[tuple[Labels, dict[int, str]]]]]:
    """Number, picture, and its label images with what their values are called."""
    nothing = PACKS[pack].background
    classes = {int(k): v for k, v in json.loads((data / pack / "classes.json").read_text()).items() if k != "0"}
    if nothing is not None:
        classes[0] = nothing
    drawn = np.load(Path(__file__).with_name("stuff_labels.npz"))
    surroundings = {i + 1: str(n) for i, n in enumerate(drawn["__names__"])}
    for number, file in enumerate(sorted((data / pack / "images").iterdir())):
        layers = [(np.asarray(Image.open(data / pack / "masks" / f"{file.stem}.png")), classes)]
        if pack == "coco128_seg" and file.stem in drawn:
            layers.append((_as_large(drawn[file.stem], layers[0][0].shape), surroundings))
        yield number, np.asarray(Image.open(file).convert("RGB")), layers


def _as_large(labels: Labels, shape: tuple[int, ...]) -> Labels:
    return np.asarray(Image.fromarray(labels).resize(shape[::-1], Image.Resampling.NEAREST))


def some(inside: npt.NDArray[np.bool_], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Up to `count` pixels ``(n, 2)`` of a class, evenly drawn."""
    return np.argwhere(inside)[rng.permutation(int(inside.sum()))[:count]]


def _at(found: Grids, at: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Bilinear features ``(n, OWN + MIDDLE)`` at pixels ``(n, 2)`` of a label image."""
    points: Any = (2 * (at + 0.5) / torch.tensor(shape[:2]) - 1).flip(-1)[None, None].float()
    parts = [
        functional.grid_sample(m[None], points, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0].T
        for m in (found.low, found.middle, found.top, found.wide)
    ]
    return torch.cat(parts, dim=1)
