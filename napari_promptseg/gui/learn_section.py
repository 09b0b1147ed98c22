"""Correct the mask, and let masks and prompts learn from it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.curve import Curve
from napari_promptseg.gui.image_section import narrow_box
from napari_promptseg.gui.next_region import NextRegion
from napari_promptseg.gui.prompt_files import PromptFiles
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.stroke_list import StrokeList
from napari_promptseg.gui.theme import swatch_icon
from napari_promptseg.learning.corrections import Corrections

_FILTER = "Prompts (*.promptseg)"


class LearnSection(Section):
    """Shows the strokes, and what can be learned from them."""

    title = "Correct and learn"
    key = "learn"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.next_region = NextRegion(session)
        self.files = PromptFiles(session)
        self.offer = QWidget()
        self.restore_button = _button(
            "Restore", "Take up the corrections of this image that were left by an earlier start"
        )
        self.discard_button = _button("Discard", "Delete the corrections that were left by an earlier start")
        row = _row(self.restore_button, self.discard_button)
        row.setContentsMargins(0, 0, 0, 0)
        self.offer.setLayout(row)
        self.hint = _text("Next step")
        self.class_box = narrow_box("Class to paint", "What the brush says; background is a class, too")
        self.paint_button = _button("Paint", "Take napari's brush on the result layer, with this class")
        self.list = StrokeList(session)
        self.counts = _text("Strokes per class")
        self.delete_button = _button("Delete", "Delete the selected strokes; what stood under them comes back")
        self.tune_button = _button(
            "Tune prompts",
            "Learn better prompts from the strokes in the background; kept only if held-out strokes agree",
        )
        self.stop_button = _button("Stop tuning", "End here and judge the best prompts so far")
        self.next_button = _button(
            "Correct here next", "Go to the largest region whose label is least sure; again for the next one"
        )
        self.curve = Curve(session.viewer)
        self.report = _text("Report of tuning")
        self.save_button = _button("Save prompts …", "Write classes and what they learned to a .promptseg file")
        self.load_button = _button("Load prompts …", "Take classes and what they learned from a .promptseg file")
        self.body.addWidget(self.offer)
        self.body.addWidget(self.hint)
        self.body.addLayout(_row(self.class_box, self.paint_button))
        self.body.addWidget(self.next_button)
        self.body.addWidget(self.list)
        counted = QHBoxLayout()
        counted.addWidget(self.counts, 1)
        counted.addWidget(self.delete_button)
        self.body.addLayout(counted)
        self.body.addLayout(_row(self.tune_button, self.stop_button))
        self.body.addWidget(self.curve)
        self.body.addWidget(self.report)
        self.body.addLayout(_row(self.save_button, self.load_button))
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
        self.save_button.clicked.connect(self._ask_where)
        self.load_button.clicked.connect(self._ask_which)
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
            "Choose a class, press Paint, and paint what the mask has wrong."
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
        for widget in (self.class_box, self.paint_button, self.next_button):
            widget.setEnabled(painted)
        self.tune_button.setEnabled(bool(n) and not session.tuning.is_running)
        self.save_button.setEnabled(bool(len(session.prompts)))
        self.report.setVisible(bool(self.report.text()))

    def _on_prompts(self) -> None:
        chosen = self.class_box.currentData()
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

    def _choose_class(self) -> None:
        layer = self.session.result_layer
        if layer is not None:
            layer.selected_label = self.class_box.currentData()

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
        self.report.setText(self.session.tuning.report)
        self.refresh()

    def _canvas_size(self) -> tuple[int, int]:
        """Width and height of what lies beside the dock, where the image is shown."""
        window = self.window()
        central = window.centralWidget() if window is not None and hasattr(window, "centralWidget") else None
        return (800, 600) if central is None else (central.width(), central.height())

    def _ask_where(self) -> None:
        dialog = QFileDialog(self, "Save prompts", "prompts.promptseg", _FILTER)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("promptseg")
        dialog.fileSelected.connect(lambda name: self.files.save(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.setModal(False)
        dialog.show()

    def _ask_which(self) -> None:
        dialog = QFileDialog(self, "Load prompts", "", _FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.files.load(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.setModal(False)
        dialog.show()


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text.rstrip(" …"))
    button.setToolTip(tip)
    button.setMinimumWidth(50)
    return button


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setAccessibleName(name)
    return label


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
