"""Which model, on which device, and plain facts about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCompleter, QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import narrow_box
from napari_promptseg.gui.session import Session

if TYPE_CHECKING:
    from napari_promptseg.encoders.catalogue import ModelEntry

_OTHER = "other"


class ModelSection(Section):
    """Chooses a model from the catalogue, or by typing what OpenCLIP can load."""

    title = "Model"
    key = "model"
    open_at_first = False

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.model_box = narrow_box(
            "Model", "The model that compares picture and words; ‘embedded’ works offline at once"
        )
        self.model_box.setMaxVisibleItems(18)
        self.device_box = narrow_box(
            "Device", "Where the model runs", {"auto": "auto", "CPU": "cpu", "CUDA": "cuda", "Apple": "mps"}
        )
        self.device_box.setMaximumWidth(80)
        self.spec_row = QWidget()
        self.spec_edit = QLineEdit()
        self.spec_edit.setPlaceholderText("hf-hub:…, local-dir:…, MODEL/TAG or MODEL@FILE")
        self.spec_edit.setAccessibleName("Another model")
        self.spec_edit.setToolTip(
            "hf-hub:organisation/name, local-dir:FOLDER (an OpenCLIP directory), MODEL/TAG, or MODEL@CHECKPOINT_FILE"
        )
        self.load_button = QPushButton("Load")
        self.load_button.setAccessibleName("Load the model")
        self.load_button.setToolTip("Load the model that is typed here; it is fetched if it is not on disk")
        self.state = _text("State of the model")
        self.facts = _text("Facts about the model")
        first = QHBoxLayout()
        first.addWidget(self.model_box, 1)
        first.addWidget(self.device_box)
        second = QHBoxLayout(self.spec_row)
        second.setContentsMargins(0, 0, 0, 0)
        second.addWidget(self.spec_edit, 1)
        second.addWidget(self.load_button)
        self.body.addLayout(first)
        self.body.addWidget(self.spec_row)
        self.body.addWidget(self.state)
        self.body.addWidget(self.facts)
        self.spec_row.hide()
        self.model_box.activated.connect(self._on_choice)
        self.device_box.activated.connect(
            lambda i: session.choose_model(session.model.spec, self.device_box.itemData(i))
        )
        self.spec_edit.returnPressed.connect(self._on_typed)
        self.load_button.clicked.connect(self._on_typed)
        session.model_changed.connect(self.refresh)
        self._listed: list[ModelEntry] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Show the catalogue, the chosen model and its facts."""
        session = self.session
        if self._listed is not session.catalogue:
            self._fill()
        entry = next((e for e in session.catalogue if e.spec == session.model.spec), None)
        at = self.model_box.findData(session.model.spec)
        with QSignalBlocker(self.model_box):
            self.model_box.setCurrentIndex(at if at >= 0 else self.model_box.count() - 1)
        self.spec_row.setVisible(at < 0)
        if at < 0 and not self.spec_edit.hasFocus():
            self.spec_edit.setText(session.model.spec)
        title = entry.title if entry else session.model.spec.capitalize() if at >= 0 else session.model.spec
        if session.model_facts:
            device = str(session.model_facts.get("device", "cpu"))
            state = f"ready, {device.upper() if len(device) < 5 else device}"
        elif session.engine.loaded == session.model:
            state = "ready"
        elif session.workbench.is_idle:
            state = "loaded when first used"
        else:
            state = "loading …"
        self.state.setText(state[:1].upper() + state[1:])
        self.set_summary(f"{title}, {state}")
        self.facts.setText("\n".join(_sentences(entry)) if entry else _plain(session.model_facts))
        self.facts.setVisible(bool(self.facts.text()))

    def _fill(self) -> None:
        """List the models: those on this machine first, as the catalogue orders them."""
        self._listed = self.session.catalogue
        with QSignalBlocker(self.model_box):
            self.model_box.clear()
            entries = sorted(self._listed, key=lambda e: e.state == "can be fetched")
            for entry in entries:
                mark = "" if entry.state != "can be fetched" else "  (to fetch)"
                self.model_box.addItem(entry.title + mark, entry.spec)
                tip = "\n".join(_sentences(entry))
                self.model_box.setItemData(self.model_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
            if not entries:
                self.model_box.addItem("Embedded", "embedded")
            self.model_box.addItem("Another model …", _OTHER)
        completer = QCompleter([e.spec for e in self._listed], self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.spec_edit.setCompleter(completer)

    def _on_choice(self, index: int) -> None:
        spec = self.model_box.itemData(index)
        self.spec_row.setVisible(spec == _OTHER)
        if spec == _OTHER:
            self.spec_edit.clear()
            self.spec_edit.setFocus()
        else:
            self.session.choose_model(spec)

    def _on_typed(self) -> None:
        self.session.choose_model(self.spec_edit.text())


def _sentences(entry: ModelEntry) -> list[str]:
    """Facts in plain words."""
    size = "size not known" if entry.parameters is None else f"{entry.parameters / 1e6:.0f} million parameters"
    fetch = {"embedded": "shipped with the plugin", "on disk": "on disk"}.get(
        entry.state,
        "download size not known" if entry.download_mb is None else f"download about {entry.download_mb:.0f} MB",
    )
    return [f"Good at: {entry.good_at}.", f"{entry.family}, {size}, {fetch}.", f"Licence: {entry.licence}."]


def _plain(facts: dict[str, object]) -> str:
    """Facts of a model that is not in the catalogue."""
    return "\n".join(f"{key}: {value}" for key, value in facts.items() if key in ("family", "parameters", "licence"))


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setAccessibleName(name)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
