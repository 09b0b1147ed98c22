"""Correct the mask, and let masks and prompts learn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_promptseg.gui.canvas_clicks import CanvasClicks, Modifiers, Taker
from napari_promptseg.gui.carry_panel import CarryPanel
from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import narrow_box, push_button, row_of, wrapped_label
from napari_promptseg.gui.curve import Curve
from napari_promptseg.gui.next_region import NextRegion
from napari_promptseg.gui.quick_points import TIP, QuickPoints
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.stroke_list import StrokeList
from napari_promptseg.gui.theme import swatch_icon
from napari_promptseg.gui.why_pixel import WhyPixel
from napari_promptseg.learning.corrections import Corrections

if TYPE_CHECKING:
    from napari.layers import Labels

#: Explains the pixel under the pointer.
WHY_KEY = "Shift-W"


class LearnSection(Section):
    """Shows the strokes, and what can be learned from them."""

    title = "Correct and learn"
    key = "learn"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.next_region = NextRegion(session)
        self.clicks = CanvasClicks(session.viewer)
        self._painted: Labels | None = None
        self.offer = QWidget()
        self.restore_button = push_button(
            "Restore", "Take up the corrections of this image that were left by an earlier start"
        )
        self.discard_button = push_button("Discard", "Delete the corrections that were left by an earlier start")
        self.offer_text = wrapped_label("Corrections found")
        offered = QVBoxLayout(self.offer)
        offered.setContentsMargins(0, 0, 0, 4)
        offered.setSpacing(3)
        offered.addWidget(self.offer_text)
        offered.addLayout(row_of(self.restore_button, self.discard_button))
        self.hint = wrapped_label("Next step")
        self.class_box = narrow_box("Class to paint", "What the brush says; background is a class, too")
        self.paint_button = push_button("Paint", "Take napari's brush on the result layer, with this class")
        self.point_button = push_button("Point", TIP, checkable=True)
        self.points = QuickPoints(session, self.clicks, self._class_in_hand)
        self.list = StrokeList(session)
        self.counts = wrapped_label("Strokes per class")
        self.delete_button = push_button("Delete", "Delete the selected strokes; what stood under them comes back")
        self.tune_button = push_button(
            "Tune prompts",
            "Learn better prompts from the strokes in the background; kept only if held-out strokes agree",
        )
        self.stop_button = push_button("Stop tuning", "End here and judge the best prompts so far")
        self.next_button = push_button(
            "Correct here next", "Go to the largest region whose label is least sure; again for the next one"
        )
        self.why_button = push_button(
            "Why this pixel",
            "Then click in the picture: scores of the classes there and what spoke for them. "
            "Or put the pointer on a pixel and press Shift+W",
            checkable=True,
        )
        self.why = WhyPixel(session)
        self.clicks.add(Taker(lambda held: self.why_button.isChecked() and not held, self._on_why_click))
        session.viewer.bind_key(WHY_KEY, self._on_why_key, overwrite=True)
        self.curve = Curve(session.viewer)
        self.report = wrapped_label("Report of tuning")
        self.carry = CarryPanel(session)
        self.body.addWidget(self.offer)
        self.body.addWidget(self.hint)
        tools = QHBoxLayout()
        tools.addWidget(self.class_box, 2)
        tools.addWidget(self.paint_button, 1)
        tools.addWidget(self.point_button, 1)
        self.body.addLayout(tools)
        self.body.addLayout(row_of(self.next_button, self.why_button))
        self.body.addWidget(self.why)
        self.body.addWidget(self.list)
        counted = QHBoxLayout()
        counted.addWidget(self.counts, 1)
        counted.addWidget(self.delete_button)
        self.body.addLayout(counted)
        self.body.addLayout(row_of(self.tune_button, self.stop_button))
        self.body.addWidget(self.curve)
        self.body.addWidget(self.report)
        self.body.addWidget(self.carry)
        self.curve.hide()
        self.stop_button.hide()
        self._connect()
        self._on_prompts()
        self._on_offer()
        self.refresh()

    def _connect(self) -> None:
        session, corrector, tuning = self.session, self.session.corrector, self.session.tuning
        self.restore_button.clicked.connect(corrector.restore)
        self.discard_button.clicked.connect(corrector.discard)
        self.class_box.activated.connect(self._choose_class)
        self.paint_button.clicked.connect(self._paint)
        self.delete_button.clicked.connect(lambda: corrector.delete(self.list.chosen))
        self.list.itemSelectionChanged.connect(lambda: self.delete_button.setEnabled(bool(self.list.chosen)))
        self.tune_button.clicked.connect(tuning.start)
        self.stop_button.clicked.connect(tuning.stop)
        self.next_button.clicked.connect(lambda: self.next_region.go(self._canvas_size()))
        self.point_button.toggled.connect(self.points.set_on)
        self.points.changed.connect(self._on_point_tool)
        self.why_button.toggled.connect(self._on_why_toggled)
        corrector.strokes_changed.connect(self.refresh)
        corrector.offer_changed.connect(self._on_offer)
        tuning.began.connect(self._on_began)
        tuning.point.connect(self.curve.add)
        tuning.ended.connect(self._on_ended)
        session.prompts_changed.connect(self._on_prompts)
        session.result_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show the strokes, and the next step where there are none."""
        session = self.session
        corrections: Corrections = session.corrector.corrections
        n, painted = len(corrections), session.result_layer is not None
        self.set_summary(f"{n} stroke{'s' if n != 1 else ''}" if n else "")
        self.hint.setVisible(not n)
        self.hint.setText(
            "Choose a class, press Paint and paint what the mask has wrong; or press Point and click on it "
            "(Ctrl-click does so at any time)."
            if painted
            else "Press Segment first. Then paint what the mask has wrong: every stroke makes the next mask better."
        )
        self.list.setVisible(bool(n))
        self.counts.setVisible(bool(n))
        self.delete_button.setVisible(bool(n))
        self.list.refresh()
        self.delete_button.setEnabled(bool(self.list.chosen))
        parts = [f"{session.corrector.name(v)} {count}" for v, (count, _) in corrections.counts().items()]
        self.counts.setText("Strokes: " + ", ".join(parts))
        for widget in (self.class_box, self.paint_button, self.point_button, self.next_button, self.why_button):
            widget.setEnabled(painted)
        if not painted:
            self.why_button.setChecked(False)
        self.tune_button.setEnabled(bool(n) and not session.tuning.is_running)
        self._watch()
        self.report.setVisible(bool(self.report.text()))

    def _on_prompts(self) -> None:
        # with no class there was only background to choose
        chosen = self.class_box.currentData() if self.class_box.count() > 1 else None
        with QSignalBlocker(self.class_box):
            self.class_box.clear()
            for c in self.session.prompts.classes:
                self.class_box.addItem(swatch_icon(c.colour), c.name, c.value)
            self.class_box.addItem(swatch_icon("#808080"), "background", 0)
            self.class_box.setCurrentIndex(max(0, self.class_box.findData(chosen)))
        self.refresh()

    def _on_offer(self) -> None:
        n = self.session.corrector.n_left
        self.offer.setVisible(n > 0)
        self.restore_button.setText(f"Restore {n} stroke{'s' if n != 1 else ''}")
        self.offer_text.setText(
            "Corrections of this image were left by an earlier start, perhaps one that was cut off."
        )

    def close_section(self) -> None:
        """Let go of the viewer and its layers."""
        super().close_section()
        self.clicks.close()
        self.points.close()
        self._watch(closing=True)
        taken_away = self.session.viewer.bind_key(WHY_KEY, None)
        if taken_away is not None and taken_away != self._on_why_key:  # a later dock's
            self.session.viewer.bind_key(WHY_KEY, taken_away)

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        self.why.on_theme()
        self.curve.update()

    def _class_in_hand(self) -> int:
        value = self.class_box.currentData()
        return 0 if value is None else int(value)

    def _choose_class(self) -> None:
        layer = self.session.result_layer
        if layer is not None:
            layer.selected_label = self.class_box.currentData()

    def _watch(self, *, closing: bool = False) -> None:
        """Follow the label that is chosen in napari's own panel."""
        layer = None if closing else self.session.result_layer
        if layer is self._painted:
            return
        if self._painted is not None:
            self._painted.events.selected_label.disconnect(self._on_label)
        self._painted = layer
        if layer is not None:
            layer.selected_label = self._class_in_hand()
            layer.events.selected_label.connect(self._on_label)

    def _on_label(self, event: Any = None) -> None:
        at = -1 if self._painted is None else self.class_box.findData(int(self._painted.selected_label))
        if at >= 0:
            with QSignalBlocker(self.class_box):
                self.class_box.setCurrentIndex(at)

    def _on_point_tool(self) -> None:
        with QSignalBlocker(self.point_button):
            self.point_button.setChecked(self.points.is_on)
        if self.points.is_on:
            self.why_button.setChecked(False)
            value = self._class_in_hand()
            other = "; Shift-click on what is background" if value else ""
            self.session.say(f"Click on what is {self.session.corrector.name(value)}{other}. Drag to move the picture.")

    def _on_why_toggled(self, on: bool) -> None:
        if on:
            self.points.set_on(False)
            self.session.say("Click on a pixel of the picture to see why it has its label.")

    def _on_why_click(self, position: tuple[float, ...], held: Modifiers) -> None:
        self.why_button.setChecked(False)
        self.why.reasons.ask(position)

    def _on_why_key(self, viewer: Any = None) -> None:
        self.why.reasons.ask(tuple(self.session.viewer.cursor.position))

    def _paint(self) -> None:
        layer, viewer = self.session.result_layer, self.session.viewer
        if layer is not None:
            viewer.layers.selection.active = layer
            layer.selected_label = self.class_box.currentData()
            layer.mode = "paint"

    def _on_began(self) -> None:
        self.curve.clear()
        self.curve.show()
        self.stop_button.show()
        self.report.setText("")
        self.refresh()

    def _on_ended(self) -> None:
        self.stop_button.hide()
        self.curve.setVisible(bool(self.curve.points))  # refused before the first step: there is nothing to show
        self.report.setText(self.session.tuning.report)
        self.refresh()

    def _canvas_size(self) -> tuple[int, int]:
        """Width and height of what lies beside the dock, where the image is shown."""
        window = self.window()
        central = window.centralWidget() if window is not None and hasattr(window, "centralWidget") else None
        return (800, 600) if central is None else (central.width(), central.height())
