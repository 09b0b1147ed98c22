"""The tools that regions are drawn with; keeps the cards in step with what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from napari.layers import Labels, Shapes
from qtpy.QtCore import QSignalBlocker, QSize
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_promptseg.errors import InputError
from napari_promptseg.gui.controls import push_button
from napari_promptseg.gui.mode_watch import ModeWatch
from napari_promptseg.gui.region_layer import RegionLayer, Tool
from napari_promptseg.gui.region_shapes import NEGATIVE, POSITIVE
from napari_promptseg.gui.theme import colour, tool_icon

if TYPE_CHECKING:
    from napari_promptseg.gui.region_places import DrawnShape
    from napari_promptseg.gui.session import Session

_TIPS: dict[Tool, str] = {
    "rectangle": "Drag a rectangle around one thing",
    "ellipse": "Drag an ellipse around one thing",
    "polygon": "Click the corners around one thing; double-click or Enter ends it",
    "lasso": "Drag along the outline of one thing",
}
_MODES = {f"add_{'polygon_lasso' if tool == 'lasso' else tool}": tool for tool in get_args(Tool)}


class RegionTools(QWidget):
    """Draws regions, and takes painted ones."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.layer = RegionLayer(session)
        self._marked: dict[str, Any] = {}
        self._watch_mode = ModeWatch(self.refresh)
        self.buttons: dict[Tool, QToolButton] = {}
        row = QHBoxLayout()
        row.setSpacing(3)
        for tool in ("rectangle", "ellipse", "polygon", "lasso"):
            button = self.buttons[tool] = QToolButton()
            button.setCheckable(True)
            button.setIconSize(QSize(18, 18))
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setAccessibleName(f"Draw: {tool}")
            button.setToolTip(_TIPS[tool])
            button.clicked.connect(lambda on, tool=tool: self.take_up(tool) if on else self.layer.stop())
            row.addWidget(button, 1)
        self.painted_button = push_button(
            "Use selected layer",
            "Take what is painted with the chosen label of the selected Labels layer, on the plane in sight, "
            "or the outlines of a Shapes layer of your own",
        )
        row.addWidget(self.painted_button, 3)
        self.sign_button = push_button("", "What the next regions show: the thing, or something that is not it")
        self.sign_button.setCheckable(True)
        self.sign_button.setAccessibleName("The next regions show what is not the thing")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        self.painted_button.clicked.connect(self.use_painted)
        self.sign_button.toggled.connect(self._on_sign)
        self.layer.changed.connect(self.follow)
        self.layer.selection_changed.connect(self._on_selected)
        session.regions.removed.connect(self._on_removed)
        session.regions.card_changed.connect(self._on_card)
        session.image_changed.connect(self.refresh)
        session.viewer.layers.selection.events.active.connect(self._on_active)
        self._on_sign(False)
        self.on_theme()
        self.refresh()

    @property
    def positive(self) -> bool:
        """Whether the next regions show the thing."""
        return not self.sign_button.isChecked()

    @property
    def tool(self) -> Tool | None:
        """The tool in hand; None while another layer is."""
        layer = self.layer.layer
        in_hand = layer is not None and layer is self.session.viewer.layers.selection.active
        return _MODES.get(str(layer.mode)) if in_hand and layer is not None else None

    def refresh(self) -> None:
        """Enable what can be done, and show the tool in hand."""
        has_image = self.session.picture.layer is not None
        self.painted_button.setEnabled(has_image)
        tool = self.tool
        for name, button in self.buttons.items():
            button.setEnabled(has_image)
            with QSignalBlocker(button):
                button.setChecked(name == tool)

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        in_hand = colour(self.session.viewer, "current").name()
        for tool, button in self.buttons.items():
            button.setIcon(tool_icon(tool, colour(self.session.viewer, "icon")))
            button.setStyleSheet(f"QToolButton:checked {{ background: {in_hand}; }}")

    def take_up(self, tool: Tool) -> None:
        """Take a tool in hand."""
        if self.layer.add_tool(tool, positive=self.positive):
            self.session.regions.said.emit(_TIPS[tool] + ".", "info")
        self._watch()
        self.refresh()

    def use_painted(self) -> None:
        """Take what is painted with the label in hand, on the plane in sight, or the outlines of the selected layer."""
        session = self.session
        active = session.viewer.layers.selection.active
        if isinstance(active, Shapes) and active is not self.layer.layer:
            try:
                self.layer.adopt(active, positive=self.positive)
            except InputError as error:
                session.regions.said.emit(str(error), "warning")
            self._watch()
            return
        labels = active if isinstance(active, Labels) else session.result_layer
        try:
            if labels is None:
                raise InputError("There is no label layer: paint a region in one, and select it.")
            source = session.picture.source()
            found = self.layer.regions_of_labels(labels, int(labels.selected_label), session.corrector.plane)
        except InputError as error:
            session.regions.said.emit(str(error), "warning")
            return
        for shape in found:
            session.regions.put(
                source.at(self.layer.plane_index(shape.plane)), shape.mask, shape=shape.key, positive=self.positive
            )

    def follow(self) -> None:
        """Give every finished shape its card, and take those away whose shape is gone."""
        regions, picture = self.session.regions, self.session.picture
        self._watch()
        source = picture.in_sight
        if source is None:
            return
        shapes, refused = {s.key: s for s in self.layer.shapes()}, self.layer.refused()
        self._leave(id(picture.layer), {*shapes, *refused})
        for key, shape in shapes.items():
            if self._marked.get(key) is not shape.marked:
                self._marked[key] = shape.marked
                self._put(shape)
                continue
            card = next((c for c in regions.cards if c.shape == key), None)
            if card is not None and card.positive != shape.positive:
                regions.set_positive(card.id, shape.positive)
        for key, sentence in refused.items():
            self._marked.pop(key, None)
            regions.refuse(key, sentence)

    def close_tools(self) -> None:
        """Let go of the layers."""
        self._watch_mode.follow(None)
        self.session.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.layer.close()

    def _put(self, shape: DrawnShape) -> None:
        source = self.session.picture.source().at(self.layer.plane_index(shape.plane))
        image = id(self.session.picture.layer)
        self.session.regions.put(source, shape.mask, shape=shape.key, positive=shape.positive, image=image)

    def _leave(self, image: int, standing: set[str]) -> None:
        """Cards of shapes that are gone."""
        regions = self.session.regions
        gone = [c for c in regions.cards if c.image == image and c.shape and c.shape not in standing]
        if gone and self.layer.layer is None:
            # not one region was deleted but the drawing: what was said of it stays
            for card in gone:
                self._marked.pop(card.shape, None)
                card.shape = ""
            regions.said.emit("The layer of the regions was removed; the cards keep what they say.", "info")
            return
        for card in gone:
            self._marked.pop(card.shape, None)
            regions.remove(card.id)

    def _on_removed(self, key: str) -> None:
        self._marked.pop(key, None)
        self.layer.remove(key)

    def _on_card(self, card_id: str) -> None:
        card = self.session.regions.card(card_id)
        if card is not None and card.shape:
            self.layer.set_positive(card.shape, card.positive)

    def _on_selected(self) -> None:
        key = self.layer.selected
        card = next((c for c in self.session.regions.cards if c.shape == key), None) if key else None
        if card is not None:
            self.session.regions.take_in_hand(card.id)

    def _on_sign(self, negative: bool) -> None:
        self.sign_button.setText("draw what it is not" if negative else "draw the thing")
        self.sign_button.setStyleSheet(
            f"QPushButton {{ border-bottom: 3px solid {NEGATIVE if negative else POSITIVE}; }}"
        )
        tool = self.tool
        if tool is not None:
            self.layer.add_tool(tool, positive=not negative)

    def _watch(self) -> None:
        """Follow the tool that is chosen in napari's own panel."""
        if self._watch_mode.follow(self.layer.layer):
            self.refresh()

    def _on_active(self, event: Any = None) -> None:
        self.refresh()
