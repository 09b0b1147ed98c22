"""The few kinds of control that sections are made of, each with its name and its tip."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget


def push_button(text: str, tip: str, *, checkable: bool = False) -> QPushButton:
    """A button that may become as narrow as the dock asks."""
    button = QPushButton(text)
    button.setAccessibleName(text.rstrip(" …"))
    button.setToolTip(tip)
    button.setMinimumWidth(50)
    button.setCheckable(checkable)
    return button


def check_box(text: str, tip: str, name: str) -> QCheckBox:
    """A box to tick; `name` is its object's."""
    box = QCheckBox(text)
    box.setObjectName(name)
    box.setAccessibleName(text)
    box.setToolTip(tip)
    return box


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


def narrow_box(name: str, tip: str, items: dict[str, Any] | None = None) -> QComboBox:
    """A combo box with an accessible name and a tooltip, that may become narrow."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setToolTip(tip)
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    for title, data in (items or {}).items():
        box.addItem(title, data)
    return box
