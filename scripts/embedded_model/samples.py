"""Labelled pixels with their frozen features, gathered from data packs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from napari_promptseg.encoders.aligned_space import COARSE_STAGES, CONTRAST_CHANNELS, FINE_STAGES, FINE_STRIDE, contrast
from napari_promptseg.encoders.aligned_trunk import STRIDE, DilatedTrunk, input_size, resized

AREA = 448 * 448

#: Channels of the top level, the last of a row's features.
TOP = 1280

Image8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Pack:
    """How a pack is sampled.

    Parameters
    ----------
    pixels : int
        Per view and class.
    background : str or None
        The name that mask id 0 has; None where it is unlabelled.
    views : int
        Turned, cropped and recoloured views per picture, beside the picture itself.
    """

    pixels: int
    background: str | None = None
    views: int = 0


PACKS: dict[str, Pack] = {
    "coco128_seg": Pack(60),
    "isic_skin": Pack(50, "skin", views=2),
    "dsb2018_nuclei": Pack(50, "empty slide", views=2),
}


@dataclass
class Samples:
    """Labelled pixels of one pack.

    Parameters
    ----------
    features : torch.Tensor
        ``(n, c)`` float16.
    names : list of str
        Per row.
    view : torch.Tensor
        ``(n,)``: the view that each row is from.
    means, spreads : torch.Tensor
        ``(views, c)``: mean and standard deviation of the features over each view.
    file : torch.Tensor
        ``(views,)``: the place of each view's picture in the pack's sorted files.
    """

    features: torch.Tensor
    names: list[str]
    view: torch.Tensor
    means: torch.Tensor
    spreads: torch.Tensor
    file: torch.Tensor

    def with_contrast(self) -> torch.Tensor:
        """``(n, m + c)`` float32: the first m features against their view's mean and spread, then all features."""
        values, m = self.features.float(), CONTRAST_CHANNELS
        centre, spread = self.means[:, :m][self.view], self.spreads[:, :m][self.view]
        return torch.cat([contrast(values[:, :m], centre, spread), values], dim=1)

    def fold(self, fold: int | None) -> Samples:
        """Those of every second picture, from picture `fold` on; all for None."""
        if fold is None:
            return self
        kept = (self.file % 2 == fold)[self.view]
        names = [n for n, k in zip(self.names, kept.tolist(), strict=True) if k]
        return Samples(self.features[kept], names, self.view[kept], self.means, self.spreads, self.file)


def maps(trunk: DilatedTrunk, picture: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Feature maps on the fine and on the coarse grid, as `JointSpace` reads them."""
    size = input_size(picture.shape[:2], AREA)
    with torch.no_grad():
        levels = trunk.levels(resized(picture, size, torch.device("cpu")))
    fine = (size[0] // FINE_STRIDE, size[1] // FINE_STRIDE)
    coarse = (size[0] // STRIDE, size[1] // STRIDE)
    low = []
    for stage in FINE_STAGES:
        own = (size[0] // levels[stage].stride, size[1] // levels[stage].stride)
        low.append(functional.adaptive_avg_pool2d(levels[stage].on_grid(own, size)[None], fine)[0])
    return torch.cat(low), torch.cat([levels[stage].on_grid(coarse, size) for stage in COARSE_STAGES])


def gather(data: Path, trunk: DilatedTrunk, pack: str, seed: int) -> Samples:
    """Sample all pictures of one pack."""
    rng = np.random.default_rng(seed)
    how = PACKS[pack]
    classes = {int(k): v for k, v in json.loads((data / pack / "classes.json").read_text()).items() if k != "0"}
    if how.background is not None:
        classes[0] = how.background
    drawn = np.load(Path(__file__).with_name("stuff_labels.npz"))
    rows, names, views, means, spreads, origin = [], [], [], [], [], []
    for number, file in enumerate(sorted((data / pack / "images").iterdir())):
        picture, mask = _smaller(
            np.asarray(Image.open(file).convert("RGB")),
            np.asarray(Image.open(data / pack / "masks" / f"{file.stem}.png")),
        )
        layers = [(mask, classes)]
        if pack == "coco128_seg" and file.stem in drawn:
            layers.append((drawn[file.stem], {i + 1: str(n) for i, n in enumerate(drawn["__names__"])}))
        seen = [(picture, layers)]
        seen += [(v, [(m, classes)]) for v, m in (view(picture, mask, rng) for _ in range(how.views))]
        for shown, labelled in seen:
            found = maps(trunk, shown)
            means.append(torch.cat([m.mean((1, 2)) for m in found]))
            spreads.append(torch.cat([m.std((1, 2)) for m in found]))
            for labels, known in labelled:
                for value in np.unique(labels).tolist():
                    if value in known:
                        at = torch.from_numpy(some(labels == value, how.pixels, rng))
                        rows.append(_read(found, at, labels.shape).half())
                        names += [known[value]] * len(at)
                        views += [len(origin)] * len(at)
            origin.append(number)
    return Samples(
        torch.cat(rows), names, torch.tensor(views), torch.stack(means), torch.stack(spreads), torch.tensor(origin)
    )


def _smaller(picture: Image8, mask: Image8, side: int = 1024) -> tuple[Image8, Image8]:
    """Shrink what is many times larger than the tower reads, for speed."""
    factor = max(mask.shape) // side
    if factor < 2:
        return picture, mask
    return np.asarray(Image.fromarray(picture).reduce(factor)), mask[factor // 2 :: factor, factor // 2 :: factor]


def view(picture: Image8, mask: Image8, rng: np.random.Generator) -> tuple[Image8, Image8]:
    """A turned, mirrored, cropped and recoloured view around a pixel of the class."""
    inside = np.argwhere(mask == 1)
    least = 1.5 * math.sqrt(max(len(inside), 1) / mask.size)
    share = float(rng.uniform(min(max(0.5, least), 1.0), 1.0))
    size = np.maximum(np.array(mask.shape) * share, 16).astype(int).clip(max=mask.shape)
    centre = inside[rng.integers(len(inside))] if len(inside) else np.array(mask.shape) // 2
    top, left = np.clip(centre - (rng.random(2) * size).astype(int), 0, np.array(mask.shape) - size)
    crop = np.s_[top : top + size[0], left : left + size[1]]
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    seen, labels = (np.rot90(x[crop], turns) for x in (picture, mask))
    if flip:
        seen, labels = seen[:, ::-1], labels[:, ::-1]
    gain, lift = rng.uniform(0.85, 1.15, 3), rng.uniform(-15, 15)
    contrast = rng.uniform(0.75, 1.2)
    colours = (seen.astype(np.float32) - 128) * contrast * gain + 128 + lift
    return np.ascontiguousarray(colours.clip(0, 255).astype(np.uint8)), np.ascontiguousarray(labels)


def some(inside: npt.NDArray[np.bool_], count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Up to `count` pixels ``(n, 2)`` of a class, evenly drawn."""
    return np.argwhere(inside)[rng.permutation(int(inside.sum()))[:count]]


def _read(found: tuple[torch.Tensor, ...], at: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Bilinear features ``(n, c)`` at pixels ``(n, 2)`` of a label image."""
    points = (2 * (at + 0.5) / torch.tensor(shape[:2]) - 1).flip(-1)[None, None].float()
    parts = [
        functional.grid_sample(m[None], points, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0].T
        for m in found
    ]
    return torch.cat(parts, dim=1)
