"""Words to choose from for one attribute, and a line for any other."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QMenu, QWidgetAction


class WordMenu(QMenu):
    """Offers words.

    Parameters
    ----------
    kind : str
        Which attribute.
    now : str
        The word that stands.

    Signals
    -------
    chosen : str
    """

    chosen = Signal(str)

    def __init__(self, kind: str, now: str = "") -> None:
        super().__init__(kind)
        self.kind, self.now = kind, now
        self.edit: QLineEdit | None = None
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Make the entries when they are first wanted: the cards together have hundreds."""
        if self.edit is not None:
            return
        from napari_promptseg.concepts.attribute_words import attribute_words

        self.edit = edit = QLineEdit()
        edit.setPlaceholderText("another word")
        edit.setAccessibleName(f"Another word for {self.kind}")
        edit.setToolTip("Any word, in any language; Enter takes it")
        edit.returnPressed.connect(self._take)
        own = QWidgetAction(self)
        own.setDefaultWidget(edit)
        self.addAction(own)
        for word in attribute_words(self.kind):
            action = self.addAction(word)
            action.setCheckable(True)
            action.setChecked(word == self.now)
            action.triggered.connect(lambda _, word=word: self.chosen.emit(word))

    def _take(self) -> None:
        word = " ".join(self.edit.text().split()) if self.edit is not None else ""
        self.close()
        if word:
            self.chosen.emit(word)
