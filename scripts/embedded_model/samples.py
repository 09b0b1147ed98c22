"""Labelled pixels with their frozen features, gathered from data packs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from napari_promptseg.encoders.aligned_space import COARSE_STAGES, FINE_STAGES, FINE_STRIDE
from napari_promptseg.encoders.aligned_trunk import STRIDE, DilatedTrunk, input_size, resized

AREA = 448 * 448

#: Pack: pixels per image and class, and the name that its background has (None: unlabelled).
PACKS: dict[str, tuple[int, str | None]] = {
    "coco128_seg": (60, None),
    "isic_skin": (110, "skin"),
    "dsb2018_nuclei": (120, "empty slide"),
}


@dataclass
class Samples:
    """``features (n, c)`` float16 and a name per row."""

    features: torch.Tensor
    names: list[str]


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


def gather(data: Path, trunk: DilatedTrunk, pack: str, fold: int | None, seed: int) -> Samples:
    """Sample one pack; `fold` 0 or 1 takes every second image, None all."""
    rng = torch.Generator().manual_seed(seed)
    count, background = PACKS[pack]
    classes = {int(k): v for k, v in json.loads((data / pack / "classes.json").read_text()).items() if k != "0"}
    drawn = np.load(Path(__file__).with_name("stuff_labels.npz"))
    rows, names = [], []
    files = sorted((data / pack / "images").iterdir())
    for file in files if fold is None else files[fold::2]:
        picture = np.asarray(Image.open(file).convert("RGB"))
        mask = np.asarray(Image.open(data / pack / "masks" / f"{file.stem}.png"))
        found = maps(trunk, picture)
        wanted = [(mask, v, classes[v]) for v in np.unique(mask).tolist() if v in classes]
        if background is not None:
            wanted.append((mask, 0, background))
        if pack == "coco128_seg" and file.stem in drawn:
            surroundings = drawn[file.stem]
            wanted += [(surroundings, v, str(drawn["__names__"][v - 1])) for v in np.unique(surroundings).tolist() if v]
        for labels, value, name in wanted:
            at = torch.from_numpy(np.argwhere(labels == value))
            at = at[torch.randperm(len(at), generator=rng)[:count]]
            rows.append(_read(found, at, labels.shape).half())
            names += [name] * len(at)
    return Samples(torch.cat(rows), names)


def _read(found: tuple[torch.Tensor, ...], at: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Bilinear features ``(n, c)`` at pixels ``(n, 2)`` of a label image."""
    points = (2 * (at + 0.5) / torch.tensor(shape[:2]) - 1).flip(-1)[None, None].float()
    parts = [
        functional.grid_sample(m[None], points, mode="bilinear", padding_mode="border", align_corners=False)[0, :, 0].T
        for m in found
    ]
    return torch.cat(parts, dim=1)
