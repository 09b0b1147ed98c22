"""A part of the dock that opens and closes, and remembers which it was."""

from __future__ import annotations

from qtpy.QtCore import QSettings, QSize, Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import arrow_icon, colour


def memory() -> QSettings:
    """Where the dock keeps its choices between sessions."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-promptseg", "dock")


class Section(QWidget):
    """A header that can be clicked, and a body.

    Subclasses give `title`, a key and whether they are open at first, and fill `body`, a `QVBoxLayout`.
    """

    title = ""
    key = ""
    open_at_first = True

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.header = QToolButton()
        self.header.setText(self.title)
        self.header.setCheckable(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        # a long summary is cut at its end, and does not make the whole dock wider than it can be seen
        self.header.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.header.setAutoRaise(True)
        self.header.setIconSize(QSize(12, 12))
        self.header.setAccessibleName(f"Section {self.title}")
        font = self.header.font()
        font.setBold(True)
        self.header.setFont(font)
        self.header.setStyleSheet("QToolButton { border: none; background: transparent; text-align: left; }")
        self._content = QWidget()
        self.body = QVBoxLayout(self._content)
        self.body.setContentsMargins(4, 0, 2, 4)
        self.body.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.header)
        layout.addWidget(self._content)
        self.header.toggled.connect(self._show)
        is_open = memory().value(f"open/{self.key}", self.open_at_first, type=bool)
        self.header.setChecked(is_open)
        self._show(is_open)
        self.header.toggled.connect(self._remember)
        session.viewer.events.theme.connect(self._on_theme)

    @property
    def is_open(self) -> bool:
        """Whether the body is shown."""
        return bool(self.header.isChecked())

    def set_summary(self, text: str) -> None:
        """A few words beside the title, shown while the section is closed."""
        self._summary = text
        self._name()

    _summary = ""

    def close_section(self) -> None:
        """Let go of the viewer's events."""
        self.session.viewer.events.theme.disconnect(self._on_theme)

    def on_theme(self) -> None:
        """Draw again what is drawn in the theme's colours."""

    def _name(self) -> None:
        shown = self._summary if self._summary and not self.is_open else ""
        self.header.setText(f"{self.title}:  {shown}" if shown else self.title)
        self.header.setToolTip(f"Open or close “{self.title}”" + (f": {shown}" if shown else ""))

    def _show(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.header.setIcon(arrow_icon(colour(self.session.viewer, "icon"), is_open=is_open))
        self._name()

    def _remember(self, is_open: bool) -> None:
        memory().setValue(f"open/{self.key}", is_open)

    def _on_theme(self, event: object = None) -> None:
        self._show(self.is_open)
        self.on_theme()
