"""Takes one volume out of a layer of many: a time point, a channel, as a layer of its own that has three axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_promptseg.gui.controls import push_button, wrapped_label
from napari_promptseg.gui.layers import levels, spatial_ndim
from napari_promptseg.gui.session import Session

#: What the axes that hold volumes are called in sentences.
_NAMES = {"t": "time point", "time": "time point", "c": "channel", "channel": "channel"}


def kept_axes(layer: Image, channel_axis: int | None) -> tuple[int, ...]:
    """The three axes of a layer that are a volume; empty where it holds none, or nothing besides."""
    ndim = spatial_ndim(layer)
    if ndim < 4:
        return ()
    axes = tuple(a for a in range(ndim) if a != channel_axis)[-3:]
    return axes if all(levels(layer)[0][a] > 1 for a in axes) else ()


class VolumeOfMany(QWidget):
    """Says that the layer in hand holds several volumes, and takes the one in sight.

    Nothing is copied: the new layer looks at the same values.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.label = wrapped_label("Volumes in the layer")
        self.label.setObjectName("volume-many")
        self.button = push_button(
            "Take this volume", "Make a layer of its own of the volume in sight and hide the others; nothing is copied"
        )
        self.button.setObjectName("volume-take")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.button)
        self.button.clicked.connect(lambda: self.take())
        self.refresh()

    @property
    def is_needed(self) -> bool:
        """Whether the layer in hand holds more than one volume."""
        picture = self.session.picture
        return picture.layer is not None and bool(kept_axes(picture.layer, picture.view.channel_axis))

    def refresh(self) -> None:
        """Say what the layer holds."""
        picture = self.session.picture
        if not self.is_needed or picture.layer is None:
            return
        layer = picture.layer
        kept = kept_axes(layer, picture.view.channel_axis)
        shape = levels(layer)[0]
        others = [a for a in range(spatial_ndim(layer)) if a not in kept]
        n = int(np.prod([shape[a] for a in others]))
        along = " and ".join(str(layer.axis_labels[a]) for a in others)
        self.label.setText(
            f"This layer holds {n} volumes along {along}. What is here works on one: take the one in sight."
        )

    def take(self) -> bool:
        """Make the layer, or go back to it where it was made before; False where there is nothing to take."""
        session, picture = self.session, self.session.picture
        image = picture.layer
        if image is None or not self.is_needed:
            return False
        kept = list(kept_axes(image, picture.view.channel_axis))
        ndim = spatial_ndim(image)
        shape = np.asarray(levels(image)[0][:ndim])
        at = np.asarray(image.world_to_data(session.viewer.dims.point))[-ndim:]
        place = {a: int(np.clip(round(float(at[a])), 0, shape[a] - 1)) for a in range(ndim) if a not in kept}
        title = ", ".join(f"{_title(image.axis_labels[a])} {i + 1}" for a, i in place.items())
        name = f"{image.name}, {title}"
        taken = (id(image), tuple(place.values()))
        made = next((layer for layer in picture.choices() if layer.metadata.get("taken") == taken), None)
        if made is None:
            made = Image(
                [_cut(level, place, levels(image)[0]) for level in image.data]
                if image.multiscale
                else _cut(image.data, place, levels(image)[0]),
                name=name,
                rgb=image.rgb,
                multiscale=image.multiscale,
                contrast_limits=image.contrast_limits,
                colormap=None if image.rgb else image.colormap,
                blending="translucent_no_depth",
                metadata={**image.metadata, "taken": taken},
                **_where(image, kept),
            )
            session.viewer.layers.insert(session.viewer.layers.index(image) + 1, made)
        image.visible = False
        made.visible = True
        session.viewer.layers.selection = {made}
        picture.choose(made)
        session.say(f"Took {title} as the layer “{name}”; the others are hidden.")
        return True


def _title(label: Any) -> str:
    return _NAMES.get(str(label).casefold(), str(label))


def _cut(pixels: Any, place: dict[int, int], finest: tuple[int, ...]) -> Any:
    """One volume of a level; other levels may have fewer steps along the axes that are cut."""
    index: list[Any] = [slice(None)] * len(pixels.shape)
    for axis, at in place.items():
        index[axis] = min(at * pixels.shape[axis] // finest[axis], pixels.shape[axis] - 1)
    return pixels[tuple(index)]


def _where(layer: Image, kept: list[int]) -> dict[str, Any]:
    """Keywords that put the new layer where the volume lies."""
    inside = np.ix_(kept, kept)
    affine = np.eye(4)
    matrix = np.asarray(layer.affine.affine_matrix)
    affine[:3, :3], affine[:3, 3] = matrix[:-1, :-1][inside], matrix[kept, -1]
    return {
        "scale": np.asarray(layer.scale)[kept],
        "translate": np.asarray(layer.translate)[kept],
        "rotate": np.asarray(layer.rotate)[inside],
        "affine": affine,
        "units": tuple(layer.units[a] for a in kept),
        "axis_labels": tuple(layer.axis_labels[a] for a in kept),
    }
