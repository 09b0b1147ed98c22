"""Finds what a region shows in more pictures: how to look for it, and where."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QRadioButton, QVBoxLayout, QWidget

from napari_promptseg.gui.apply_prompts import ApplyPrompts
from napari_promptseg.gui.controls import push_button, row_of, wrapped_label
from napari_promptseg.gui.folder_form import FolderForm
from napari_promptseg.gui.layers import result_shape
from napari_promptseg.gui.region_inference import RegionInference
from napari_promptseg.gui.session import Session
from napari_promptseg.prompts.region_concepts import INFERENCES, Inference

_TIPS: dict[Inference | None, str] = {
    None: "The way that found held-out regions best; words where none was better than they are",
    "words": "By name and sentence alone",
    "pseudo-text": "By name and sentence, and by a learned word that stands for the region's pixels",
    "text-free": "By what was learned, adapted to each picture; no text is read",
}


class ElsewherePanel(QWidget):
    """Chooses words, pseudo-text or text-free, and looks on other planes, in other images and in folders.

    It is hidden as long as no class has a region behind it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.inference = RegionInference(session)
        self.apply = ApplyPrompts(session)
        self.ways: dict[Inference | None, QRadioButton] = {}
        group = QButtonGroup(self)
        for way in (None, *INFERENCES):
            button = self.ways[way] = QRadioButton()
            button.setMinimumWidth(60)
            button.setToolTip(_TIPS[way])
            button.setAccessibleName(f"Look by: {way or 'automatic'}")
            button.clicked.connect(partial(self._choose, way))
            group.addButton(button)
        self.judged = wrapped_label("What the figures are")
        self.planes_button = push_button(
            "All planes", "Look on every plane of this image, first on the one in sight and those next to it"
        )
        self.images_button = push_button("Other images", "Look in the plane in sight of every other open image layer")
        self.folder_button = push_button(
            "Folder …", "Look in all image files of a folder; label files are written to another", checkable=True
        )
        self.form = FolderForm()
        self.report = wrapped_label("Where it was found")
        self._lay_out()
        self._connect()
        self.form.hide()
        self.refresh()

    def refresh(self) -> None:
        """Show the figures and what can be done now."""
        session, inference, apply = self.session, self.inference, self.apply
        self.setVisible(inference.is_concept)
        scores, in_use = inference.scores, inference.in_use
        for way, button in self.ways.items():
            score = scores.get(way) if way is not None else None
            shown = way or f"automatic: {in_use}" if inference.is_automatic and in_use else way or "automatic"
            button.setText(shown if score is None else f"{shown}  {score:.2f}")
            button.setEnabled(inference.can_switch and (way is None or not scores or way in scores))
            with QSignalBlocker(button):
                button.setChecked(way is None if inference.is_automatic else way == in_use)
        self.judged.setText(f"Figures: Dice on {inference.judged_by}." if scores else "")
        self.judged.setVisible(bool(scores))
        image, view = session.picture.layer, session.picture.view
        shape = () if image is None else result_shape(image, view)[:-2]
        idle = image is not None and not (apply.is_in_layers or apply.is_in_folder)
        self.planes_button.setVisible(max(shape, default=1) > 1)
        self.planes_button.setEnabled(idle)
        self.images_button.setEnabled(idle and len(session.picture.choices()) > 1)
        self.form.start_button.setEnabled(self.form.is_filled and not apply.is_in_folder)
        self.report.setVisible(bool(self.report.text()))

    def _lay_out(self) -> None:
        ways = QGridLayout()
        ways.setContentsMargins(0, 0, 0, 0)
        ways.setHorizontalSpacing(6)
        for place, button in enumerate(self.ways.values()):
            ways.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(QLabel("Look for it by"))
        layout.addLayout(ways)
        layout.addWidget(self.judged)
        layout.addWidget(QLabel("Find it elsewhere"))
        layout.addLayout(row_of(self.planes_button, self.images_button, self.folder_button))
        layout.addWidget(self.form)
        layout.addWidget(self.report)

    def _connect(self) -> None:
        session, apply = self.session, self.apply
        self.planes_button.clicked.connect(lambda: apply.to_layers(apply.planes()))
        self.images_button.clicked.connect(self._look_in_images)
        self.folder_button.toggled.connect(self.form.setVisible)
        self.form.changed.connect(self.refresh)
        self.form.asked.connect(apply.to_folder)
        apply.changed.connect(self._on_applied)
        self.inference.changed.connect(self.refresh)
        session.image_changed.connect(self.refresh)

    def _choose(self, way: Inference | None) -> None:
        self.inference.choose(way)

    def _look_in_images(self) -> None:
        apply, here = self.apply, self.session.picture.layer
        apply.to_layers([target for target in apply.images() if target.image is not here])

    def _on_applied(self) -> None:
        apply = self.apply
        if apply.is_in_layers or apply.is_in_folder:
            text = ""
        elif apply.folder_report and not apply.n_looked:
            text = apply.folder_report
        else:
            named = [(c.name, apply.found[c.value]) for c in self.session.prompts.classes]
            text = "; ".join(f"{name}: found on {n} of {apply.n_looked}" for name, n in named) + "."
        self.report.setText(text)
        self.refresh()
