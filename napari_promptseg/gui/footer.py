"""What stays in sight at the bottom: Segment, progress, one sentence, and what is under the pointer."""

from __future__ import annotations

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import colour

#: Work that is over sooner shows its result only, in milliseconds. A bar that runs to and fro has the whole window
#: drawn anew at each of its steps, which without a graphics card costs more than making a live mask does.
PATIENCE = 500


class Footer(QWidget):
    """Starts and stops the work and says how it goes."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.segment_button = _button("Segment", "Find the classes in the plane in sight (Ctrl+Enter)")
        self.cancel_button = _button("Cancel", "Stop at the next tile or step; the mask before stays")
        self.back_button = _button("Back", "Back to the mask and classes before the last segmentation")
        self.forward_button = _button("Forward", "Forward to the mask and classes you came back from")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.bar.setAccessibleName("Progress")
        self.bar.setToolTip("How far the work has come")
        self.message = _label("Message")
        self.message.setToolTip("What happened last, and what to do next")
        self.hover = _label("Under the pointer")
        self.hover.setToolTip("Class under the pointer, how sure it is, and what came second")
        buttons = QHBoxLayout()
        for button in (self.segment_button, self.cancel_button, self.back_button, self.forward_button):
            buttons.addWidget(button, 2 if button is self.segment_button else 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(3)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        layout.addWidget(self.hover)
        self._tone = "info"
        self._going_on: tuple[int, int, str] | None = None
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE)
        self._patience.timeout.connect(self._show_busy)
        self.segment_button.clicked.connect(lambda: session.segment())
        self.cancel_button.clicked.connect(session.cancel)
        self.back_button.clicked.connect(lambda: session.step())
        self.forward_button.clicked.connect(lambda: session.step(forward=True))
        session.busy_changed.connect(self._on_busy)
        session.progress.connect(self._on_progress)
        session.message.connect(self.say)
        session.hover_changed.connect(self.hover.setText)
        session.result_changed.connect(self._on_result)
        session.states_changed.connect(self._on_result)
        session.viewer.events.theme.connect(self._on_theme)
        session.viewer.events.mouse_over_canvas.connect(self._on_pointer)
        self._show_rest()
        self._on_result()

    def close_section(self) -> None:
        """Let go of the viewer's events."""
        self.session.viewer.events.theme.disconnect(self._on_theme)
        self.session.viewer.events.mouse_over_canvas.disconnect(self._on_pointer)

    def say(self, text: str, tone: str = "info") -> None:
        """Show one sentence."""
        self._tone, self._going_on = tone, None
        self.message.setText(text)
        self._on_theme()

    def _on_busy(self, busy: bool) -> None:
        if busy:
            self._patience.start()
        elif self._patience.isActive():
            self._patience.stop()
            self._going_on = None
        else:
            self._show_rest()

    def _on_progress(self, done: int, total: int, description: str) -> None:
        self._going_on = (done, total, description)
        if not self._patience.isActive():
            self._show_progress()

    def _show_busy(self) -> None:
        self.cancel_button.setEnabled(True)
        self.bar.setRange(0, 0)
        self._show_progress()

    def _show_rest(self) -> None:
        """Nothing is going on. The bar is kept in the layout, so that nothing jumps."""
        self.cancel_button.setEnabled(False)
        self.bar.setRange(0, 1)
        self.bar.setValue(0)

    def _show_progress(self) -> None:
        if self._going_on is not None:
            done, total, description = self._going_on
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            self.say(description[:1].upper() + description[1:] + " …")

    def _on_result(self) -> None:
        result = self.session.result
        self.back_button.setEnabled(result is not None and result.history.can_go_back)
        self.forward_button.setEnabled(result is not None and result.history.can_go_forward)

    def _on_pointer(self, event: object = None) -> None:
        if not self.session.viewer.mouse_over_canvas:
            self.hover.clear()

    def _on_theme(self, event: object = None) -> None:
        role = {"info": "text", "warning": "warning", "error": "error"}[self._tone]
        self.message.setStyleSheet(f"QLabel {{ color: {colour(self.session.viewer, role).name()}; }}")


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(text)
    button.setToolTip(tip)
    button.setMinimumWidth(50)
    return button


def _label(name: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setAccessibleName(name)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.setMinimumHeight(label.fontMetrics().height() + 2)
    return label
