"""Two folders, one with images and one for labels, and the button that begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QLineEdit, QWidget

from napari_promptseg.gui.controls import push_button


class FolderForm(QWidget):
    """Asks which files to segment, and where their labels go.

    Signals
    -------
    changed
        Another folder was typed or chosen.
    asked : (Path, Path)
        The button was pressed: folder of images, folder for labels.
    """

    changed = Signal()
    asked = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self.folder_edit = _path("Folder of images", "Folder with images")
        self.out_edit = _path("Folder for labels", "labels, in the same folder")
        self.start_button = push_button(
            "Segment folder", "Segment the files in the background; Cancel stops between them"
        )
        form = QGridLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setColumnStretch(1, 1)
        for row, (name, edit) in enumerate((("Images", self.folder_edit), ("Labels", self.out_edit))):
            choose = push_button("Choose …", f"Choose the folder: {name.lower()}")
            choose.clicked.connect(self._chooser(edit, name))
            form.addWidget(QLabel(name), row, 0)
            form.addWidget(edit, row, 1)
            form.addWidget(choose, row, 2)
        form.addWidget(self.start_button, 2, 0, 1, 3)
        self.folder_edit.textChanged.connect(self.changed)
        self.start_button.clicked.connect(lambda: self.asked.emit(self.folder, self.out_folder))

    @property
    def is_filled(self) -> bool:
        """Whether a folder of images is named."""
        return bool(self.folder_edit.text().strip())

    @property
    def folder(self) -> Path:
        """Where images are."""
        return Path(self.folder_edit.text().strip()).expanduser()

    @property
    def out_folder(self) -> Path:
        """Where label files go."""
        typed = self.out_edit.text().strip()
        return Path(typed).expanduser() if typed else self.folder / "labels"

    def _chooser(self, edit: QLineEdit, name: str) -> Callable[[], None]:
        def ask() -> None:
            dialog = QFileDialog(self, f"Folder: {name.lower()}", edit.text() or str(Path.home()))
            dialog.setFileMode(QFileDialog.FileMode.Directory)
            dialog.setOption(QFileDialog.Option.ShowDirsOnly)
            dialog.fileSelected.connect(edit.setText)
            show_dialog(dialog)

        return ask


def show_dialog(dialog: QFileDialog) -> None:
    """Ask without stopping the viewer."""
    dialog.finished.connect(dialog.deleteLater)
    dialog.setModal(False)
    dialog.show()


def _path(name: str, placeholder: str) -> QLineEdit:
    edit = QLineEdit()
    edit.setAccessibleName(name)
    edit.setPlaceholderText(placeholder)
    edit.setToolTip(name)
    return edit
