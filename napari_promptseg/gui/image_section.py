"""Which image, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass

from napari.layers import Image
from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import narrow_box, wrapped_label
from napari_promptseg.gui.layers import describe, levels, spatial_ndim
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.volume_resample import ResamplePanel
from napari_promptseg.gui.volume_view import geometry_of
from napari_promptseg.gui.window_control import WINDOWED, WindowControl
from napari_promptseg.prompts.prompt_set import ImageKind


@dataclass(frozen=True)
class PictureKind:
    """A choice of “Shows”: the sentences names are put into, and how values become a picture."""

    title: str
    image_kind: str
    values: str
    hint: str


KINDS = (
    PictureKind("an everyday scene", "natural", "auto", "Photographs and video frames"),
    PictureKind("microscopy", "microscopy", "auto", "Bright field or phase contrast; brightness from the values"),
    PictureKind("fluorescence", "microscopy", "fluorescence", "Fluorescence channels: dark ground, robust brightness"),
    PictureKind("histology", "histology", "auto", "Stained tissue sections"),
    PictureKind("endoscopy", "endoscopy", "auto", "Endoscope pictures"),
    PictureKind("skin (dermoscopy)", "dermoscopy", "auto", "Close pictures of skin"),
    PictureKind("CT", "ct", "ct", "Hounsfield units, seen through a window"),
    PictureKind("MR", "mr", "mr", "Brightness from percentiles"),
    PictureKind("ultrasound", "ultrasound", "grey", "Grey ultrasound pictures"),
    PictureKind("X-ray", "xray", "grey", "Projection radiographs"),
    PictureKind("aerial or satellite", "aerial", "auto", "The ground from above"),
    PictureKind("thermal", "natural", "thermal", "Thermal cameras"),
    PictureKind("depth", "natural", "depth", "Depth maps"),
)


class ImageSection(Section):
    """Chooses the image layer, its level and channels, and its kind."""

    title = "Image"
    key = "image"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.layer_box = narrow_box("Image layer", "The image layer that is segmented; it follows napari's layer list")
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.facts.setAccessibleName("Facts about the image")
        self.facts.setToolTip("How the layer is read: colour or grey, number of planes, rows × columns")
        self.kind_box = narrow_box(
            "What the image shows",
            "Chooses the sentences that names are put into, and how grey values are shown to the model",
        )
        for kind in KINDS:
            self.kind_box.addItem(kind.title, kind)
            self.kind_box.setItemData(self.kind_box.count() - 1, kind.hint, 3)  # Qt.ToolTipRole
        self.level_label, self.level_box = (
            QLabel("Level"),
            narrow_box("Resolution level", "Level of the pyramid that is segmented: finer ones take longer, in tiles"),
        )
        self.axis_label, self.axis_box = (
            QLabel("Channels"),
            narrow_box(
                "Channel axis", "Which axis holds channels of one picture; the others are planes that you step through"
            ),
        )
        self.channel_edit = QLineEdit()
        self.channel_edit.setPlaceholderText("all, or for example 0, 2")
        self.channel_edit.setAccessibleName("Channels used")
        self.channel_edit.setToolTip(
            "Numbers of the channels that are used together, at most four; empty for the first ones"
        )
        self.window_label, self.window = QLabel("Window"), WindowControl(session)
        self.notes = wrapped_label("What the reader noticed")
        self.notes.setObjectName("image-notes")
        self.resample = ResamplePanel(session)
        self._last: Image | None = None  # the layer whose own kind was looked at
        self._guessed: ImageKind | None = None  # that of the layer before, which nobody has chosen
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        for row, (label, widget) in enumerate(
            [
                (QLabel("Layer"), self.layer_box),
                (None, self.facts),
                (QLabel("Shows"), self.kind_box),
                (self.window_label, self.window),
                (self.level_label, self.level_box),
                (self.axis_label, self.axis_box),
                (None, self.channel_edit),
            ]
        ):
            if label is not None:
                label.setBuddy(widget)
                grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1)
        self.body.addLayout(grid)
        self.body.addWidget(self.notes)
        self.body.addWidget(self.resample)
        self.layer_box.activated.connect(self._on_layer)
        self.kind_box.activated.connect(self._on_kind)
        self.level_box.activated.connect(lambda i: session.picture.look(level=i))
        self.axis_box.activated.connect(self._on_axis)
        self.channel_edit.editingFinished.connect(self._on_channels)
        session.image_changed.connect(self.refresh)
        session.image_changed.connect(self._take_kind)
        session.prompts_changed.connect(self._show_kind)
        self.refresh()
        self._take_kind()

    def refresh(self) -> None:
        """Show the layers there are and the one chosen."""
        picture = self.session.picture
        layers = picture.choices()
        with QSignalBlocker(self.layer_box):
            self.layer_box.clear()
            for layer in layers:
                self.layer_box.addItem(layer.name, layer)
            if picture.layer is None:
                self.layer_box.addItem("no image yet")
            else:
                self.layer_box.setCurrentIndex(next(i for i, la in enumerate(layers) if la is picture.layer))
        self.layer_box.setEnabled(bool(layers))
        layer, view = picture.layer, picture.view
        self.facts.setText("" if layer is None else describe(layer, view))
        self.facts.setVisible(layer is not None)
        self.window.refresh()
        for widget in (self.window_label, self.window):
            widget.setVisible(self.window.is_offered)
        self._show_notes()
        self.resample.refresh()
        self.set_summary("none" if layer is None else layer.name)
        many_levels = layer is not None and bool(layer.multiscale)
        for widget in (self.level_label, self.level_box):
            widget.setVisible(many_levels)
        leading = 0 if layer is None else spatial_ndim(layer) - 2
        for widget in (self.axis_label, self.axis_box):
            # an axis of a patient is no axis of channels
            widget.setVisible(leading > 0 and geometry_of(layer) is None)
        self.channel_edit.setVisible(leading > 0 and view.channel_axis is not None)
        if layer is None:
            return
        shapes = levels(layer)
        with QSignalBlocker(self.level_box), QSignalBlocker(self.axis_box):
            self.level_box.clear()
            for i, shape in enumerate(shapes):
                rows, columns = shape[: spatial_ndim(layer)][-2:]
                self.level_box.addItem(f"{i + 1}: {rows} × {columns}")
            self.level_box.setCurrentIndex(view.level)
            self.axis_box.clear()
            self.axis_box.addItem("none: each plane by itself", None)
            for axis in range(leading):
                self.axis_box.addItem(f"axis {layer.axis_labels[axis]} ({shapes[view.level][axis]})", axis)
            self.axis_box.setCurrentIndex(0 if view.channel_axis is None else view.channel_axis + 1)
        self.channel_edit.setText(", ".join(str(c) for c in view.channels))

    def close_section(self) -> None:
        """Let go of the viewer and the layer."""
        self.window.close_control()
        super().close_section()

    def _show_notes(self) -> None:
        """What a reader had to say about the file, the first two sentences; all of them in the tooltip."""
        layer = self.session.picture.layer
        found = [] if layer is None else layer.metadata.get("notes", [])
        notes = [str(note) for note in found] if isinstance(found, (list, tuple)) else []
        more = f" ({len(notes) - 2} more)" if len(notes) > 2 else ""
        self.notes.setText("\n".join(notes[:2]) + more)
        self.notes.setToolTip("\n".join(notes))
        self.notes.setVisible(bool(notes))

    def _take_kind(self) -> None:
        """A layer whose reader says CT or MR is prompted as that, unless the user has chosen what the image shows."""
        layer, view = self.session.picture.layer, self.session.picture.view
        if layer is self._last:
            return
        self._last = layer
        if layer is None:
            return
        told = layer.metadata.get("kind") in WINDOWED
        if not told and self.session.prompts.image_kind != self._guessed:
            return
        wanted: ImageKind = "natural" if not told else "ct" if view.kind == "ct" else "mr"
        if self.session.prompts.image_kind in ("natural", self._guessed) and wanted != self.session.prompts.image_kind:
            self._guessed = wanted
            self.session.set_image_kind(wanted, view.kind)

    def _show_kind(self) -> None:
        kind = self.kind_box.currentData()
        if kind.image_kind != self.session.prompts.image_kind:
            wanted = self.session.prompts.image_kind
            self.kind_box.setCurrentIndex(next(i for i, k in enumerate(KINDS) if k.image_kind == wanted))

    def _on_layer(self, index: int) -> None:
        self.session.picture.choose(self.layer_box.itemData(index))

    def _on_kind(self, index: int) -> None:
        kind: PictureKind = self.kind_box.itemData(index)
        self.session.set_image_kind(kind.image_kind, kind.values)
        if self.window.is_offered and self.session.picture.view.limits is None:
            self.window.show_measured()

    def _on_axis(self, index: int) -> None:
        axis = self.axis_box.itemData(index)
        channels: tuple[int, ...] = ()
        layer = self.session.picture.layer
        if axis is not None and layer is not None:
            count = levels(layer)[0][axis]
            channels = tuple(range(min(count, 3))) if count > 4 else ()
        self.session.picture.look(channel_axis=axis, channels=channels)

    def _on_channels(self) -> None:
        picture = self.session.picture
        axis, layer = picture.view.channel_axis, picture.layer
        if axis is None or layer is None:
            return
        words = self.channel_edit.text().replace(",", " ").split()
        count = levels(layer)[0][axis]
        wanted = tuple(int(w) for w in words if w.isdecimal())
        if len(wanted) != len(words) or len(wanted) > 4 or any(c >= count for c in wanted):
            self.session.say(f"Channels are up to four numbers from 0 to {count - 1}, for example: 0, 1.", "warning")
            self.refresh()
            return
        picture.look(channels=wanted or (tuple(range(3)) if count > 4 else ()))
