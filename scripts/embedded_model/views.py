"""Cropped, turned and recoloured views of labelled pictures, so that few pictures show many sizes and colours."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint8]
Kind = Literal["photo", "lesion", "nuclei"]

#: Smallest side of a crop in pixels.
_LEAST = 64

#: Most of a crop that a lesion fills.
_LARGEST = 0.75


def view(picture: Picture, layers: list[Labels], kind: Kind, rng: np.random.Generator) -> tuple[Picture, list[Labels]]:
    """One random view of a picture and its label images, all of one height and width.

    Photographs are cropped to 40-100 % of their sides and stay upright, slides of nuclei to 30-100 %. A lesion is
    drawn at any size between its own and three quarters of the crop, evenly on a logarithmic scale: large lesions
    are rare in the pictures, and everything that they cover must still be called lesion.
    """
    part = _crop(np.any([x > 0 for x in layers], axis=0), kind, rng)
    turns = 0 if kind == "photo" else int(rng.integers(4))
    seen, *labels = (np.rot90(x[part], turns) for x in (picture, *layers))
    if rng.integers(2):
        seen, labels = seen[:, ::-1], [x[:, ::-1] for x in labels]
    return _recoloured(seen, kind, rng), [np.ascontiguousarray(x) for x in labels]


def _crop(inside: npt.NDArray[np.bool_], kind: Kind, rng: np.random.Generator) -> tuple[slice, slice]:
    """A window around a labelled pixel."""
    shape = np.array(inside.shape)
    if kind == "lesion":
        own = max(float(inside.mean()), 1e-4)
        least = max(own, 0.02)
        wanted = math.exp(rng.uniform(math.log(least), math.log(max(_LARGEST, least))))
        share = min(1.0, math.sqrt(own / wanted))
    else:
        share = rng.uniform(0.3 if kind == "nuclei" else 0.4, 1.0)
    size = np.maximum(shape * share * np.exp(rng.uniform(-0.15, 0.15, 2)), _LEAST).astype(int).clip(max=shape)
    at = np.argwhere(inside)
    centre = at[rng.integers(len(at))] if len(at) else shape // 2
    place = rng.random(2)
    if kind == "lesion" and len(at):
        # mostly around the middle, so that the wanted share is reached
        middle = at.mean(0)
        centre, place = (middle + (centre - middle) * rng.uniform(0, 1), 0.5 + (place - 0.5) * 0.6)
    top, left = np.clip(centre - (place * size).astype(int), 0, shape - size).astype(int)
    return slice(top, top + size[0]), slice(left, left + size[1])


def _recoloured(seen: Picture, kind: Kind, rng: np.random.Generator) -> Picture:
    """Other contrast, brightness and balance of colours; stronger where a microscope or lamp decides them."""
    if kind == "photo":
        gain, contrast, lift = (rng.uniform(0.9, 1.1, 3), rng.uniform(0.8, 1.2), rng.uniform(-12, 12))
    else:
        gain, contrast, lift = (rng.uniform(0.85, 1.15, 3), rng.uniform(0.6, 1.2), rng.uniform(-20, 20))
    values = seen.astype(np.float32)
    middle = values.mean((0, 1)) if kind == "lesion" else np.float32(128)
    changed = (values - middle) * contrast * gain + middle + lift
    return np.ascontiguousarray(changed.clip(0, 255).astype(np.uint8))
