"""Calibrated probabilities of a plane's pixels, and their mean over the planes of several axes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.errors import InputError, OutputError
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.decision import Rule, rank
from napari_promptseg.segmentation.fine_head import with_pixels
from napari_promptseg.segmentation.fusion import counted, guide_of
from napari_promptseg.segmentation.live_heads import narrowed
from napari_promptseg.segmentation.segmenter import Segmenter

#: Bytes of sums that are kept in memory; larger ones lie in a file.
IN_MEMORY = 512_000_000


def rule_of(segmenter: Segmenter, prompts: PromptSet) -> Rule:
    """When each class is drawn, as `Segmenter.segment` decides it."""
    return Rule.make(
        [c.threshold for c in prompts.classes],
        unknown=[known == "unknown" for known in segmenter.known(prompts)],
        ceiling=segmenter.settings.unknown_ceiling,
    )


def pixel_chances(segmenter: Segmenter, prompts: PromptSet) -> torch.Tensor:
    """The maps that `Segmenter.segment` decides from, at every pixel of the plane in hand.

    Parameters
    ----------
    segmenter : Segmenter
        With a plane in hand.
    prompts : PromptSet

    Returns
    -------
    torch.Tensor
        ``(C + 1, Y, X)`` float32, background first. Of a plane too large to be worked on whole they are interpolated,
        and not fitted to its edges.

    Raises
    ------
    InputError
        If no picture was set.
    """
    scene = segmenter.scene
    if scene is None:
        raise InputError("No image is set: choose an image first.")
    maps = segmenter.coarse_probabilities(prompts, scene=scene)
    parts = counted(scene, prompts)
    guide = guide_of(parts)
    if guide.picture is None:
        return torch.nn.functional.interpolate(maps[None], guide.view.shape, mode="bilinear")[0]
    refined = guide.refiner(narrowed(segmenter.settings, prompts, whole=True), maps.device)(maps)
    refined = with_pixels(prompts, refined, parts)
    return torch.stack([refined.full(i) for i in range(maps.shape[0])]).clamp(0, 1)


def decided(chances: torch.Tensor, rule: Rule, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Labels of ``(C + 1, ...)`` probabilities; `values` are those of the classes after a 0 for background."""
    labels: npt.NDArray[Any] = values[rank(chances, rule).index.cpu().numpy()]
    return labels


class ChanceSum:
    """The mean of class probabilities of a volume seen along several axes, in float16, on disk where it is large.

    Parameters
    ----------
    n_maps : int
        Classes and background.
    shape : tuple of int
        ``(z, y, x)``.
    n_axes : int
        Axes that are added up.
    in_memory : int
        Bytes up to which the sums stay in memory.

    Raises
    ------
    OutputError
        If the temporary folder has no room.
    """

    def __init__(self, n_maps: int, shape: tuple[int, int, int], n_axes: int, *, in_memory: int = IN_MEMORY) -> None:
        self._share = 1.0 / n_axes
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        # maps beside each other, so that a plane along the first axis is one piece of the file
        whole = (shape[0], n_maps, shape[1], shape[2])
        self.n_bytes = 2 * int(np.prod(whole))
        self._sums: npt.NDArray[np.float16]
        if self.n_bytes <= in_memory:
            self._sums = np.zeros(whole, np.float16)
            return
        self._folder = tempfile.TemporaryDirectory(prefix="promptseg-", ignore_cleanup_errors=True)
        file = Path(self._folder.name) / "sums.f16"
        try:
            _reserve(file, self.n_bytes)
            self._sums = np.memmap(file, np.float16, "r+", shape=whole)
        except OSError as error:
            self._folder.cleanup()
            raise OutputError(
                f"The mean of several axes needs {self.n_bytes / 1e9:.1f} GB in the temporary folder ({error}): "
                "make room, take fewer classes, or one axis."
            ) from error

    @property
    def on_disk(self) -> bool:
        """Whether the sums lie in a file."""
        return self._folder is not None

    def add(self, array_axis: int, plane: int, chances: torch.Tensor) -> None:
        """Add ``(C + 1, rows, columns)`` of one plane along an axis of ``(z, y, x)``."""
        at: list[Any] = [slice(None), slice(None), slice(None), slice(None)]
        at[0 if array_axis == 0 else array_axis + 1] = plane
        view = self._sums[tuple(at)]
        part = (chances * self._share).cpu().numpy()
        view += (part if array_axis == 0 else part.transpose(1, 0, 2)).astype(np.float16)

    def plane(self, array_axis: int, plane: int) -> torch.Tensor:
        """``(C + 1, rows, columns)`` float32 of a plane along an axis."""
        at: list[Any] = [slice(None), slice(None), slice(None), slice(None)]
        at[0 if array_axis == 0 else array_axis + 1] = plane
        view = np.asarray(self._sums[tuple(at)], np.float32)
        return torch.from_numpy(np.ascontiguousarray(view if array_axis == 0 else view.transpose(1, 0, 2)))

    def close(self) -> None:
        """Give memory and disk back."""
        self._sums = np.zeros((0, 0, 0, 0), np.float16)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.cleanup()
            self._folder = None


def _reserve(file: Path, n_bytes: int) -> None:
    """A file of zeros whose room is taken at once: a mapped file that outgrows the disk later ends the program."""
    with file.open("wb") as out:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(out.fileno(), 0, n_bytes)
        else:
            out.truncate(n_bytes)
