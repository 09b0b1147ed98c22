"""The label layer that carries the result of one image layer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_promptseg.gui.history import History, State, same
from napari_promptseg.gui.layers import (
    View,
    class_colours,
    class_features,
    new_result_layer,
    result_index,
    result_plane,
    result_shape,
)
from napari_promptseg.gui.volume_index import Place, cut_of, n_numbers, pixel_at, place_of
from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

#: Memory for what was predicted on planes seen before, in bytes.
PREDICTIONS = 256 * 1024 * 1024

#: A larger prediction is not kept with a state, so that many states of a large plane fit into memory, in bytes.
KEPT_PREDICTION = 32 * 1024 * 1024


class Result:
    """A Labels layer, what was predicted for each plane of it, and the states before.

    Parameters
    ----------
    viewer : napari.Viewer
    image : napari.layers.Image
        What the result belongs to.
    view : View
    """

    def __init__(self, viewer: Any, image: Image, view: View) -> None:
        self.viewer = viewer
        self.image = image
        self.view = view
        self.layer: Labels | None = None
        self.history = History()
        self._predicted: OrderedDict[Place, LabelMap] = OrderedDict()
        self._plain: set[Place] = set()  # written without a prediction: of edits there nothing is known
        self._prompts = PromptSet(())
        self._dressed: tuple[ClassPrompt, ...] = ()
        self._last_was_live = False
        self._is_kept = False

    def prediction(self, index: Place) -> LabelMap | None:
        """What was predicted for a plane; None where nothing was."""
        return self._predicted.get(index)

    def is_edited(self, index: Place) -> bool:
        """Whether a person has changed the plane since it was predicted."""
        layer, predicted = self.standing, self._predicted.get(index)
        if layer is None:
            return False
        now = result_plane(layer, self.view, index)
        if predicted is None:
            return index not in self._plain and bool(now.any())
        return not same(now, predicted.labels)

    def is_plain(self, index: Place) -> bool:
        """Whether the labels of a plane were written without a prediction beside them."""
        return index in self._plain

    def put(
        self, index: Place, label_map: LabelMap, prompts: PromptSet, *, live: bool, corrections: Any = None
    ) -> bool:
        """Show a prediction; gives whether edits of the user's stood there (`step` brings them again).

        Of a row of live predictions with no edit between them, only the state before the first is kept; so is none
        where `keep` was called since the last one. `corrections` are kept with that state.
        """
        layer = self._fitting()
        if layer is None:
            layer = self._new(prompts, label_map.labels.dtype)
            self._write(layer, index, label_map.labels)
            self._show(layer)
            edited = False
        else:
            edited = self.is_edited(index)
            now = self._state(layer, index, self._prompts, corrections)
            is_kept = live and (self._is_kept or (self._last_was_live and not edited))
            if now.labels.any() and not same(now.labels, label_map.labels) and not is_kept:
                self.history.keep(now)
            self._write(layer, index, label_map.labels)
            layer.refresh()
        # what follows an edit is a state of its own: the next live prediction keeps it
        self._last_was_live, self._is_kept = live and not self._is_kept, False
        self._prompts = prompts
        self._plain.discard(index)
        self._forget_crossing(index)
        self._predicted[index] = label_map
        self._predicted.move_to_end(index)
        while len(self._predicted) > 1 and sum(_size(m) for m in self._predicted.values()) > PREDICTIONS:
            self._predicted.popitem(last=False)
        self.dress(prompts)
        return edited

    def stand(self, prompts: PromptSet) -> None:
        """Put an empty layer up where there is none, before work in other threads fills it.

        napari makes its colours with warnings switched off, which is not safe beside other threads.
        """
        if self._fitting() is None:
            self._show(self._new(prompts, np.uint8))

    def shares(self, index: Place, prompts: PromptSet) -> dict[int, float]:
        """Area share of each class on a plane: as predicted, or as written where no prediction is kept."""
        predicted, layer = self._predicted.get(index), self.standing
        if predicted is not None:
            return {c.value: predicted.area_share(c.value) for c in prompts.classes}
        if layer is None or index not in self._plain:
            return {}
        return self.standing_shares(index, prompts)

    def standing_shares(self, index: Place, prompts: PromptSet) -> dict[int, float]:
        """Area share of each class on a plane as its labels stand."""
        layer = self.standing
        plane = np.zeros((1, 1)) if layer is None else result_plane(layer, self.view, index)
        return {c.value: float(np.count_nonzero(plane == c.value)) / plane.size for c in prompts.classes}

    def write(self, index: Place, labels: npt.NDArray[Any], prompts: PromptSet) -> None:
        """Put labels in without a prediction beside them, and without a state; the caller draws the layer anew."""
        layer = self._fitting()
        if layer is None:
            layer = self._new(prompts, labels.dtype)
            self._show(layer)
        self._write(layer, index, labels)
        self._prompts = prompts
        if not index and labels.ndim > 2:  # all planes of a volume
            self._predicted.clear()
            self._plain = {place_of(labels.shape, number) for number in range(n_numbers(labels.shape))}
            return
        self._forget_crossing(index)
        predicted = self._predicted.get(index)
        if predicted is None or not same(predicted.labels, labels):
            self._predicted.pop(index, None)
            self._plain.add(index)

    def keep(self, index: Place, labels: npt.NDArray[Any] | None, prompts: PromptSet, corrections: Any) -> None:
        """Keep the state before a change that is being made by something else; without `labels` those that stand."""
        layer = self.standing
        if layer is not None:
            self.history.keep(self._state(layer, index, prompts, corrections, labels))
            self._is_kept = True

    def step(self, prompts: PromptSet, *, forward: bool = False, corrections: Any = None) -> State | None:
        """Go one state back or forward; gives the state that stands now."""
        layer = self.standing
        if layer is None:
            return None
        while True:
            wanted = self.history.peek(forward=forward)
            if wanted is None:
                return None
            now = self._state(layer, wanted.index, prompts, corrections)
            if not now.says_the_same(wanted):
                break
            self.history.drop(forward=forward)
        state = self.history.step(now, forward=forward)
        self._prompts = state.prompts
        self._write(layer, state.index, state.labels)
        if state.predicted is not None:
            self._predicted[state.index] = state.predicted
        elif state.index or state.labels.ndim == 2:
            self._predicted.pop(state.index, None)
        else:  # all planes of a volume
            self._predicted.clear()
        _forget_strokes(layer)
        layer.refresh()
        self._last_was_live = self._is_kept = False
        return state

    def dress(self, prompts: PromptSet) -> None:
        """Give the layer the classes' colours and names."""
        layer = self.standing
        # napari draws the layer anew for colours, even the same: a third of what a stroke costs in the window's thread
        if layer is not None and self._dressed != prompts.classes:
            layer.colormap = class_colours(prompts)
            layer.features = class_features(prompts)
            self._dressed = prompts.classes

    def value_at(self, index: Place, world: Any) -> tuple[int, tuple[int, int]] | None:
        """Label and ``(row, column)`` under a point of the world; None outside."""
        layer = self.standing
        if layer is None:
            return None
        plane = result_plane(layer, self.view, index)
        voxel = np.round(np.asarray(layer.world_to_data(world))).astype(int)
        row, column = (int(v) for v in pixel_at(layer.data.shape, result_index(self.view, index), voxel))
        rows, columns = plane.shape
        if not (0 <= row < rows and 0 <= column < columns):
            return None
        return int(plane[row, column]), (row, column)

    @property
    def standing(self) -> Labels | None:
        """The layer, unless the user removed it."""
        if self.layer is not None and self.layer not in self.viewer.layers:
            self.layer = None
        return self.layer

    def _fitting(self) -> Labels | None:
        """The layer, if it has the image's shape still."""
        layer = self.standing
        return None if layer is None or layer.data.shape != result_shape(self.image, self.view) else layer

    def _new(self, prompts: PromptSet, dtype: npt.DTypeLike) -> Labels:
        """An empty layer, not in the viewer yet."""
        self._predicted.clear()
        self._plain.clear()
        self.history.clear()
        self.layer, self._dressed = new_result_layer(self.image, self.view, prompts, dtype), prompts.classes
        return self.layer

    def _show(self, layer: Labels) -> None:
        """Add the layer right above its image and leave the user's selection on the image."""
        layers = self.viewer.layers
        selected = set(layers.selection)
        layers.insert(layers.index(self.image) + 1, layer)
        if selected:
            layers.selection = selected

    def _state(
        self,
        layer: Labels,
        index: Place,
        prompts: PromptSet,
        corrections: Any,
        labels: npt.NDArray[Any] | None = None,
    ) -> State:
        labels = np.array(result_plane(layer, self.view, index)) if labels is None else labels
        predicted = self._predicted.get(index)
        if predicted is not None and _size(predicted) > KEPT_PREDICTION:
            predicted = None
        return State(index, labels, prompts, corrections, predicted)

    def _forget_crossing(self, index: Place) -> None:
        """What was predicted for planes across other axes of a volume is not what stands there any more."""
        for other in [key for key in self._predicted if cut_of(key) != cut_of(index)]:
            del self._predicted[other]
            self._plain.add(other)

    def _write(self, layer: Labels, index: Place, labels: npt.NDArray[Any]) -> None:
        """In place: a new array would cost a copy of all planes and keep napari's old undo steps."""
        if labels.dtype.itemsize > layer.data.dtype.itemsize:
            layer.data = layer.data.astype(labels.dtype)
            _forget_strokes(layer)
        result_plane(layer, self.view, index)[...] = labels


def _forget_strokes(layer: Labels) -> None:
    """Drop napari's undo steps: they would write pixels of the mask before into the new one.

    A layer forgets them when it becomes read-only, which also leaves the painting tool.
    """
    mode = layer.mode
    layer.editable = False
    layer.editable = True
    layer.mode = mode


def _size(label_map: LabelMap) -> int:
    maps = (
        label_map.labels,
        label_map.confidence,
        label_map.runner_up,
        label_map.runner_up_confidence,
        *label_map.probabilities.values(),
    )
    return sum(m.nbytes for m in maps)
