"""What is asked of the worker for a volume: which planes, how, and what strokes teach them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from napari.layers import Image

from napari_promptseg.gui.layers import PlaneSource, View
from napari_promptseg.gui.saving import UNITS
from napari_promptseg.gui.volume_index import Place, cut_of
from napari_promptseg.gui.volume_view import geometry_of
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.modality_notes import KEY as MODALITIES

if TYPE_CHECKING:
    from napari_promptseg.gui.engine import Outcome, Request
    from napari_promptseg.gui.live_masks import Lesson, LiveMasks
    from napari_promptseg.prompts.prompt_set import PromptSet
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.volumes.planes import PlaneAxis
    from napari_promptseg.segmentation.volumes.prior import ByPlace, CorrectedPlane

AXES: tuple[PlaneAxis, PlaneAxis, PlaneAxis] = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, eq=False)
class Order:
    """Planes that are to be segmented.

    Parameters
    ----------
    number : int
        Of this order: what an order before sent late is not shown.
    request : Request
        Of the plane in sight, with all settings.
    image, view : napari.layers.Image, View
    axes : tuple of PlaneAxis
        The first is that of `planes`.
    planes : tuple of int
    lesson : Lesson, optional
        Strokes that teach the plane in sight.
    corrected : tuple of CorrectedPlane
        Planes that stand as right and teach all others.
    corrections : dict of PlaneAxis to Corrections
        The same strokes by axis, as they lie in the array.
    quiet : bool
        Whether it follows a stroke by itself.
    """

    number: int
    request: Request
    image: Image
    view: View
    axes: tuple[PlaneAxis, ...]
    planes: tuple[int, ...]
    lesson: Lesson | None
    corrected: tuple[CorrectedPlane, ...]
    corrections: dict[PlaneAxis, Corrections]
    quiet: bool

    @cached_property
    def follows(self) -> tuple[Any, ...]:
        """As `what_is_followed`."""
        strokes = () if self.lesson is None else self.lesson.corrections
        return what_is_followed(self.request.prompts, strokes, self.view)


@dataclass(frozen=True, eq=False)
class Arrival:
    """What the worker sends: a plane's labels ``(rows, columns)`` as they lie in the array, or the plane in sight."""

    order: Order
    plane: int
    labels: npt.NDArray[Any] | None = None
    outcome: Outcome | None = None


def learned(
    order: Order, masks: LiveMasks, in_hand: Segmenter, beside: Segmenter, stack: ImageStack, progress: Progress
) -> tuple[PromptSet, ByPlace | None]:
    """In the worker: the classes with what strokes taught, and where corrected planes put them.

    Of several modalities strokes teach through the plane that the segmenter `in_hand` has looked at.
    """
    from napari_promptseg.learning.volume_learner import VolumeLearner
    from napari_promptseg.segmentation.volumes.prior import ByPlace

    lesson, request = order.lesson, order.request
    if lesson is None:
        return request.prompts, None
    prompts = request.prompts if lesson.carried is None else lesson.carried.onto(request.prompts)
    if not order.corrections:
        return prompts, None
    if len(stack.modalities) == 1:
        taught = VolumeLearner().fit(
            beside, stack, prompts, order.corrected, corrections=order.corrections, progress=progress
        )
        return taught.prompts, taught.prior
    values = (0, *(c.value for c in prompts.classes))
    z, y, x = stack.grid
    prior = ByPlace((z, y, x), stack.spacing, values, order.corrected) if order.corrected else None
    return masks.taught(in_hand, request, lesson), prior


def what_is_followed(prompts: PromptSet, strokes: Iterable[Stroke], view: View) -> tuple[Any, ...]:
    """What masks hang on, to be compared: classes without their looks, strokes, and how the image is looked at."""
    classes = tuple(replace(c, colour="", visible=True) for c in prompts.classes)
    return replace(prompts, classes=classes), prompts.metadata.get(MODALITIES), tuple(s.id for s in strokes), view


def in_array(stroke: Stroke, plane: int, shape: tuple[int, int], place: Place) -> Stroke:
    """A stroke of a plane as it is seen, on the plane of that number as it lies in the array."""
    if not cut_of(place):
        return replace(stroke, plane=plane)
    rows, columns = stroke.pixels
    return Stroke.from_pixels(
        shape[0] - 1 - rows, columns, stroke.value, plane=plane, kind=stroke.kind, id=stroke.id, time=stroke.time
    )


def volume_of(source: PlaneSource, image: Image) -> ImageStack:
    """The whole volume that a plane was taken from, as the encoder is to see its values."""
    geometry = geometry_of(image)
    if geometry is not None and geometry.shape != tuple(source.pixels.shape[:3]):
        geometry = None  # of another level of a pyramid
    units = {str(unit) for unit in image.units[-3:]}
    unit = UNITS.get(units.pop(), "pixel") if len(units) == 1 else "pixel"
    return ImageStack(source.volume(), spacing=source.steps, units=unit, source=source.name, geometry=geometry)
