"""One word of a concept: a click switches it off or on, the arrow offers other words."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QMenu, QSizePolicy, QToolButton

from napari_promptseg.concepts.concept import Attribute
from napari_promptseg.gui.theme import colour
from napari_promptseg.gui.word_menu import WordMenu


class WordChip(QToolButton):
    """An attribute of a concept.

    Signals
    -------
    switched : bool
    chosen : str
    """

    switched = Signal(bool)
    chosen = Signal(str)

    def __init__(self, viewer: Any, attribute: Attribute) -> None:
        super().__init__()
        self.attribute = attribute
        said = attribute.source or ("measured" if attribute.measured else "your word")
        sure = f"{attribute.confidence:.0%}"
        own = not attribute.measured and not attribute.source
        self.setText(attribute.word if own else f"{attribute.word}  {sure}")
        self.setCheckable(True)
        self.setChecked(attribute.enabled)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        font = self.font()
        font.setStrikeOut(not attribute.enabled)
        self.setFont(font)
        state = "in the sentence" if attribute.enabled else "left out"
        self.setAccessibleName(f"{attribute.kind}: {attribute.word}, {state}")
        figures = ", ".join(f"{x:.3g}" for x in attribute.measured)
        self.setToolTip(
            f"{attribute.kind.capitalize()}: {attribute.word} ({said}, {sure}), {state}.\n"
            + (f"{figures} ({attribute.unit})\n" if figures else "")
            + "Click to switch it; the arrow offers other words"
        )
        self.words = WordMenu(attribute.kind, attribute.word)
        self.words.chosen.connect(self.chosen)
        self.setMenu(self.words)
        self.setStyleSheet(chip_style(viewer, on=attribute.enabled))
        self.clicked.connect(self.switched)


class AddWord(QToolButton):
    """Offers the attributes that have no word yet.

    Signals
    -------
    chosen : str, str
        Attribute and word.
    """

    chosen = Signal(str, str)

    def __init__(self, viewer: Any, reasons: dict[str, str]) -> None:
        super().__init__()
        self.setText("+ word")
        self.setAccessibleName("Add a word")
        self.setToolTip("Say what was left out")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setStyleSheet(chip_style(viewer, on=False))
        self.kinds = QMenu(self)
        self.kinds.setToolTipsVisible(True)
        self.menus: dict[str, WordMenu] = {}
        for kind, reason in reasons.items():
            menu = self.menus[kind] = WordMenu(kind)
            menu.chosen.connect(lambda word, kind=kind: self.chosen.emit(kind, word))
            entry = self.kinds.addMenu(menu)
            entry.setToolTip(reason)
        self.setMenu(self.kinds)


def chip_style(viewer: Any, *, on: bool) -> str:
    """Style sheet of a chip in the viewer's theme: filled where it counts, an outline where not."""
    text, ground, line = (colour(viewer, role) for role in ("text", "primary", "secondary"))
    if not on:
        text.setAlpha(150)
    ink = f"rgba({text.red()}, {text.green()}, {text.blue()}, {text.alpha()})"
    fill = ground.name() if on else "transparent"
    return (
        f"QToolButton {{ color: {ink}; background: {fill}; border: 1px solid {line.name()};"
        " border-radius: 8px; padding: 1px 6px; }"
        " QToolButton::menu-button { border: none; background: transparent; width: 12px; }"
        " QToolButton[popupMode='1'] { padding-right: 5px; }"
        f" QToolButton:hover {{ border-color: {colour(viewer, 'text').name()}; }}"
        f" QToolButton:focus {{ border-color: {colour(viewer, 'current').name()}; }}"
        " QToolButton::menu-indicator { image: none; }"
    )
