"""Brings another volume of the same patient onto the grid of the one in hand, when asked to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_promptseg.gui.controls import narrow_box, push_button
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.volume_view import geometry_of
from napari_promptseg.gui.work import Job
from napari_promptseg.images.geometry import Geometry
from napari_promptseg.images.stack import ImageStack, Modality
from napari_promptseg.progress import Progress


class ResamplePanel(QWidget):
    """Chooses a volume that lies on another grid and makes a new layer of it on this one; never by itself.

    It is hidden where there is none.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.box = narrow_box("Volume on another grid", "Another volume of this patient, with other steps or size")
        self.box.setObjectName("resample-layer")
        self.button = push_button("Resample", "Make a new layer of that volume on the grid of this one")
        self.button.setObjectName("resample")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.button)
        self.button.clicked.connect(self.resample)
        self.refresh()

    def others(self) -> list[Image]:
        """Volumes in a patient whose grid is not that of the one in hand."""
        picture = self.session.picture
        mine = geometry_of(picture.layer)
        if mine is None:
            return []
        found = [(layer, geometry_of(layer)) for layer in picture.choices() if layer is not picture.layer]
        return [layer for layer, g in found if g is not None and _as_read(layer, g) and not g.lies_like(mine)]

    def refresh(self) -> None:
        """Show the volumes there are."""
        others, chosen = self.others(), self.box.currentData()
        with QSignalBlocker(self.box):
            self.box.clear()
            for layer in others:
                self.box.addItem(layer.name, layer)
                if layer is chosen:
                    self.box.setCurrentIndex(self.box.count() - 1)
        image = self.session.picture.layer
        onto = "" if image is None else image.name
        elided = self.fontMetrics().elidedText(onto, Qt.TextElideMode.ElideMiddle, 110)
        self.button.setText(f"Resample onto {elided}")
        self.button.setToolTip(f"Make a new layer of that volume on the grid of {onto}, as under “Modalities”")
        self.setVisible(bool(others))

    def resample(self) -> bool:
        """Make the new layer; False where there is nothing chosen."""
        session, other = self.session, self.box.currentData()
        image = session.picture.layer
        if image is None or other is None:
            return False
        return resample_volume(session, image, other)


def resample_volume(session: Session, image: Image, other: Image, then: Callable[[Image], None] | None = None) -> bool:
    """Make a layer of a volume on the grid of another one, where both lie in the patient, in the background.

    Parameters
    ----------
    session : Session
    image, other : napari.layers.Image
        The volume whose grid it is, and the one that is read there.
    then : callable, optional
        Given the new layer once it is there.

    Returns
    -------
    bool
        False where one of them does not lie in a patient, or was moved in the viewer.
    """
    mine, theirs = geometry_of(image), geometry_of(other)
    if mine is None or theirs is None or not (_as_read(image, mine) and _as_read(other, theirs)):
        return False
    name = f"{other.name} on {image.name}"
    stack = _stack(other, theirs, other.name)
    target = _stack(image, mine, image.name)

    def task(progress: Progress) -> ImageStack:
        from napari_promptseg.images.resampling import onto_grid

        return onto_grid(stack, target, progress=progress)

    def done(made: ImageStack) -> None:
        from napari_promptseg.reader_plugin import layers_of

        about = {"kind": other.metadata.get("kind", "auto")}
        shown = {"name": name, "contrast_limits": other.contrast_limits, "metadata": about}
        (pixels, keywords, _), *_ = layers_of(made, **shown)
        layers, selected = session.viewer.layers, set(session.viewer.layers.selection)
        layer = Image(pixels, **{**keywords, "colormap": other.colormap, "visible": False})
        layers.insert(layers.index(other) if other in layers else 0, layer)
        layers.selection = selected
        session.say(f"Made the layer “{name}”. {' '.join(made.metadata.get('notes', ())[-1:])}")
        if then is not None:
            then(layer)

    session.workbench.submit(Job("resample", task, done, lambda text: session.say(text, "error")))
    return True


def _as_read(layer: Image, place: Geometry) -> bool:
    """Whether a volume is all there, and shown where its file says."""
    shown = (layer.scale, layer.translate)
    return not layer.multiscale and all(
        len(one) == 3 and np.allclose(one, other, atol=1e-3)
        for one, other in zip(shown, (place.spacing, place.origin), strict=True)
    )


def _stack(layer: Image, geometry: Geometry, name: str) -> ImageStack:
    """What is resampled, and where it lies; frames of reference go along so that other ones are said."""
    about: dict[str, Any] = {k: v for k, v in layer.metadata.items() if k in ("frame_of_reference", "dicom")}
    shown = Modality(name, layer.data, bool(layer.rgb))
    return ImageStack((shown,), spacing=geometry.spacing, units="mm", source=name, metadata=about, geometry=geometry)
