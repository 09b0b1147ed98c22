"""The last rows of “Modalities”: learn to read them together."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_promptseg.gui.controls import narrow_box, push_button, row_of, wrapped_label
from napari_promptseg.gui.modalities import Modalities
from napari_promptseg.gui.modality_tuning import ModalityTuning


class ModalityTuningPanel(QWidget):
    """Where the labels come from, a button, and the verdict."""

    def __init__(self, modalities: Modalities) -> None:
        super().__init__()
        self.modalities = modalities
        self.tuning = ModalityTuning(modalities)
        self.origin_box = narrow_box(
            "Labels to tune modalities on",
            "Strokes of “Correct and learn”, drawn regions, or a labels layer whose values are those of the classes",
        )
        self.origin_box.setObjectName("modalities-origin")
        self.button = push_button(
            "Tune modalities",
            "Learn to read the modalities together, in the background; kept only if held-out labels agree",
        )
        self.button.setObjectName("modalities-tune")
        self.stop_button = push_button("Stop", "End here and judge the best so far")
        self.stop_button.setAccessibleName("Stop tuning modalities")
        self.stop_button.setObjectName("modalities-tune-stop")
        self.legend = wrapped_label("Labels and classes")
        self.report = wrapped_label("Report of tuning modalities")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row_of(self.button, self.stop_button, self.origin_box))
        column.addWidget(self.legend)
        column.addWidget(self.report)
        self.button.clicked.connect(self._start)
        self.origin_box.activated.connect(self._show_legend)
        modalities.session.prompts_changed.connect(self._show_legend)
        self.stop_button.clicked.connect(self.tuning.stop)
        self.tuning.changed.connect(self.refresh)
        session = modalities.session
        for event in (session.viewer.layers.events.inserted, session.viewer.layers.events.removed):
            event.connect(self._on_layers)
        session.image_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show where labels can come from, and what came of the last tuning."""
        box, running = self.origin_box, self.tuning.is_running
        chosen = box.currentText()
        box.setEnabled(not running)
        with QSignalBlocker(box):
            box.clear()
            box.addItem("from strokes", None)
            box.addItem("from drawn regions", None)
            for layer in self.tuning.layers():
                box.addItem(f"from {layer.name}", layer)
            box.setCurrentIndex(max(0, box.findText(chosen)))
        # one takes the other's place: three side by side would be cut off
        self.button.setVisible(not running)
        self.stop_button.setVisible(running)
        self.stop_button.setEnabled(not self.tuning.is_stopping)
        self._show_legend()
        self.report.setText(self.tuning.report)
        self.report.setVisible(bool(self.tuning.report))

    def close_panel(self) -> None:
        """Let go of the viewer."""
        events = self.modalities.session.viewer.layers.events
        for event in (events.inserted, events.removed):
            event.disconnect(self._on_layers)

    def _show_legend(self, *_: object) -> None:
        self.legend.setText(self.tuning.legend() if self.origin_box.currentIndex() > 1 else "")
        self.legend.setVisible(bool(self.legend.text()))

    def _on_layers(self, event: object = None) -> None:
        self.refresh()

    def _start(self) -> None:
        index = self.origin_box.currentIndex()
        if index > 1:
            self.tuning.start("layer", self.origin_box.itemData(index))
        else:
            self.tuning.start("regions" if index else "strokes")
