"""The table of classes: one row each, edited in place."""

from __future__ import annotations

from typing import Any, TypeAlias

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSize, Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QColorDialog,
    QDoubleSpinBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import colour, cross_icon, eye_icon, swatch_icon
from napari_promptseg.prompts.prompt_set import ClassPrompt

COLOUR, NAME, KNOWN, SHARE, THRESHOLD, EYE, REMOVE = range(7)
_TITLES = ("", "Class", "Model", "Area", "From", "", "")
_TIPS = (
    "Colour: click to change it",
    "Name, and synonyms after a |. Double-click to edit",
    "Whether the model knows the word",
    "Share of the plane that carries the class",
    "Threshold: least probability, from 0 to 1. Double-click to edit",
    "Shown or hidden: a hidden class still competes for pixels",
    "Remove the class",
)
_WIDTHS = (26, 0, 72, 48, 42, 26, 24)

_Index: TypeAlias = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole


def advice(name: str, level: str, nearest: tuple[str, ...]) -> str:
    """What a badge means for this name, and what to do."""
    near = ", ".join(nearest[:3])
    if level == "known":
        return f"The model learned “{name}”" + (f" (nearest: {near})." if near else ".")
    if level == "not judged":
        return f"Nobody measured whether this model knows “{name}”: look at the mask, and try a synonym beside it."
    if level == "related":
        return f"The model learned words near “{name}”: {near}. Check the mask; a synonym may help."
    return (
        f"The model does not know “{name}”"
        + (f" (nearest: {near})" if near else "")
        + ": give a synonym after a |, correct by hand, or choose another model."
    )


class ClassModel(QAbstractTableModel):
    """The session's classes as Qt asks for them."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.session = session
        self._count = 0
        session.prompts_changed.connect(self._on_prompts)
        session.result_changed.connect(self._on_values)
        session.familiarity_changed.connect(self._on_values)
        session.viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._on_prompts()

    def close(self) -> None:
        """Let go of the viewer."""
        self.session.viewer.events.theme.disconnect(self._on_theme)

    def row(self, index: _Index) -> ClassPrompt:
        """The class of a row."""
        return self.session.prompts.classes[index.row()]

    def rowCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008  (Qt's name and signature)
        """Classes."""
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: _Index = QModelIndex()) -> int:  # noqa: B008  (Qt's name and signature)
        """Columns."""
        return len(_TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole) -> Any:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal:
            if role == _Role.DisplayRole:
                return _TITLES[section]
            if role == _Role.ToolTipRole:
                return _TIPS[section]
        return None

    def flags(self, index: _Index) -> Qt.ItemFlag:
        """Names and thresholds can be edited."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() in (NAME, THRESHOLD) else flags

    def data(self, index: _Index, role: int = _Role.DisplayRole) -> Any:
        """What a cell shows."""
        if index.row() >= len(self.session.prompts.classes):
            return None
        c, column = self.row(index), index.column()
        level, nearest = self.session.known.get(c.name, ("", ()))
        if role in (_Role.DisplayRole, _Role.EditRole):
            share = self.session.shares.get(c.value)
            if role == _Role.EditRole and column == THRESHOLD:
                return c.threshold
            return {
                NAME: c.label,
                KNOWN: level or "…",
                SHARE: "" if share is None else f"{share * 100:.1f} %",
                THRESHOLD: f"{c.threshold:.2f}",
            }.get(column)
        if role == _Role.DecorationRole:
            return {COLOUR: swatch_icon(c.colour), EYE: self._eyes[c.visible], REMOVE: self._cross}.get(column)
        if role == _Role.TextAlignmentRole and column in (SHARE, THRESHOLD):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == _Role.ForegroundRole and column == KNOWN and level:
            return QBrush(self._inks[level])
        if role == _Role.ToolTipRole:
            if column == KNOWN:
                return advice(c.name, level, nearest) if level else "Judged as soon as the model is loaded"
            return f"{c.label}\n{_TIPS[column]}" if column == NAME else _TIPS[column]
        if role == _Role.AccessibleTextRole:
            return {
                COLOUR: f"Colour of {c.name}: {c.colour}",
                EYE: f"{c.name} is {'shown' if c.visible else 'hidden'}",
                REMOVE: f"Remove {c.name}",
            }.get(column)
        return None

    def setData(self, index: _Index, value: Any, role: int = _Role.EditRole) -> bool:
        """An edit in place."""
        if role != _Role.EditRole:
            return False
        c = self.row(index)
        if index.column() == NAME:
            return value == c.label or self.session.rename(c.value, str(value))
        return index.column() == THRESHOLD and self.session.set_threshold(c.value, float(value))

    def _on_prompts(self) -> None:
        count = len(self.session.prompts)
        if count != self._count:
            self.beginResetModel()
            self._count = count
            self.endResetModel()
        self._on_values()

    def _on_values(self) -> None:
        if self._count:
            self.dataChanged.emit(self.index(0, 0), self.index(self._count - 1, len(_TITLES) - 1))

    def _on_theme(self, event: object = None) -> None:
        viewer = self.session.viewer
        ink = colour(viewer, "icon")
        self._eyes = {True: eye_icon(ink, is_open=True), False: eye_icon(ink, is_open=False)}
        self._cross = cross_icon(ink)
        self._inks: dict[str, QColor] = {
            "known": colour(viewer, "text"),
            "not judged": colour(viewer, "secondary"),
            "related": colour(viewer, "warning"),
            "unknown": colour(viewer, "error"),
        }
        self._on_values()


class _Threshold(QStyledItemDelegate):
    """Edits a probability."""

    def createEditor(self, parent: QWidget | None, option: QStyleOptionViewItem, index: _Index) -> QWidget:
        box = QDoubleSpinBox(parent)
        box.setRange(0.0, 1.0)
        box.setSingleStep(0.05)
        box.setDecimals(2)
        box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        box.setAccessibleName("Threshold")
        return box


class ClassTable(QTableView):
    """Shows and edits the classes; as high as its rows, up to eight of them."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.classes = ClassModel(session, self)
        self.setModel(self.classes)
        self.setAccessibleName("Classes")
        self.setItemDelegateForColumn(THRESHOLD, _Threshold(self))
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QTableView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setEditTriggers(QTableView.EditTrigger.DoubleClicked | QTableView.EditTrigger.EditKeyPressed)
        self.setIconSize(QSize(16, 16))
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(26)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setHighlightSections(False)
        for column, width in enumerate(_WIDTHS):
            stretch = width == 0
            header.setSectionResizeMode(
                column, QHeaderView.ResizeMode.Stretch if stretch else QHeaderView.ResizeMode.Fixed
            )
            if not stretch:
                self.setColumnWidth(column, width)
        self.clicked.connect(self._on_clicked)
        self.classes.modelReset.connect(self._fit)
        self._fit()

    def keyPressEvent(self, event: Any) -> None:
        """Space or Enter does what a click does; Delete removes the class."""
        index = self.currentIndex()
        if index.isValid() and event.key() == Qt.Key.Key_Delete:
            self.session.remove_class(self.classes.row(index).value)
        elif (
            index.isValid()
            and not event.modifiers()
            and index.column() in (COLOUR, EYE, REMOVE)
            and event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
        ):
            self._on_clicked(index)
        else:
            super().keyPressEvent(event)

    def _on_clicked(self, index: QModelIndex) -> None:
        c, column = self.classes.row(index), index.column()
        if column == EYE:
            self.session.set_look(c.value, visible=not c.visible)
        elif column == REMOVE:
            self.session.remove_class(c.value)
        elif column == COLOUR:
            self._choose_colour(c)

    def _choose_colour(self, c: ClassPrompt) -> None:
        """Let the user choose while the viewer stays usable."""
        dialog = QColorDialog(QColor(c.colour), self)
        dialog.setWindowTitle(f"Colour of {c.name}")
        dialog.setModal(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.colorSelected.connect(lambda new: self.session.set_look(c.value, colour=new.name()))
        dialog.show()

    def _fit(self) -> None:
        rows = min(max(self.classes.rowCount(), 1), 8)
        self.setFixedHeight(rows * 26 + self.horizontalHeader().sizeHint().height() + 4)
        self.setVisible(self.classes.rowCount() > 0)
