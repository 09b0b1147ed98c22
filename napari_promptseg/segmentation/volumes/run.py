"""All planes of a volume: the one in sight first, seen along one axis or along three."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.volumes.chances import IN_MEMORY, ChanceSum, decided, pixel_chances, rule_of
from napari_promptseg.segmentation.volumes.plane_pool import side_by_side, workers_for
from napari_promptseg.segmentation.volumes.planes import PlaneAxis, PlaneGrid, axis_titles, resliced
from napari_promptseg.segmentation.volumes.time_left import TimeLeft

#: A lazy volume of up to so many bytes is read once where planes along another axis than its own would read it often.
_READ_ONCE = 2_000_000_000


class PlaneLabels(NamedTuple):
    """One finished plane.

    Parameters
    ----------
    axis : PlaneAxis
    plane : int
        Its number along the axis.
    labels : numpy.ndarray
        Of its voxels, ``volume[PlaneGrid.place(plane)]``: not turned for display.
    """

    axis: PlaneAxis
    plane: int
    labels: npt.NDArray[Any]


class PlacePrior(Protocol):
    """What is known of a volume by place, beside what its planes look like."""

    def adjusted(self, axis: PlaneAxis, plane: int, chances: torch.Tensor) -> torch.Tensor:
        """Probabilities ``(C + 1, rows, columns)`` at a plane's voxels, with what is known of them."""
        ...

    def imposed(self, axis: PlaneAxis, plane: int, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Labels ``(rows, columns)`` of a plane's voxels, with those that the user has settled as they are."""
        ...


class VolumeRun(Iterator[PlaneLabels]):
    """Segments planes as they are asked for; see `segment_volume`.

    Attributes
    ----------
    labels : numpy.ndarray
        Of the stack's grid: what is finished so far, 0 elsewhere. Planes that were finished stay when the work is
        stopped.
    finished : list of int
        Planes along the first axis that have labels, in the order in which they got them.
    provenance : dict
        As a label map's, with axes and planes; empty before the first plane.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        stack: ImageStack,
        prompts: PromptSet,
        axes: tuple[PlaneAxis, ...],
        planes: list[int],
        prior: PlacePrior | None,
        modalities: Sequence[int] | Literal["all"],
        progress: Progress,
        in_memory: int,
    ) -> None:
        self.labels: npt.NDArray[Any] = np.zeros(stack.grid, _type_of(prompts))
        self.finished: list[int] = []
        self.provenance: dict[str, Any] = {}
        self._segmenter, self._prompts, self._prior, self._modalities = segmenter, prompts, prior, modalities
        self._axes, self._planes, self._progress, self._in_memory = axes, planes, progress, in_memory
        self._values = np.array([0, *(c.value for c in prompts.classes)], self.labels.dtype)
        self._grids = {axis: PlaneGrid.of(stack, axis) for axis in axes}
        self._titles = dict(zip(("axial", "coronal", "sagittal"), axis_titles(stack), strict=True))
        whole = _read_once(stack) if set(axes) - {"axial"} else stack
        self._stacks = {axis: resliced(whole, axis) for axis in axes}
        others = [(axis, p) for axis in axes[1:] for p in range(self._grids[axis].n_planes)]
        self._left = TimeLeft(len(planes) + len(others))
        self._others = others
        self._steps = self._along_three() if len(axes) > 1 else self._along_one()

    def __next__(self) -> PlaneLabels:
        return next(self._steps)

    def close(self) -> None:
        """Stop, and wait for planes in work."""
        self._steps.close()

    def _along_one(self) -> Generator[PlaneLabels, None, None]:
        axis = self._axes[0]
        found = side_by_side(self._labelled, self._planes, self._segmenter, workers_for(self._segmenter))
        try:
            self._say(axis, len(self._planes))
            for plane, (labels, made_by) in found:
                yield self._finish(axis, plane, labels, made_by)
                self._say(axis, len(self._planes))
        finally:
            found.close()

    def _along_three(self) -> Generator[PlaneLabels, None, None]:
        axis = self._axes[0]
        grid = self._grids[axis]
        low, high = min(self._planes), max(self._planes) + 1
        shape = list(grid.shape)
        shape[grid.array_axis] = high - low
        sums = ChanceSum(len(self._values), (shape[0], shape[1], shape[2]), len(self._axes), in_memory=self._in_memory)
        jobs = [*((axis, plane) for plane in self._planes), *self._others]
        found = side_by_side(self._chances, jobs, self._segmenter, workers_for(self._segmenter))
        rule = rule_of(self._segmenter, self._prompts)
        try:
            self._say(axis, len(jobs))
            for (own, plane), (chances, made_by) in found:
                if own == axis:
                    sums.add(grid.array_axis, plane - low, chances)
                    # what one axis says, to be looked at until the others are done
                    yield self._finish(axis, plane, decided(chances, rule, self._values), made_by)
                else:
                    other = self._grids[own]
                    # the side of that plane which runs along the first axis
                    side = 1 + other.across.index(grid.array_axis)
                    sums.add(other.array_axis, plane, chances.narrow(side, low, high - low))
                    self._left.step()
                self._say(own, len(jobs))
            for plane in self._planes:
                mean = sums.plane(grid.array_axis, plane - low)
                yield self._finish(axis, plane, decided(mean, rule, self._values), {}, step=False)
        finally:
            found.close()
            sums.close()

    def _labelled(
        self, segmenter: Segmenter, plane: int, progress: Progress
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Labels of a plane's voxels."""
        axis = self._axes[0]
        if self._prior is not None:
            chances, made_by = self._chances(segmenter, (axis, plane), progress)
            return decided(chances, rule_of(segmenter, self._prompts), self._values), made_by
        segmenter.set_image(self._stacks[axis], plane=plane, modalities=self._modalities, progress=progress)
        label_map = segmenter.segment(self._prompts, progress=progress)
        return self._grids[axis].labels_back(label_map.labels), label_map.provenance

    def _chances(
        self, segmenter: Segmenter, job: tuple[PlaneAxis, int], progress: Progress
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """``(C + 1, rows, columns)`` at a plane's voxels."""
        axis, plane = job
        stack = self._stacks[axis]
        segmenter.set_image(stack, plane=plane, modalities=self._modalities, progress=progress)
        shown = pixel_chances(segmenter, self._prompts)
        chances = self._grids[axis].chances_back(shown)
        if self._prior is not None:
            chances = self._prior.adjusted(axis, plane, chances)
        first = job == (self._axes[0], self._planes[0])
        return chances, segmenter.segment(self._prompts).provenance if first else {}

    def _finish(
        self, axis: PlaneAxis, plane: int, labels: npt.NDArray[Any], made_by: dict[str, Any], *, step: bool = True
    ) -> PlaneLabels:
        if self._prior is not None:
            labels = self._prior.imposed(axis, plane, labels)
        grid = self._grids[axis]
        at = grid.place(plane) if self.labels.ndim == 3 else (...,)
        self.labels[at] = labels
        if step:
            self.finished.append(plane)
            self._left.step()
        if made_by and not self.provenance:
            self.provenance = dict(made_by)
        self.provenance |= {"planes": len(self.finished), "axes": list(self._axes)}
        return PlaneLabels(axis, plane, labels)

    def _say(self, axis: PlaneAxis, total: int) -> None:
        """Report, which is where the listener may stop the work."""
        done = self._left.done
        if done >= total:
            self._progress(total, total, "all planes are done")
            return
        left = f", {self._left.text}" if self._left.text else ""
        self._progress(done, total, f"{self._titles[axis]} planes: {done} of {total}{left}")


def segment_volume(
    segmenter: Segmenter,
    stack: ImageStack,
    prompts: PromptSet,
    *,
    axes: Sequence[PlaneAxis] = ("axial",),
    planes: Sequence[int] | None = None,
    first: int | None = None,
    prior: PlacePrior | None = None,
    modalities: Sequence[int] | Literal["all"] = (0,),
    progress: Progress = silent,
    in_memory: int = IN_MEMORY,
) -> VolumeRun:
    """Segment the planes of a volume, the one in sight first and then outwards from it.

    Parameters
    ----------
    segmenter : Segmenter
        Its model and settings; the picture that it has in hand stays, and nothing is written to its cache.
    stack : ImageStack
        Upright ``(z, y, x)``; a single plane is a volume of one.
    prompts : PromptSet
        At least one class.
    axes : sequence of PlaneAxis
        One, or several: then the calibrated class probabilities of all of them are averaged at every voxel and
        decided once ("2.5-D"). Planes are counted and given back along the first.
    planes : sequence of int, optional
        Of the first axis; all where not given. With several axes those between the lowest and the highest are averaged.
    first : int, optional
        The plane in sight; the middle one of `planes` where not given.
    prior : PlacePrior, optional
        What corrections say by place.
    modalities : sequence of int or "all"
        Of the stack, see `Segmenter.set_image`.
    progress : Progress
        Called after every plane with the time that is left. Raising `CancelledError` in it ends the iteration with
        that error; what was finished stays in `VolumeRun.labels`.
    in_memory : int
        Bytes of probabilities kept in memory with several axes; more than that lies in a temporary file.

    Returns
    -------
    VolumeRun
        Iterate over it to do the work: ``for axis, plane, labels in run``. With several axes each plane comes twice, as
        the first axis alone sees it and then as all do. ``run.labels`` is the whole.

    Raises
    ------
    InputError
        If no class is named, or an axis or a plane does not exist.
    """
    if not len(prompts):
        raise InputError("No class is named: type at least one, for example: liver, kidney.")
    chosen = tuple(dict.fromkeys(axes))
    if not chosen:
        raise InputError("No plane axis is chosen: use axial, coronal or sagittal.")
    grid = PlaneGrid.of(stack, chosen[0])
    wanted = sorted({int(p) for p in (range(grid.n_planes) if planes is None else planes)})
    if not wanted:
        raise InputError("No plane is chosen.")
    for plane in (wanted[0], wanted[-1]):
        if not 0 <= plane < grid.n_planes:
            raise InputError(f"Plane {plane} does not exist: there are {grid.n_planes} along that axis.")
    middle = wanted[len(wanted) // 2] if first is None else first
    order = sorted(wanted, key=lambda p: (abs(p - middle), p))
    return VolumeRun(segmenter, stack, prompts, chosen, order, prior, modalities, progress, in_memory)


def _type_of(prompts: PromptSet) -> Any:
    return np.uint8 if max(c.value for c in prompts.classes) < 256 else np.uint16


def _read_once(stack: ImageStack) -> ImageStack:
    """The same with lazy values read, where they are small enough: planes across its own would each read all of it."""

    def read(pixels: Any) -> Any:
        n_bytes = int(np.prod(pixels.shape)) * np.dtype(pixels.dtype).itemsize
        return pixels if isinstance(pixels, np.ndarray) or n_bytes > _READ_ONCE else np.asarray(pixels)

    views = tuple(
        view if view.pixels is None else replace(view, pixels=read(view.pixels), limits=stack.limits(number))
        for number, view in enumerate(stack.modalities)
    )
    return replace(stack, modalities=views)
