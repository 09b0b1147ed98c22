"""The sizes of the classes of a volume in a table, for the clipboard or a file, and as surfaces."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFileDialog,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_promptseg.gui.controls import push_button, row_of, wrapped_label
from napari_promptseg.gui.folder_form import show_dialog
from napari_promptseg.gui.saving import file_name
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import swatch_icon
from napari_promptseg.gui.volume_measures import planes_of

#: Rows in sight; with more classes the table is scrolled.
_MOST_ROWS = 8

#: What the columns are.
_TITLES = (
    "Class",
    "Size of the whole",
    "Area of the largest section across the axis that was in sight",
    "From the first plane with the class to the last",
    "Mean of the image's own values, Hounsfield units for a CT",
)


class TablePanel(QWidget):
    """Measures when asked, and shows the rows until another image is in hand."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.table = QTreeWidget()
        self.table.setObjectName("volume-table")
        self.table.setAccessibleName("Sizes of the classes")
        self.table.setToolTip("Size, planes and mean intensity of each class in the whole volume, as last measured")
        self.table.setRootIsDecorated(False)
        self.table.setUniformRowHeights(True)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        header = self.table.header()
        if header is not None:
            header.setStretchLastSection(False)
            self.table.setColumnCount(5)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            for column, width in ((1, 62), (2, 62), (3, 50), (4, 54)):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
                header.resizeSection(column, width)
        self.outdated = wrapped_label("Whether the table is out of date")
        self.outdated.setObjectName("volume-outdated")
        self.outdated.setText("Labels have changed since: press Measure again.")
        self.outdated.setToolTip("Figures of the labels as they were when they were last measured")
        self.measure_button = push_button("Measure", "Measure all classes in the whole volume")
        self.measure_button.setObjectName("volume-measure")
        self.copy_button = push_button("Copy", "Copy the table, for a spreadsheet")
        self.copy_button.setObjectName("volume-copy")
        self.save_button = push_button("Save CSV …", "Save the table as a CSV file, with areas and deviations")
        self.save_button.setObjectName("volume-save")
        self.surface_button = push_button(
            "Show surfaces", "Make a surface of every visible class, in its colour; press again after changes"
        )
        self.surface_button.setObjectName("volume-surfaces")
        self.clear_button = push_button("Remove surfaces", "Take the surfaces out of the layer list")
        self.clear_button.setObjectName("volume-clear")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addWidget(self.outdated)
        layout.addLayout(row_of(self.measure_button, self.copy_button, self.save_button))
        layout.addLayout(row_of(self.surface_button, self.clear_button))
        volume = session.volume
        self.measure_button.clicked.connect(lambda: volume.measures.measure())
        self.copy_button.clicked.connect(self._copy)
        self.save_button.clicked.connect(self._browse)
        self.surface_button.clicked.connect(lambda: volume.surfaces.show())
        self.clear_button.clicked.connect(lambda: volume.surfaces.remove())
        volume.measures.measured.connect(self.refresh)
        volume.surfaces.changed.connect(self.refresh)
        session.result_changed.connect(self.refresh)
        session.image_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the rows and what can be done."""
        measures = self.session.volume.measures
        rows = measures.rows
        colours = {c.value: c.colour for c in self.session.prompts.classes}
        in_ml = any(r.millilitres is not None for r in rows)
        area = f"{rows[0].unit}²" if in_ml else "px²"
        self.table.setHeaderLabels(["Class", "mL" if in_ml or not rows else "Voxels", area, "Planes", "Mean"])
        for column, text in enumerate(_TITLES):
            self.table.headerItem().setToolTip(column, text)
        self.table.clear()
        for r in rows:
            size = str(r.voxels) if r.millilitres is None else _figures(r.millilitres)
            mean = "–" if r.mean is None else _figures(r.mean)
            item = QTreeWidgetItem([r.name, size, _figures(r.largest_area), str(planes_of(r)), mean])
            item.setIcon(0, swatch_icon(colours.get(r.value, "#808080")))
            unit = r.unit if r.millilitres is not None else "pixel"
            where = f", largest section {_figures(r.largest_area)} {unit}² at plane {(r.largest_plane or 0) + 1}"
            tip = f"{r.name}: {r.voxels} voxels" + (where if r.voxels else "")
            for column in range(5):
                item.setToolTip(column, tip)
                if column:
                    item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.addTopLevelItem(item)
        self.table.setVisible(bool(rows))
        self.outdated.setVisible(bool(rows) and measures.is_outdated)
        height = self.table.sizeHintForRow(0) if rows else 0
        header = self.table.header()
        above = header.sizeHint().height() if header is not None else 0
        self.table.setFixedHeight(min(len(rows), _MOST_ROWS) * max(height, 1) + above + 4)
        self.measure_button.setEnabled(measures.can_start)
        self.surface_button.setEnabled(measures.can_start)
        for button in (self.copy_button, self.save_button):
            button.setEnabled(bool(rows))
        self.clear_button.setEnabled(bool(self.session.volume.surfaces.standing))

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.session.volume.measures.text())
            self.session.say("Copied the table.")

    def _browse(self) -> None:
        """Ask for a file without stopping the viewer; the dialog also asks before replacing one."""
        layer = self.session.picture.layer
        name = f"{layer.name if layer is not None else 'volume'}_volumes.csv"
        dialog = QFileDialog(self, "Save table", str(Path.home() / file_name(name)), "CSV (*.csv)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("csv")
        dialog.fileSelected.connect(lambda path: self.session.volume.measures.save(Path(path), overwrite=True))
        show_dialog(dialog)


def _figures(value: float) -> str:
    """As many figures as are read at a glance, without an exponent."""
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
