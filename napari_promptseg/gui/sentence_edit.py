"""A sentence that reads like text and can be edited: as high as its lines."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QTextOption
from qtpy.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

from napari_promptseg.gui.theme import colour

#: Lines in sight at most; a longer text is scrolled.
_MOST_LINES = 6


class SentenceEdit(QPlainTextEdit):
    """One sentence.

    Signals
    -------
    edited : str
        Enter was pressed or the box left with another text in it.
    """

    edited = Signal(str)

    def __init__(self, viewer: Any, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._shown = ""
        self.setAccessibleName(name)
        self.setToolTip("What was seen, in words. Click to write it in your own; Enter takes it, Esc leaves it")
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setTabChangesFocus(True)
        self.document().setDocumentMargin(2)
        self.textChanged.connect(self._fit)
        self.on_theme()

    def show_text(self, text: str) -> None:
        """Show a sentence, unless the user is writing."""
        if not self.hasFocus() or self.toPlainText() == self._shown:
            with QSignalBlocker(self):
                self.setPlainText(text)
        self._shown = text
        self._fit()

    def on_theme(self) -> None:
        """Take the theme's colours: no box until the pointer or the keyboard is in it."""
        ink, line = colour(self.viewer, "text").name(), colour(self.viewer, "secondary").name()
        self.setStyleSheet(
            f"QPlainTextEdit {{ color: {ink}; background: transparent; border: 1px solid transparent; padding: 0; }}"
            f" QPlainTextEdit:hover, QPlainTextEdit:focus {{ border-color: {line}; }}"
        )

    def sizeHint(self) -> QSize:
        """Narrow: the layout gives it what there is."""
        return QSize(120, self.height())

    def minimumSizeHint(self) -> QSize:
        """As `sizeHint`."""
        return QSize(60, self.height())

    def resizeEvent(self, event: Any) -> None:
        """Other lines fit into another width."""
        super().resizeEvent(event)
        self._fit()

    def keyPressEvent(self, event: Any) -> None:
        """Enter takes the text, Esc brings back the one before."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers():
            self._take()
        elif event.key() == Qt.Key.Key_Escape:
            self.setPlainText(self._shown)
        else:
            super().keyPressEvent(event)

    def focusOutEvent(self, event: Any) -> None:
        """Leaving takes the text."""
        super().focusOutEvent(event)
        self._take()

    def _take(self) -> None:
        text = " ".join(self.toPlainText().split())
        if text != self._shown:
            self._shown = text
            self.edited.emit(text)

    def _fit(self) -> None:
        # a plain text document counts its height in lines
        lines = max(1, min(_MOST_LINES, round(self.document().size().height())))
        height = lines * self.fontMetrics().lineSpacing() + 8
        if height != self.height() or self.minimumHeight() != height:
            self.setFixedHeight(height)
