"""The planes of labelled images that show what was labelled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_promptseg.evaluation.packs import IGNORED, DataPack, LabelledImage
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.progress import Progress, silent

#: Share of a plane that may be without annotation (borders, say) while it still shows which classes are not in it.
_FEW = 0.05


@dataclass(frozen=True)
class LabelledPlane:
    """Of a labelled image the plane with most labelled pixels.

    Attributes
    ----------
    number : int
        Of the image among those asked for.
    name : str
        Of the image.
    stack : ImageStack
        All of the image.
    plane : int
        Number of the plane.
    labels : int array
        ``(height, width)``; `IGNORED` where nothing is annotated.
    """

    number: int
    name: str
    stack: ImageStack
    plane: int
    labels: npt.NDArray[np.int64]

    @property
    def is_complete(self) -> bool:
        """Whether so much is annotated that the plane also shows which classes are not in it."""
        return bool((self.labels == IGNORED).mean() <= _FEW)


def labelled_planes(
    pack: DataPack,
    pairs: Sequence[LabelledImage],
    *,
    hidden: Collection[int] = (),
    kind: ModalityKind = "auto",
    progress: Progress = silent,
) -> Iterator[LabelledPlane]:
    """Read labelled images one after the other and choose a plane of each; those without annotation are left out.

    Parameters
    ----------
    pack : DataPack
    pairs : sequence of LabelledImage
        Of the pack.
    hidden : collection of int
        Ids whose pixels count as not annotated.
    kind : ModalityKind
        What the images' values show.
    progress : Progress
        Called before each image.

    Raises
    ------
    InputError
        If an image or mask cannot be used.
    """
    for number, pair in enumerate(pairs):
        progress(number, len(pairs), pair.name)
        stack, mask = pack.load(pair, kind=kind)
        labels, plane = _fullest(np.where(np.isin(mask, [*hidden]), IGNORED, mask) if hidden else mask)
        if not (labels == IGNORED).all():
            yield LabelledPlane(number, pair.name, stack, plane, labels)


def _fullest(mask: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """The plane of a mask with most labelled pixels, and its number."""
    if mask.ndim == 2:
        return mask, 0
    labelled = ((mask > 0) & (mask != IGNORED)).reshape(len(mask), -1).sum(axis=1)
    plane = int(labelled.argmax())
    return mask[plane], plane
