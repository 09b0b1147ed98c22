"""What is wanted of a volume, in plain values that travel to a worker: axes, planes, window, clean-up, table."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_promptseg.errors import InputError
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.volumes.cleanup import Cleanup, cleaned
from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, PlaneAxis
from napari_promptseg.segmentation.volumes.run import segment_volume

#: Kinds of values that a window is for.
_WINDOWED = ("ct", "auto", "grey")


@dataclass(frozen=True)
class VolumePlan:
    """How a volume is segmented.

    Parameters
    ----------
    axes : tuple of PlaneAxis
        That planes are cut along; of several the mean decides.
    planes : tuple of int, optional
        First and last along the first axis, counted from 0 as the viewer's slider does; all where not given.
    cleanup : Cleanup
    window : tuple of float, optional
        Values that become black and white for the encoder.
    table : bool
        A table of sizes is wanted too.
    window_asked : bool
        The window was asked for by itself and not with a prompt file, which other volumes than CT may be given too.
    """

    axes: tuple[PlaneAxis, ...] = ("axial",)
    planes: tuple[int, int] | None = None
    cleanup: Cleanup = field(default_factory=Cleanup)
    window: tuple[float, float] | None = None
    table: bool = False
    window_asked: bool = False

    @property
    def notes(self) -> dict[str, Any]:
        """Plain values for provenance: what differs from the usual."""
        usual = VolumePlan()
        found: dict[str, Any] = {}
        if self.planes is not None:
            found["planes"] = list(self.planes)
        if self.axes != usual.axes:
            found["axes"] = list(self.axes)
        if self.cleanup != usual.cleanup:
            found["cleanup"] = asdict(self.cleanup)
        if self.window is not None:
            found["window"] = list(self.window)
        return found

    def windowed(self, stack: ImageStack) -> ImageStack:
        """The stack with the window as the display range of its CT, or of what is not said to be anything else.

        Raises
        ------
        InputError
            If nothing in it takes the window that was asked for.
        """
        if self.window is None:
            return stack
        window = self.window
        kinds = [v.shown_kind for v in stack.modalities]
        if self.window_asked and not any(kind in _WINDOWED for kind in kinds):
            raise InputError(f"{stack.source!r} is {kinds[0]}, and windows are for CT: leave --window out.")
        views = [replace(v, limits=window) if v.kind in _WINDOWED else v for v in stack.modalities]
        return replace(stack, modalities=tuple(views))

    def segmented(
        self, segmenter: Segmenter, stack: ImageStack, prompts: PromptSet, progress: Progress = silent
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        """Labels of the stack's grid, cleaned up, and what made them.

        Raises
        ------
        InputError
            If an axis or a plane does not exist.
        CancelledError
            If the listener stopped the work.
        """
        if stack.n_planes == 1 and self.axes == ("axial",) and self.planes in (None, (0, 0)):
            # one picture, which may be large: its own steps are told
            segmenter.set_image(stack, modalities="all", progress=progress)
            found = segmenter.segment(prompts, progress=progress)
            labels, made_by = found.labels.reshape(stack.grid), {**found.provenance, "planes": 1}
        else:
            labels, made_by = self._planes(segmenter, stack, prompts, progress)
        if not self.cleanup.changes_nothing:
            labels = cleaned(
                labels,
                self.cleanup,
                spacing=[abs(float(s)) or 1.0 for s in stack.spacing],
                voxel_volume=None if stack.geometry is None else stack.geometry.voxel_volume,
                axis=PLANE_AXES.index(self.axes[0]) if labels.ndim == 3 else 0,
            )
        return np.ascontiguousarray(labels), {**made_by, "volume": self.notes}

    def _planes(
        self, segmenter: Segmenter, stack: ImageStack, prompts: PromptSet, progress: Progress
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]:
        planes = None if self.planes is None else range(self.planes[0], self.planes[1] + 1)
        run = segment_volume(
            segmenter,
            stack,
            prompts,
            axes=self.axes,
            planes=planes,
            first=0,  # nobody looks on
            modalities="all",
            progress=progress,
        )
        try:
            for _ in run:
                pass
        finally:
            run.close()
        return run.labels, run.provenance
