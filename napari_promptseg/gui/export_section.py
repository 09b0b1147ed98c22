"""Write the mask and its legend to files, in a format that fits the image."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QGridLayout, QHBoxLayout, QLabel, QLineEdit

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import push_button
from napari_promptseg.gui.folder_form import show_dialog
from napari_promptseg.gui.saving import Origin, file_name, origin_of, save
from napari_promptseg.gui.session import Session
from napari_promptseg.images.label_formats import FORMATS, LabelFormat, format_of, legend_path

#: The entry of the list for labels inside the OME-Zarr image that they were made of, behind the formats of files.
INSIDE = "inside"

_INSIDE_TITLE = "OME-Zarr, in the image"


class ExportSection(Section):
    """Saves the labels, with a JSON legend beside or inside, in the formats that fit the image."""

    title = "Save and export"
    key = "export"
    open_at_first = False

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.format_box = QComboBox()
        self.format_box.setObjectName("export-format")
        self.format_box.setAccessibleName("Format of the mask")
        self.format_box.setMinimumWidth(60)
        for form in FORMATS.values():
            self.format_box.addItem(form.title, form.key)
        self.format_box.addItem(_INSIDE_TITLE, INSIDE)
        self.path_edit = QLineEdit()
        self.path_edit.setObjectName("export-path")
        self.path_edit.setPlaceholderText("mask.tif")
        self.path_edit.setAccessibleName("File for the mask")
        self.path_edit.setToolTip("Where the mask goes; its ending says in which format. A legend is put beside it")
        self.browse_button = push_button("Choose …", "Choose where the mask goes")
        self.browse_button.setObjectName("export-browse")
        self.save_button = push_button(
            "Save mask and legend", "Write the label layer as it stands, your own edits included, and what made it"
        )
        self.save_button.setObjectName("export-save")
        rows = QGridLayout()
        rows.setColumnStretch(1, 1)
        rows.addWidget(QLabel("Format"), 0, 0)
        rows.addWidget(self.format_box, 0, 1)
        rows.addWidget(QLabel("File"), 1, 0)
        where = QHBoxLayout()
        where.addWidget(self.path_edit, 1)
        where.addWidget(self.browse_button)
        rows.addLayout(where, 1, 1)
        self.body.addLayout(rows)
        self.body.addWidget(self.save_button)
        self._confirmed: set[Path] = set()
        self._chosen_for: object = None  # the image for which the person chose a format
        self.format_box.activated.connect(self._on_format)
        self.path_edit.textEdited.connect(self._on_path)
        self.browse_button.clicked.connect(self._browse)
        self.save_button.clicked.connect(self._save)
        session.result_changed.connect(self._on_result)
        session.picture.changed.connect(self._on_result)
        self._on_result()

    @property
    def origin(self) -> Origin | None:
        """What the mask in hand was made of; None where there is none."""
        result = self.session.result
        layer = None if result is None else result.standing
        return None if result is None or layer is None else origin_of(layer, result.view, result.image)

    def _on_result(self) -> None:
        """Offer what fits; a format that a person chose stays while it fits the same image."""
        origin = self.origin
        self.save_button.setEnabled(origin is not None)
        self._offer(origin)
        layer = self.session.picture.layer
        own = self._chosen_for is not None and self._chosen_for is layer and self._is_offered(self._key)
        if origin is not None and not own and not self.path_edit.text():
            self._show_key(origin.usual.key)
        self._name_file()

    def _offer(self, origin: Origin | None) -> None:
        """Grey out what does not fit, and say why."""
        for row in range(self.format_box.count()):
            key = self.format_box.itemData(row)
            reason, purpose = None, "labels beside the image's own arrays, where its viewers look for them"
            if key == INSIDE:
                if origin is not None and origin.image_group is None:
                    reason = "the image is not an OME-Zarr file"
            else:
                purpose = FORMATS[key].purpose
                reason = None if origin is None else origin.unfit(FORMATS[key])
            item = self.format_box.model().item(row)
            item.setEnabled(reason is None)
            tip = purpose if reason is None else f"Does not fit: {reason}"
            self.format_box.setItemData(row, f"{tip[0].upper()}{tip[1:]}", Qt.ItemDataRole.ToolTipRole)
        self._tell()

    def _tell(self) -> None:
        tip = self.format_box.itemData(self.format_box.currentIndex(), Qt.ItemDataRole.ToolTipRole)
        self.format_box.setToolTip(f"{tip}. What does not fit the image is grey")

    @property
    def _key(self) -> str:
        return str(self.format_box.currentData())

    @property
    def _form(self) -> LabelFormat:
        return FORMATS["ome-zarr" if self._key == INSIDE else self._key]

    def _is_offered(self, key: str) -> bool:
        return bool(self.format_box.model().item(self.format_box.findData(key)).isEnabled())

    def _show_key(self, key: str) -> None:
        self.format_box.setCurrentIndex(self.format_box.findData(key))
        self._tell()

    def _on_format(self) -> None:
        """The file is called as the format wants it."""
        self._chosen_for = self.session.picture.layer
        typed = self.path_edit.text().strip()
        origin = self.origin
        if self._key == INSIDE and origin is not None and origin.image_group is not None:
            name = Path(_without_ending(typed)).name if typed else "promptseg"
            self.path_edit.setText(str(origin.image_group / "labels" / name))
        elif typed:
            place = Path(typed)
            if place.parent.name == "labels" and format_of(place) is FORMATS["ome-zarr"] and not place.suffix:
                place = place.parent.parent.parent / place.name  # no longer inside the image
            self.path_edit.setText(f"{_without_ending(str(place))}{self._form.ending}")
        self._tell()
        self._name_file()

    def _on_path(self) -> None:
        """The format follows the ending that is typed, where it fits."""
        form = format_of(self.path_edit.text().strip())
        if form is not None and form is not self._form and self._is_offered(form.key):
            self._chosen_for = self.session.picture.layer
            self._show_key(form.key)

    def _name_file(self) -> None:
        layer = self.session.picture.layer
        name = "mask" if layer is None else f"{layer.name}_classes"
        self.path_edit.setPlaceholderText(file_name(name) + self._form.ending)

    def _browse(self) -> None:
        """Ask for a file without stopping the viewer; the dialog also asks before replacing one."""
        fitting = [FORMATS[key] for key in FORMATS if self._is_offered(key) and FORMATS[key].endings]
        filters = {form.key: f"{form.title} ({' '.join(f'*{e}' for e in form.endings)})" for form in fitting}
        dialog = QFileDialog(self, "Save mask", str(self._wanted()), ";;".join(filters.values()))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        if self._key in filters:
            dialog.selectNameFilter(filters[self._key])
        dialog.setDefaultSuffix(self._form.ending.lstrip("."))

        endings = [self._form.ending]

        def follow(title: str) -> None:
            """The name's ending is that of the format that is chosen in the dialog."""
            form = next(FORMATS[key] for key, shown in filters.items() if shown == title)
            typed = Path(dialog.selectedFiles()[0]).name
            new, old = (f".{ending.rpartition('.')[2]}" for ending in (form.ending, endings[-1]))
            if typed.endswith(new):  # Qt has put it where only the last part of the old one was
                bare = typed.removesuffix(new)
                typed = bare if _without_ending(bare + old) == bare + old else bare + old
            endings.append(form.ending)
            dialog.setDefaultSuffix(form.ending.lstrip("."))
            dialog.selectFile(f"{_without_ending(typed)}{form.ending}")

        dialog.filterSelected.connect(follow)
        dialog.fileSelected.connect(self._on_chosen)
        show_dialog(dialog)

    def _on_chosen(self, path: str) -> None:
        self.path_edit.setText(path)
        self._on_path()
        self._confirmed = {Path(path)}

    def _wanted(self) -> Path:
        return Path(self.path_edit.text().strip() or Path.home() / self.path_edit.placeholderText()).expanduser()

    def _save(self) -> None:
        """Save; files that are there already are replaced at the second press only."""
        path = self._wanted()
        form = format_of(path)
        if form is None:
            form = self._form
            path = path.with_name(f"{path.name}{form.ending}")
        taken = {file for file in (path, legend_path(path, form)) if file.exists()}
        if not taken <= self._confirmed:
            self._confirmed = taken
            names = " and ".join(sorted(file.name for file in taken))
            there = "is there already" if len(taken) == 1 else "are there already"
            self.session.say(f"{names} {there}: press again to replace, or choose another name.", "warning")
            return
        self._confirmed = set()
        save(self.session, path, overwrite=bool(taken), form=form.key)


def _without_ending(path: str) -> str:
    """A path without the ending of a format of labels."""
    form = format_of(path)
    endings = () if form is None else sorted(form.endings, key=len, reverse=True)
    ending = next((e for e in endings if path.lower().endswith(e)), "")
    return path[: len(path) - len(ending)]
