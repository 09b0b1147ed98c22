"""Write the mask and its legend to files."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.session import Session
from napari_promptseg.images.writers import legend_path


class ExportSection(Section):
    """Saves the labels as TIFF or PNG with a JSON legend beside it."""

    title = "Save and export"
    key = "export"
    open_at_first = False

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.path_edit = QLineEdit()
        self.path_edit.setPlaceholderText("mask.tif")
        self.path_edit.setAccessibleName("File for the mask")
        self.path_edit.setToolTip(
            "Where the mask goes: .tif for any image, .png for one plane; a JSON legend is put beside it"
        )
        self.browse_button = QPushButton("Choose …")
        self.browse_button.setAccessibleName("Choose a file")
        self.browse_button.setToolTip("Choose where the mask goes")
        self.save_button = QPushButton("Save mask and legend")
        self.save_button.setAccessibleName("Save mask and legend")
        self.save_button.setToolTip("Write the label layer as it stands, your own edits included, and what made it")
        row = QHBoxLayout()
        row.addWidget(self.path_edit, 1)
        row.addWidget(self.browse_button)
        self.body.addLayout(row)
        self.body.addWidget(self.save_button)
        self._confirmed: set[Path] = set()
        self.browse_button.clicked.connect(self._browse)
        self.save_button.clicked.connect(self._save)
        session.result_changed.connect(self._on_result)
        self._on_result()

    def _on_result(self) -> None:
        self.save_button.setEnabled(self.session.result_layer is not None)
        layer = self.session.picture.layer
        if layer is not None and not self.path_edit.text():
            self.path_edit.setPlaceholderText(f"{layer.name}_classes.tif")

    def _browse(self) -> None:
        """Ask for a file without stopping the viewer; the dialog also asks before replacing one."""
        dialog = QFileDialog(self, "Save mask", self._wanted(), "TIFF (*.tif *.tiff);;PNG, one plane (*.png)")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("tif")
        dialog.setModal(False)
        dialog.fileSelected.connect(self._on_chosen)
        dialog.show()

    def _on_chosen(self, path: str) -> None:
        self.path_edit.setText(path)
        self._confirmed = {Path(path)}

    def _wanted(self) -> str:
        return self.path_edit.text().strip() or str(Path.home() / self.path_edit.placeholderText())

    def _save(self) -> None:
        """Save; files that are there already are replaced at the second press only."""
        path = Path(self._wanted()).expanduser()
        taken = {file for file in (path, legend_path(path)) if file.exists()}
        if not taken <= self._confirmed:
            self._confirmed = taken
            names = " and ".join(sorted(file.name for file in taken))
            there = "is there already" if len(taken) == 1 else "are there already"
            self.session.say(f"{names} {there}: press again to replace, or choose another name.", "warning")
            return
        self._confirmed = set()
        self.session.save(path, overwrite=bool(taken))
