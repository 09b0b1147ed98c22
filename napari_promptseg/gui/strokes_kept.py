"""The strokes of one image and the file that keeps them safe."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs
from napari.layers import Image

from napari_promptseg.gui.edits import EditLog
from napari_promptseg.gui.seen_labels import SeenLabels
from napari_promptseg.gui.volume_index import (
    Place,
    cut_of,
    indexer,
    n_numbers,
    number_of,
    pixel_at,
    place_of,
    shape_at,
    voxels_at,
)
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.journal import Journal, Recoverable, forget, recover
from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet

#: Places along each axis that an image is recognised by.
_PLACES = 64


def default_folder() -> Path:
    """The user's folder for strokes that outlive a killed process."""
    return Path(platformdirs.user_state_dir("napari-promptseg", appauthor=False)) / "strokes"


def image_key(layer: Image, shape: tuple[int, ...]) -> str:
    """By what an image is recognised when it is opened again: shape, type, and some of its values.

    Parameters
    ----------
    layer : napari.layers.Image
    shape : tuple of int
        Of its result, which is that of the level looked at.

    Notes
    -----
    Lazy arrays are not read: their file, or the layer's name, stands for the values.
    """
    pixels = layer.data[0] if layer.multiscale else layer.data
    digest = hashlib.sha256(f"{tuple(pixels.shape)} {pixels.dtype} {shape}".encode())
    if isinstance(pixels, np.ndarray):
        some = pixels[tuple(slice(None, None, max(1, n // _PLACES)) for n in pixels.shape)]
        digest.update(np.ascontiguousarray(some).tobytes())
    else:
        digest.update((layer.source.path or layer.name).encode())
    return digest.hexdigest()


class KeptStrokes:
    """What a person said about one image.

    Parameters
    ----------
    layer : napari.layers.Image
    shape : tuple of int
        Of the result's data; its last two axes are a plane, and of three axes any two are.
    folder : path
        Where journals are.
    """

    def __init__(self, layer: Image, shape: tuple[int, ...], folder: Path) -> None:
        self.layer = layer
        self.shape = shape
        self.folder = folder
        self.key = image_key(layer, shape)
        self.log = EditLog()
        self.seen = SeenLabels(shape)
        self.left: list[Recoverable] = recover(folder, self.key)
        self._journal: Journal | None = None
        self._names: dict[str, str] = {}

    def shape_of(self, plane: int) -> tuple[int, int]:
        """Rows and columns of a plane."""
        return shape_at(self.shape, self.index(plane))

    @property
    def corrections(self) -> Corrections:
        """All strokes."""
        return self.log.corrections

    @property
    def n_left(self) -> int:
        """Strokes that a process left behind and that nobody has taken up."""
        return sum(len(r.corrections) for r in self.left)

    def number(self, at: Place) -> int:
        """One number for a plane, given by its index in the result's data."""
        return number_of(self.shape, at)

    def index(self, plane: int) -> Place:
        """The plane's index in the result's data."""
        return place_of(self.shape, plane)

    def plane(self, labels: npt.NDArray[Any], plane: int) -> npt.NDArray[Any]:
        """One plane ``(rows, columns)`` of the result's data, which can be written to."""
        out: npt.NDArray[Any] = labels[indexer(self.index(plane))]
        return out

    def voxel(self, plane: int, row: int, column: int) -> tuple[int, ...]:
        """Index in the result's data of a pixel of a plane."""
        return tuple(int(i) for i in voxels_at(self.shape, self.index(plane), row, column))

    def on_plane(self, plane: int) -> Corrections:
        """Strokes that a plane shows, as strokes of that plane: in a volume those made across other axes too."""
        place = self.index(plane)
        cut, shown = cut_of(place), []
        for stroke in self.corrections:
            there = self.index(stroke.plane)
            if stroke.plane == plane:
                shown.append(stroke)
            elif cut_of(there) != cut:
                at = voxels_at(self.shape, there, *stroke.pixels)
                here = np.asarray(at[cut]) == place[-1]
                if here.any():
                    rows, columns = pixel_at(self.shape, place, [np.broadcast_to(i, here.shape)[here] for i in at])
                    shown.append(Stroke.from_pixels(rows, columns, stroke.value, plane=plane, kind=stroke.kind))
        return Corrections(tuple(shown))

    def impose_all(self, labels: npt.NDArray[Any]) -> None:
        """Write all strokes into labels of the result's shape, in place."""
        for stroke in self.corrections:
            self.plane(labels, stroke.plane)[stroke.pixels] = stroke.value

    def stepped_across(self, plane: int, labels: npt.NDArray[Any]) -> bool:
        """Whether an edit on a plane that crosses this one was undone, or done again; it is accounted for then."""
        cut = cut_of(self.index(plane))
        for other in self.log.planes:
            if cut_of(self.index(other)) != cut:
                now = np.ascontiguousarray(self.plane(labels, other))
                if self.log.step_back(other, self.seen[other], now) is not None:
                    self.seen[other] = now
                    return True
        return False

    def save(self, prompts: PromptSet) -> None:
        """Write down what changed, so that it outlives the process.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        names = {str(c.value): c.label for c in prompts.classes}
        before = None
        if self._journal is None or (names != self._names and len(self.corrections)):
            # The classes stand in the journal's first line: with others a new one is begun.
            before, self._names = self._journal, names
            title = json.dumps({"layer": self.layer.name, "classes": names})
            self._journal = Journal(self.folder, self.key, title=title)
        self._journal.record(self.corrections)
        if before is not None:
            before.close(discard=True)

    def close(self) -> None:
        """Let the journal go; with strokes in it, it is offered again when the image is opened."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def restore(self, prompts: PromptSet) -> PromptSet:
        """Take up what was left behind; gives the prompts, with the classes of that time where they are gone."""
        strokes = [s for r in reversed(self.left) for s in r.corrections]
        planes = n_numbers(self.shape)
        fitting = [s for s in strokes if s.plane < planes and s.fits(self.shape_of(s.plane))]
        for left in self.left:
            prompts = _with_classes(prompts, left.title)
        self.log.reset(Corrections(tuple(fitting)).with_added(self.corrections))
        self.save(prompts)
        self.discard()
        return prompts

    def discard(self) -> None:
        """Delete what was left behind."""
        for left in self.left:
            forget(left)
        self.left = []


def _with_classes(prompts: PromptSet, title: str) -> PromptSet:
    """Add the classes that a journal names, with their values, where neither name nor value is in use."""
    from dataclasses import replace

    from napari_promptseg.prompts.palette import colour_for

    try:
        named = json.loads(title)["classes"].items()
        found = [(int(value), [t.strip() for t in str(label).split("|")]) for value, label in named]
    except (ValueError, KeyError, TypeError, AttributeError):
        return prompts  # a journal of an older kind has only a title
    for value, (name, *synonyms) in found:
        values = {c.value for c in prompts.classes}
        if name and value > 0 and value not in values and name.casefold() not in {n.casefold() for n in prompts.names}:
            new = ClassPrompt(name, value, tuple(synonyms), colour_for(value))
            prompts = replace(prompts, classes=(*prompts.classes, new))
    return prompts
