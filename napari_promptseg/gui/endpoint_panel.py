"""“Ask a larger model”: off until the user types an address, sees what would go there, and allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_promptseg.concepts.multimodal.address import PLACES
from napari_promptseg.concepts.multimodal.disclosure import Consents
from napari_promptseg.errors import PromptSegError
from napari_promptseg.gui import endpoint_work
from napari_promptseg.gui.collapsible import memory
from napari_promptseg.gui.controls import push_button, row_of, wrapped_label
from napari_promptseg.gui.endpoint_work import RegionOwner, Shown
from napari_promptseg.gui.pixmaps import fitted_pixmap
from napari_promptseg.gui.theme import arrow_icon, colour
from napari_promptseg.gui.work import Job, Workbench

if TYPE_CHECKING:
    from napari_promptseg.concepts.multimodal.filling import Asked
    from napari_promptseg.concepts.multimodal.teller import Teller

_TITLE = "Ask a larger model"
#: Side of the picture of the crop in the window's pixels.
_SIDE = 64


class EndpointPanel(QWidget):
    """Fills a region's words and names by a model behind an address, or in a folder.

    Parameters
    ----------
    viewer : napari.Viewer
        For the theme's colours.
    owner : RegionOwner
        Has the region in hand and takes the answer; tells the panel by `refresh` that another one is in hand.
    parent : QWidget, optional
    """

    def __init__(self, viewer: Any, owner: RegionOwner, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._owner = viewer, owner
        self.consents = Consents()
        # of its own: a slow answer must not keep masks waiting
        self.workbench = Workbench(self)
        self._teller: Teller | None = None
        self._made_of: tuple[str, str] | None = None
        self._shown: Shown | None = None
        self._asking = False
        self._make_controls()
        self._lay_out()
        self._connect()
        self._open(False)
        self.on_theme()

    # ---- for whoever shows the panel

    def refresh(self) -> None:
        """Show what would be sent now: another region is in hand, or the settings changed."""
        if self._shown is not None and self._is_current(self._shown):
            return
        self._shown = None
        if self.header.isChecked():
            self._look()
        self._update()

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        ink = colour(self._viewer, "icon")
        self.header.setIcon(arrow_icon(ink, is_open=self.header.isChecked()))
        self._update()

    def close_panel(self) -> None:
        """Stop asking; nothing is reported any more."""
        self.workbench.close()

    # ---- inside

    def _is_current(self, shown: Shown) -> bool:
        """Whether the settings and the pixels are still those; words may have changed."""
        region, before = self._owner.asked_region(), shown.region
        same = region is before or (region is not None and before is not None and region.is_same_place(before))
        settings = (self.address_edit.text().strip(), self.model_edit.text().strip())
        return same and settings == self._made_of and shown.hidden == self.hidden_box.isChecked()

    def _make_controls(self) -> None:
        self.header = QToolButton()
        self.header.setCheckable(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        # a long name of a model is cut off rather than widening the dock
        self.header.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.header.setIconSize(QSize(10, 10))
        self.header.setAutoRaise(True)
        self.header.setAccessibleName(_TITLE)
        self.header.setToolTip("Let a large model, on your own server or in a folder, fill words and names of a region")
        self.header.setStyleSheet("QToolButton { border: none; background: transparent; text-align: left; }")
        kept = memory()
        self.address_edit = _line(
            "Address", "http://localhost:11434", "Address of an OpenAI-compatible server, or a folder"
        )
        self.address_edit.setText(str(kept.value("endpoint/address", "")))
        self.folder_button = push_button("Folder …", "Choose a folder that holds a transformers model")
        self.model_edit = _line("Model", "qwen2.5vl:7b", "Name of the model on that server; a folder needs none")
        self.model_edit.setText(str(kept.value("endpoint/model", "")))
        self.hidden_box = QCheckBox("The region alone, black around it")
        self.hidden_box.setAccessibleName("Send the region alone")
        self.hidden_box.setToolTip("Send no surroundings; contrast, margin and brightness are then measured only")
        self.hidden_box.setChecked(bool(kept.value("endpoint/hidden", False, type=bool)))
        self.picture = QLabel()
        self.picture.setFixedSize(_SIDE, _SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setAccessibleName("What is sent")
        self.picture.setToolTip("The crop that would be sent, all of it")
        self.what = wrapped_label("What is sent")
        self.where = wrapped_label("Where it goes")
        self.allow_box = QCheckBox("Allow for this session")
        self.allow_box.setAccessibleName("Allow for this session")
        self.allow_box.setToolTip("Allow sending to this address until napari is closed; kept nowhere")
        self.ask_button = push_button("Ask", "Send the crop and let the model fill words and names")
        self.stop_button = push_button("Stop", "Stop waiting for the answer")
        self.status = wrapped_label("What came of asking")
        for label in (self.what, self.where, self.status):
            label.setTextFormat(Qt.TextFormat.PlainText)  # they hold names that someone typed

    def _lay_out(self) -> None:
        self._content = QWidget()
        form = QGridLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setColumnStretch(1, 1)
        for row, (name, edit) in enumerate((("Address", self.address_edit), ("Model", self.model_edit))):
            form.addWidget(QLabel(name), row, 0)
            form.addWidget(edit, row, 1, 1, 2 - (row == 0))
        form.addWidget(self.folder_button, 0, 2)
        told = QVBoxLayout()
        told.setSpacing(2)
        told.addWidget(self.what)
        told.addWidget(self.where)
        told.addStretch(1)
        beside = QHBoxLayout()
        beside.setSpacing(6)
        beside.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        beside.addLayout(told, 1)
        inner = QVBoxLayout(self._content)
        inner.setContentsMargins(4, 0, 2, 4)
        inner.setSpacing(4)
        inner.addLayout(form)
        inner.addWidget(self.hidden_box)
        inner.addLayout(beside)
        inner.addWidget(self.allow_box)
        inner.addLayout(row_of(self.ask_button, self.stop_button))
        inner.addWidget(self.status)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.header)
        layout.addWidget(self._content)

    def _connect(self) -> None:
        self.header.toggled.connect(self._open)
        for edit in (self.address_edit, self.model_edit):
            edit.editingFinished.connect(self._on_typed)
            edit.textEdited.connect(self._on_typing)
        self.folder_button.clicked.connect(self._choose_folder)
        self.hidden_box.toggled.connect(self._on_settings)
        self.allow_box.clicked.connect(self._on_allow)
        self.ask_button.clicked.connect(self._ask)
        self.stop_button.clicked.connect(self.workbench.cancel)
        self.workbench.progress.connect(lambda done, total, words: self._say(words + " …"))
        self.workbench.cancelled.connect(self._on_stopped)

    def _open(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.header.setIcon(arrow_icon(colour(self._viewer, "icon"), is_open=is_open))
        if is_open:
            self.refresh()
        self._update()

    def _on_typing(self) -> None:
        """What was shown is not of this address any more."""
        self._shown = None
        self._update()

    def _on_typed(self) -> None:
        # leaving a field that was not changed must not take "Ask" away under the pointer
        if self._shown is None:
            self._on_settings()

    def _on_settings(self) -> None:
        kept = memory()
        kept.setValue("endpoint/address", self.address_edit.text().strip())
        kept.setValue("endpoint/model", self.model_edit.text().strip())
        kept.setValue("endpoint/hidden", self.hidden_box.isChecked())
        self.refresh()

    def _look(self) -> None:
        """Find out in the worker what would be sent where."""
        settings = (self.address_edit.text().strip(), self.model_edit.text().strip())
        if settings != self._made_of:
            self._teller, self._made_of = None, settings
            try:
                self._teller = endpoint_work.make_teller(*settings, self.consents)
            except PromptSegError as error:
                self._made_of = None
                # an empty panel is no mistake
                self._say(str(error), "warning" if settings[0] else "")
                return
            self._say("")
        teller, region, hidden = self._teller, self._owner.asked_region(), self.hidden_box.isChecked()
        if teller is None:
            return

        def seen(shown: Shown) -> None:
            if self._teller is teller and hidden == self.hidden_box.isChecked():
                self._shown = shown
                self._update()

        job = Job(
            "look", lambda progress: endpoint_work.look(teller, region, hidden), seen, self._on_failed, quiet=True
        )
        self.workbench.submit(job)

    def _on_allow(self, allowed: bool) -> None:
        if self._shown is not None and self._shown.disclosure.address is not None:
            if allowed:
                self.consents.allow(self._shown.disclosure)
            else:
                self.consents.withdraw(self._shown.disclosure.address)
        self._update()

    def _ask(self) -> None:
        teller, shown = self._teller, self._shown
        if teller is None or shown is None or shown.region is None:
            return
        # what was shown, even if another region came into hand a moment ago
        region, hidden = shown.region, shown.hidden
        self._asking = True
        self._say(f"asking {teller.name} …")
        self._update()

        def answered(asked: Asked) -> None:
            self._asking = False
            # of the concept as it is now: the user may have edited it meanwhile
            said: list[str] = []

            def change(concept: Any) -> Any:
                filled = asked.fill(concept)
                said.append(filled.sentence)
                return filled.concept

            self._owner.take_answer(region.key, change)
            self._say(
                said[0] if said else "The region is gone; the answer was not used.", "" if asked.reply else "warning"
            )
            self._update()

        job = Job(
            "ask", lambda progress: endpoint_work.ask(teller, region, hidden, progress), answered, self._on_failed
        )
        self.workbench.submit(job)

    def _on_failed(self, sentence: str) -> None:
        self._asking = False
        self._say(sentence, "warning")
        self._update()

    def _on_stopped(self) -> None:
        self._asking = False
        self._say("Stopped; the words stay as they are.")
        self._update()

    def _choose_folder(self) -> None:
        dialog = QFileDialog(self, "Folder of a model")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(self.address_edit.setText)
        dialog.fileSelected.connect(self._on_settings)
        dialog.finished.connect(dialog.deleteLater)
        dialog.setModal(False)
        dialog.show()

    def _say(self, sentence: str, tone: str = "") -> None:
        self.status.setText(sentence)
        self.status.setVisible(bool(sentence))
        ink = f"color: {colour(self._viewer, tone).name()};" if tone else ""
        self.status.setStyleSheet(f"QLabel {{ {ink} }}")

    def _update(self) -> None:
        """Enable what can be done, and show what would be done."""
        shown = self._shown
        outside = shown is not None and shown.disclosure.address is not None
        allowed = shown is not None and self.consents.allows(shown.disclosure)
        self.allow_box.setVisible(shown is None or outside)
        self.allow_box.setEnabled(outside and not self._asking)
        self.allow_box.setChecked(allowed)
        has_region = shown is not None and shown.pixels is not None
        self.ask_button.setEnabled(allowed and has_region and not self._asking)
        self.stop_button.setVisible(self._asking)
        for widget in (self.address_edit, self.model_edit, self.folder_button, self.hidden_box):
            widget.setEnabled(not self._asking)
        self.model_edit.setEnabled(not self._asking and (shown is None or outside))
        self.picture.setVisible(has_region)
        self._show_disclosure(shown)
        on = "off"
        if shown is not None and allowed and self._teller is not None:
            on = f"{_short(self._teller.name)}, {PLACES[shown.disclosure.reach]}"
        self.header.setText(f"{_TITLE} ({on})")

    def _show_disclosure(self, shown: Shown | None) -> None:
        for label in (self.what, self.where):
            label.setVisible(shown is not None)
        if shown is None:
            return
        disclosure = shown.disclosure
        self.what.setText(f"Sent: {disclosure.what}." if shown.pixels is not None else "Draw a region first.")
        where = disclosure.where
        if disclosure.address is None:
            where = where[0].upper() + where[1:]
        self.where.setText(where + (f"; key from {shown.key}." if shown.key else "."))
        ink = colour(self._viewer, "warning").name() if disclosure.leaves_machine else ""
        self.where.setStyleSheet(f"QLabel {{ {f'color: {ink};' if ink else ''} }}")
        if shown.pixels is not None:
            self.picture.setPixmap(fitted_pixmap(shown.pixels, _SIDE, self.devicePixelRatioF()))


def _short(name: str, most: int = 18) -> str:
    """The last part of a model's name, without owner and folders, cut to fit a header."""
    last = name.rstrip("/").rsplit("/", 1)[-1]
    return last if len(last) <= most else f"{last[: most - 1]}…"


def _line(name: str, example: str, tip: str) -> QLineEdit:
    edit = QLineEdit()
    edit.setAccessibleName(name)
    edit.setPlaceholderText(example)
    edit.setToolTip(tip)
    return edit
