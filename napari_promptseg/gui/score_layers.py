"""One image layer per class with the class's score, where the user asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from napari.utils import Colormap

from napari_promptseg.gui.layers import View, plane_geometry, result_index, result_shape
from napari_promptseg.gui.volume_index import Place, lifted
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap


class ScoreLayers:
    """Layers ``"cat score"`` from clear (0) to the class's colour (1), for the plane last segmented."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._layers: dict[int, Image] = {}

    def show(self, image: Image, view: View, index: Place, label_map: LabelMap, prompts: PromptSet) -> None:
        """Make or renew the layers; those of classes that are gone are removed."""
        place, own, ndim = plane_geometry(image, view, index), result_index(view, index), len(result_shape(image, view))
        wanted = {c.value: c for c in prompts.classes if c.value in label_map.probabilities}
        for value in [v for v in self._layers if v not in wanted]:
            self._take_away(value)
        selected = set(self.viewer.layers.selection)
        for value, c in wanted.items():
            scores = lifted(label_map.probabilities[value].astype(np.float32), own, ndim)
            colours = Colormap([[0, 0, 0], c.colour], name=f"score {c.colour}")
            layer = self._layers.get(value)
            if layer is not None and layer in self.viewer.layers and layer.data.shape == scores.shape:
                layer.data = scores
                layer.translate, layer.scale = place["translate"], place["scale"]
                layer.name, layer.colormap = f"{c.name} score", colours
                continue
            self._take_away(value)
            layer = Image(
                scores,
                name=f"{c.name} score",
                colormap=colours,
                contrast_limits=(0, 1),
                blending="additive",
                visible=False,
                metadata={"napari-promptseg": {"class": c.name}},
                **place,
            )
            self._layers[value] = self.viewer.add_layer(layer)
        if selected:
            self.viewer.layers.selection = selected

    def remove(self) -> None:
        """Take all score layers away."""
        for value in list(self._layers):
            self._take_away(value)

    def _take_away(self, value: int) -> None:
        layer = self._layers.pop(value, None)
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
