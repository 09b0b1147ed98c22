"""Prompts to and from files, and on to more pictures: the last rows of “Correct and learn”."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_promptseg.gui.apply_prompts import ApplyPrompts
from napari_promptseg.gui.carrying import Carrying
from napari_promptseg.gui.controls import push_button, row_of, wrapped_label
from napari_promptseg.gui.folder_form import FolderForm, show_dialog
from napari_promptseg.gui.prompt_files import PromptFiles
from napari_promptseg.gui.session import Session

_FILTER = "Prompts (*.promptseg)"


class CarryPanel(QWidget):
    """Save, load, and apply to all planes, all open images, or a folder."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.carrying = Carrying(session)
        self.files = PromptFiles(session, self.carrying)
        self.apply = ApplyPrompts(session, self.carrying)
        self.strokes_box = QCheckBox("Carry what strokes taught")
        self.strokes_box.setAccessibleName("Carry what strokes taught")
        self.strokes_box.setToolTip(
            "Files and other pictures get what the strokes of this picture taught, beside names and tuned prompts. It "
            "often fits this picture alone, so it is ticked by itself only where the model does not know a name"
        )
        self.what = wrapped_label("What goes along")
        self.save_button = push_button("Save prompts …", "Write classes and what they learned to a .promptseg file")
        self.load_button = push_button(
            "Load prompts …", "Take classes and what they learned from a .promptseg file; Back brings these again"
        )
        self.planes_button = push_button(
            "All planes", "Segment every plane of this image with the classes as they are now"
        )
        self.images_button = push_button(
            "All images", "Segment the plane in sight of every open image layer with the classes as they are now"
        )
        self.folder_button = push_button(
            "Folder …", "Segment all image files of a folder into label files of another", checkable=True
        )
        self.form = FolderForm()
        self.folder_report = wrapped_label("Report of the folder")
        self._lay_out()
        self._connect()
        self.form.hide()
        self.folder_report.hide()
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now."""
        session, carrying = self.session, self.carrying
        named = bool(len(session.prompts))
        with QSignalBlocker(self.strokes_box):
            self.strokes_box.setChecked(carrying.is_on)
        self.what.setText(carrying.sentence)
        self.strokes_box.setVisible(carrying.can_be_on)
        self.what.setVisible(carrying.is_on)
        self.save_button.setEnabled(named)
        self.images_button.setEnabled(named and session.picture.layer is not None)
        strokes = session.corrector.strokes
        several = strokes is not None and len(strokes.shape) > 2 and max(strokes.shape[:-2]) > 1
        self.planes_button.setVisible(several)
        self.planes_button.setEnabled(named)
        self.form.start_button.setEnabled(named and self.form.is_filled and not self.apply.is_in_folder)
        self.folder_report.setText(self.apply.folder_report)
        self.folder_report.setVisible(bool(self.apply.folder_report) and self.folder_button.isChecked())

    def _lay_out(self) -> None:
        onto = QHBoxLayout()
        title = QLabel("Apply to")
        title.setToolTip("Use the classes, and what they learned, on more pictures")
        onto.addWidget(title)
        for button in (self.planes_button, self.images_button, self.folder_button):
            onto.addWidget(button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.strokes_box)
        layout.addWidget(self.what)
        layout.addLayout(row_of(self.save_button, self.load_button))
        layout.addLayout(onto)
        layout.addWidget(self.form)
        layout.addWidget(self.folder_report)

    def _connect(self) -> None:
        session, apply = self.session, self.apply
        self.save_button.clicked.connect(self._ask_where)
        self.load_button.clicked.connect(self._ask_which)
        self.planes_button.clicked.connect(lambda: apply.to_layers(apply.planes()))
        self.images_button.clicked.connect(lambda: apply.to_layers(apply.images()))
        self.folder_button.toggled.connect(self.form.setVisible)
        self.folder_button.toggled.connect(self.refresh)
        self.form.changed.connect(self.refresh)
        self.form.asked.connect(apply.to_folder)
        apply.changed.connect(self.refresh)
        self.carrying.changed.connect(self.refresh)
        self.strokes_box.toggled.connect(self.carrying.choose)
        session.image_changed.connect(self.refresh)

    def _ask_where(self) -> None:
        dialog = QFileDialog(self, "Save prompts", "prompts.promptseg", _FILTER)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("promptseg")
        dialog.fileSelected.connect(lambda name: self.files.save(Path(name)))
        show_dialog(dialog)

    def _ask_which(self) -> None:
        dialog = QFileDialog(self, "Load prompts", "", _FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda name: self.files.load(Path(name)))
        show_dialog(dialog)
