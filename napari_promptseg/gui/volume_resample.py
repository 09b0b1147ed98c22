"""Brings another volume of the same patient onto the grid of the one in hand, when asked to."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
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
        self.button = push_button("Resample onto this grid", "Make a new layer of that volume on the grid of this one")
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
        return [layer for layer, g in found if g is not None and not layer.multiscale and not g.lies_like(mine)]

    def refresh(self) -> None:
        """Show the volumes there are."""
        others, chosen = self.others(), self.box.currentData()
        with QSignalBlocker(self.box):
            self.box.clear()
            for layer in others:
                self.box.addItem(layer.name, layer)
                if layer is chosen:
                    self.box.setCurrentIndex(self.box.count() - 1)
        self.setVisible(bool(others))

    def resample(self) -> bool:
        """Make the new layer; False where there is nothing chosen."""
        session, other = self.session, self.box.currentData()
        image = session.picture.layer
        mine, theirs = geometry_of(image), geometry_of(other)
        if image is None or mine is None or theirs is None:
            return False
        name = f"{other.name} on the grid of {image.name}"
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
            selected = set(session.viewer.layers.selection)
            session.viewer.add_image(pixels, **{**keywords, "colormap": other.colormap, "visible": False})
            session.viewer.layers.selection = selected
            session.say(f"Made the layer “{name}”. {' '.join(made.metadata.get('notes', ())[-1:])}")

        session.workbench.submit(Job("resample", task, done, lambda text: session.say(text, "error")))
        return True


def _stack(layer: Image, geometry: Geometry, name: str) -> ImageStack:
    """What is resampled, and where it lies; frames of reference go along so that other ones are said."""
    about: dict[str, Any] = {k: v for k, v in layer.metadata.items() if k in ("frame_of_reference", "dicom")}
    shown = Modality(name, layer.data, bool(layer.rgb))
    return ImageStack((shown,), spacing=geometry.spacing, units="mm", source=name, metadata=about, geometry=geometry)
