"""The list of strokes: class, plane and size of each."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem

from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import swatch_icon
from napari_promptseg.gui.volume_index import title_of

_ID = Qt.ItemDataRole.UserRole

#: Newest strokes that are listed; all of them count.
SHOWN = 500

#: Rows in sight; with more strokes the list is scrolled.
_LEAST_ROWS, _MOST_ROWS = 2, 7


class StrokeList(QTreeWidget):
    """Shows the strokes of the image in hand, the newest first; Delete removes those selected."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.setColumnCount(4)
        self.setHeaderLabels(["Class", "How", "Plane", "Pixels"])
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setAccessibleName("Strokes")
        self.setToolTip("What you corrected, the newest first; Delete removes the selected strokes")
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            header.setMinimumSectionSize(30)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            for column, width in ((1, 64), (2, 52), (3, 62)):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
                header.resizeSection(column, width)
        self.refresh()

    @property
    def chosen(self) -> list[str]:
        """Ids of the selected strokes."""
        return [item.data(0, _ID) for item in self.selectedItems()]

    def refresh(self) -> None:
        """Show the strokes as they are."""
        corrector = self.session.corrector
        colours = {c.value: c.colour for c in self.session.prompts.classes}
        chosen = set(self.chosen)
        with QSignalBlocker(self):
            self.clear()
            for stroke in corrector.corrections.strokes[: -SHOWN - 1 : -1]:
                plane = title_of(corrector.plane_index(stroke.plane)) or "–"
                item = QTreeWidgetItem([corrector.name(stroke.value), stroke.kind, plane, str(stroke.size)])
                item.setData(0, _ID, stroke.id)
                item.setIcon(0, swatch_icon(colours.get(stroke.value, "#808080")))
                for column in (2, 3):
                    item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.addTopLevelItem(item)
                item.setSelected(stroke.id in chosen)
        strokes = corrector.strokes
        self.setColumnHidden(2, strokes is None or len(strokes.shape) < 3)
        rows = min(max(self.topLevelItemCount(), _LEAST_ROWS), _MOST_ROWS)
        height = self.sizeHintForRow(0) if self.topLevelItemCount() else self.fontMetrics().height()
        header = self.header()
        self.setFixedHeight(rows * max(height, 1) + (header.sizeHint().height() if header is not None else 0) + 3)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Delete removes the selected strokes."""
        if event is not None and event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and self.chosen:
            self.session.corrector.delete(self.chosen)
            return
        super().keyPressEvent(event)
