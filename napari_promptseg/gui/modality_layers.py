"""Layers that show the same scene: which lie on one grid, how others are brought onto it, a plane of all of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_promptseg.errors import InputError
from napari_promptseg.gui.layers import (
    PlaneSource,
    View,
    geometry,
    guess_channel_axis,
    levels,
    result_index,
    result_shape,
    spatial_ndim,
)
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.modality_folders import guess_kind
from napari_promptseg.images.stack import ImageStack, Modality, ModalityKind

#: What a modality may be, as the user reads it.
TITLES: dict[str, ModalityKind] = {
    "by its values": "auto",
    "RGB": "rgb",
    "grey": "grey",
    "near infrared": "nir",
    "thermal": "thermal",
    "depth": "depth",
    "FLAIR": "flair",
    "T1": "t1",
    "T1c": "t1c",
    "T2": "t2",
    "DWI": "dwi",
    "other MR": "mr",
    "CT": "ct",
    "PET": "pet",
    "fluorescence": "fluorescence",
    "other": "other",
}

#: Pictures of which nothing says where they lie show the same view where their sides differ by no more than this.
_SAME_SHAPE = 0.03

#: Layers count as lying on one another where no corner is off by more than this share of a pixel.
_TOLERANCE = 0.25


@dataclass(frozen=True, eq=False)
class Shown:
    """A layer, or one channel of it, as a modality.

    Parameters
    ----------
    layer : napari.layers.Image
    channel : int or None
        Of a layer whose channels lie along an axis of their own; None for all of it.
    kind : ModalityKind
    """

    layer: Image
    channel: int | None = None
    kind: ModalityKind = "auto"

    @property
    def key(self) -> tuple[int, int | None]:
        """The same for the same layer and channel, whatever they are called."""
        return id(self.layer), self.channel

    @property
    def name(self) -> str:
        """For the user: the layer's name, and the channel's number."""
        return self.layer.name if self.channel is None else f"{self.layer.name}, channel {self.channel}"

    def view(self, main: View) -> View:
        """How the layer is looked at beside another: at the same level, this channel, its own kind and limits."""
        level = min(main.level, len(levels(self.layer)) - 1)
        if self.channel is None:
            return View(level, None, (), self.kind)
        return View(level, guess_channel_axis(self.layer) or 0, (self.channel,), self.kind)


@dataclass(frozen=True, eq=False)
class JointSource(PlaneSource):
    """A plane of a layer, with the same plane of others beside it."""

    main: PlaneSource | None = None
    beside: tuple[tuple[str, PlaneSource], ...] = ()

    @classmethod
    def of(cls, main: PlaneSource, beside: Sequence[tuple[str, PlaneSource]]) -> JointSource:
        """The plane `main` with the same plane of others, by name."""
        own = {f.name: getattr(main, f.name) for f in fields(PlaneSource)}
        own["key"] = (main.key, *((name, source.key) for name, source in beside))
        return cls(**own, main=main, beside=tuple(beside))

    def stack(self) -> ImageStack:
        """All modalities of the plane, the layer in hand first."""
        first = super().stack()
        others = [replace(source.stack().modalities[0], name=name) for name, source in self.beside]
        return replace(first, modalities=(*first.modalities, *others))

    def volume(self) -> tuple[Modality, ...]:
        """All planes of all of them."""
        others = [replace(source.volume()[0], name=name) for name, source in self.beside]
        return (*super().volume(), *others)

    def at(self, place: Any) -> JointSource:
        """The same at another plane: since all lie on one grid, it has the same number in each."""
        assert self.main is not None  # set by `of`
        main = self.main.at(place)
        others = [(name, source.at(result_index(source.view, main.index))) for name, source in self.beside]
        return JointSource.of(main, others)


def joined(main: PlaneSource, beside: Sequence[tuple[str, PlaneSource]]) -> PlaneSource:
    """A plane with the same plane of layers that lie on its grid, by name; itself where there is none."""
    others = [(name, source.at(result_index(source.view, main.index))) for name, source in beside]
    return JointSource.of(main, others) if others else main


def guessed_kind(layer: Image) -> ModalityKind:
    """What a layer shows: RGB layers are RGB, others by their name, else by their file's folder or by their values."""
    if layer.rgb:
        return "rgb"
    folder = Path(layer.source.path).parent.name if layer.source.path else ""
    named = (guess_kind(name) for name in (layer.name, folder))
    return next((kind for kind in named if kind not in ("auto", "rgb")), "auto")


def short_names(names: Sequence[str], kinds: Sequence[str] = ()) -> list[str]:
    """Names without what they share with another of them: ``["field", "field near infrared"]`` gives the last words.

    A name that differs by napari's number alone (``"a [1]"``) is called by its kind, where that is known.
    """
    found = []
    for i, name in enumerate(names):
        begun = [other for other in names if name != other and name.startswith((f"{other} ", f"{other}, "))]
        rest = name[len(max(begun, key=len)) :].lstrip(" ,") if begun else name
        if re.fullmatch(r"\[\d+\]( on .+)?", rest) and i < len(kinds) and kinds[i] != "auto":
            rest = next(title for title, kind in TITLES.items() if kind == kinds[i])
        found.append(rest or name)
    return found if len(set(found)) == len(found) else list(names)


def mismatch(main: Image, view: View, other: Shown) -> str:
    """Why another layer cannot be used beside the one in hand, as one sentence; empty where it can."""
    if other.layer is main:
        return ""
    own = other.view(view)
    try:
        mine, its = _grid(main, view), _grid(other.layer, own)
    except InputError as error:
        return str(error)
    if len(mine) != len(its):
        return f"{other.name!r} has {len(its)} axes and {main.name!r} {len(mine)}: they cannot be one scene."
    if mine != its:
        return f"{other.name!r} has {_by(its)} pixels, {main.name!r} {_by(mine)}."
    if same_place(main, view, other.layer, own):
        return ""
    mine_step, its_step = _step(main, view), _step(other.layer, own)
    if not np.allclose(mine_step, its_step, rtol=1e-3):
        return f"Pixels of {other.name!r} are {_steps(its_step)} apart, those of {main.name!r} {_steps(mine_step)}."
    return f"{other.name!r} lies elsewhere: it is moved or turned against {main.name!r}."


def mendable(main: Image, view: View, other: Shown) -> bool:
    """Whether resampling can bring it onto the grid of the one in hand: both have as many axes."""
    try:
        return len(_grid(main, view)) == len(_grid(other.layer, other.view(view)))
    except InputError:
        return False


def same_place(main: Image, view: View, other: Image, own: View) -> bool:
    """Whether every pixel of two layers of one grid lies at the same place of the world."""
    a, b = _affines(main, view, other, own)
    if a.shape != b.shape:
        return False
    shape = _grid(main, view)
    corners = np.array(np.meshgrid(*([-0.5, n - 0.5] for n in shape), indexing="ij")).reshape(len(shape), -1)
    corners = np.vstack([corners, np.ones(corners.shape[1])])
    pixel = np.linalg.norm(a[:-1, :-1], axis=0).min()
    return bool(np.abs((a - b) @ corners).max() <= _TOLERANCE * pixel)


def affine(layer: Image, view: View) -> npt.NDArray[np.float64]:
    """``(n + 1, n + 1)``: from a pixel of a level, without axes of channels, to the world."""
    ndim = spatial_ndim(layer)
    kept = [a for a in range(ndim) if a != view.channel_axis]
    finest = np.asarray(levels(layer)[0][:ndim], dtype=float)
    factor = finest / np.asarray(result_shape(layer, view), dtype=float)
    origin = (factor - 1) / 2
    first = np.asarray(layer.data_to_world(origin))
    matrix = np.eye(len(kept) + 1)
    for column, axis in enumerate(kept):
        step = np.zeros(ndim)
        step[axis] = factor[axis]
        matrix[:-1, column] = (np.asarray(layer.data_to_world(origin + step)) - first)[kept]
    matrix[:-1, -1] = first[kept]
    return matrix


def _affines(
    main: Image, view: View, other: Image, own: View
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Those of two layers; of two medical volumes into the patient, where oblique ones are not straightened."""
    a, b = affine(main, view), affine(other, own)
    places = [layer.metadata.get("geometry") for layer in (main, other)]
    if a.shape == b.shape == (4, 4) and all(isinstance(place, Geometry) for place in places):
        return _turn(places[0]) @ a, _turn(places[1]) @ b
    return a, b


def _turn(place: Geometry) -> npt.NDArray[np.float64]:
    """``(4, 4)``: from where a volume is shown to where it lies, ``(z, y, x, 1)`` in mm."""
    shown = np.diag([*place.spacing, 1.0])
    shown[:3, 3] = place.origin
    lies = place.affine[[2, 1, 0, 3]]
    turn: npt.NDArray[np.float64] = lies @ np.linalg.inv(shown)
    return turn


def resampled_onto(main: Image, view: View, other: Shown) -> tuple[npt.NDArray[Any], dict[str, Any], str]:
    """A layer read at the places of the one in hand, keywords of a layer that lies on it, and a remark; for the worker.

    Notes
    -----
    Files of cameras seldom say how large a pixel is, and napari then takes all for 1. Two such pictures of different
    size but one shape are taken to show the same view, as those of two cameras side by side do; by their places in
    the world the smaller one would lie in a corner of the other.

    Raises
    ------
    InputError
        If they have different numbers of axes, or do not overlap.
    """
    from napari_promptseg.images.resampling import resampled

    own = other.view(view)
    a, b = _affines(main, view, other.layer, own)
    if a.shape != b.shape:
        raise InputError(
            f"{other.name!r} has {b.shape[0] - 1} axes and {main.name!r} {a.shape[0] - 1}: "
            "only layers with as many axes can be resampled onto each other."
        )
    shape, its = _grid(main, view), _grid(other.layer, own)
    matrix, remark = np.linalg.inv(b) @ a, ""
    if _says_nothing(main) and _says_nothing(other.layer) and shape != its and _one_view(shape, its):
        ratio = np.asarray(its) / np.asarray(shape)
        matrix = np.diag([*ratio, 1.0])
        matrix[:-1, -1] = (ratio - 1) / 2
        remark = "Both are taken to show the same view, since neither says how large its pixels are."
    pixels = other.layer.data[own.level] if other.layer.multiscale else other.layer.data
    if other.channel is not None and own.channel_axis is not None:
        pixels = pixels[(*[slice(None)] * own.channel_axis, other.channel)]
    centre = matrix @ [*((n - 1) / 2 for n in shape), 1.0]
    reach = np.abs(matrix[:-1, :-1]) @ np.asarray(shape) / 2
    if (centre[:-1] + reach < 0).any() or (centre[:-1] - reach > np.asarray(its)).any():
        raise InputError(f"{other.name!r} and {main.name!r} do not overlap: check their positions.")
    covered = _covered(matrix, shape, its)
    if covered < 0.99:
        remark = f"It covers {covered:.0%} of {main.name!r}; the rest is black."
    return resampled(pixels, matrix, shape), geometry(main, replace(view, channel_axis=None)), remark


def _says_nothing(layer: Image) -> bool:
    """Whether a layer lies where napari puts pictures of which nothing is known."""
    n = spatial_ndim(layer)
    there = [np.asarray(layer.data_to_world(p))[-n:] for p in np.vstack([np.zeros(n), np.eye(n)])]
    return "geometry" not in layer.metadata and np.allclose(there, np.vstack([np.zeros(n), np.eye(n)]))


def _one_view(shape: Sequence[int], its: Sequence[int]) -> bool:
    """Whether two pictures have the same shape but for their size, and as many planes."""
    ratio = [a / b for a, b in zip(shape[-2:], its[-2:], strict=True)]
    return tuple(shape[:-2]) == tuple(its[:-2]) and abs(ratio[0] / ratio[1] - 1) <= _SAME_SHAPE


def _covered(matrix: npt.NDArray[np.float64], shape: Sequence[int], its: Sequence[int]) -> float:
    """Share of the pixels of a grid that another one has something for, looked at here and there."""
    at = np.meshgrid(*(np.linspace(0, n - 1, min(n, 32)) for n in shape), indexing="ij")
    there = (matrix @ np.vstack([*(a.ravel() for a in at), np.ones(at[0].size)]))[:-1]
    limits = np.asarray(its)[:, None] - 0.5
    return float(((there >= -0.5 - _TOLERANCE) & (there <= limits + _TOLERANCE)).all(axis=0).mean())


def _grid(layer: Image, view: View) -> tuple[int, ...]:
    """Shape of a level without axes of channels."""
    if spatial_ndim(layer) < 2:
        raise InputError(f"{layer.name!r} has no rows and columns.")
    shape = result_shape(layer, view)
    return tuple(n for a, n in enumerate(shape) if a != view.channel_axis)


def _step(layer: Image, view: View) -> npt.NDArray[np.float64]:
    step: npt.NDArray[np.float64] = np.linalg.norm(affine(layer, view)[:-1, :-1], axis=0)
    return step


def _by(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)


def _steps(step: npt.NDArray[np.float64]) -> str:
    return " × ".join(f"{s:.3g}" for s in step)
