"""The few kinds of control that sections are made of, each with its name and its tip."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget


def push_button(text: str, tip: str, *, checkable: bool = False) -> QPushButton:
    """A button that may become as narrow as the dock asks."""
    button = QPushButton(text)
    button.setAccessibleName(text.rstrip(" …"))
    button.setToolTip(tip)
    button.setMinimumWidth(50)
    button.setCheckable(checkable)
    return button


def wrapped_label(name: str) -> QLabel:
    """A text of as many lines as it needs; `name` is what a screen reader says."""
    label = QLabel()
    label.setWordWrap(True)
    label.setAccessibleName(name)
    return label


def row_of(*widgets: QWidget) -> QHBoxLayout:
    """Widgets of equal width side by side."""
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1)
    return row
