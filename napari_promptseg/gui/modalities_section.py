"""Several pictures of one scene: which layers, what they show, how much each counts, and what each adds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_promptseg.gui.ablation_strip import AblationStrip
from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import wrapped_label
from napari_promptseg.gui.flow_layout import FlowLayout
from napari_promptseg.gui.modalities import Modalities
from napari_promptseg.gui.modality_layers import Shown, short_names
from napari_promptseg.gui.modality_row import ModalityRow
from napari_promptseg.gui.modality_tuning_panel import ModalityTuningPanel
from napari_promptseg.gui.picture_tile import PictureTile
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

#: Longer side of the pictures shown, in pixels.
_SIDE = 192
#: Pause before they follow a change, in milliseconds.
_DELAY = 150


class ModalitiesSection(Section):
    """Ticks layers, weighs them, shows them as the model sees them, and compares the masks with and without each."""

    title = "Modalities"
    key = "modalities"
    open_at_first = False

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.modalities = Modalities(session)
        self.hint = wrapped_label("Next step")
        self.rows: list[ModalityRow] = []
        self._of_rows: list[Shown | None] = []
        self._rows = QVBoxLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(2)
        self.missing = wrapped_label("Modalities that are missing")
        self.seen_label = wrapped_label("As the model sees them")
        self.seen_label.setText("As the model sees them:")
        self.seen = QWidget()
        self._flow = FlowLayout(self.seen)
        self.strip = AblationStrip(self.modalities)
        self.tune = ModalityTuningPanel(self.modalities)
        self.body.addWidget(self.hint)
        self.body.addLayout(self._rows)
        for widget in (self.missing, self.seen_label, self.seen, self.strip, self.tune):
            self.body.addWidget(widget)
        self._timer = QTimer(self, singleShot=True, interval=_DELAY)
        self._timer.timeout.connect(self._make_pictures)
        self.modalities.changed.connect(self.refresh)
        session.prompts_changed.connect(self.refresh)
        session.picture.plane_changed.connect(self._timer.start)
        self.header.toggled.connect(lambda is_open: self._timer.start() if is_open else None)
        self.refresh()

    def row(self, name: str) -> ModalityRow:
        """The row of a modality, by its name; KeyError where there is none."""
        return {row.objectName().removeprefix("modality-"): row for row in self.rows}[name]

    def close_section(self) -> None:
        """Make no more pictures, and let go of the viewer."""
        self._timer.stop()
        self.tune.close_panel()
        super().close_section()

    def refresh(self) -> None:
        """Show what can be ticked, and what stands."""
        modalities, main = self.modalities, self.modalities.main
        offered = modalities.offered()
        wanted: list[Shown | None] = [] if main is None else [None, *offered]
        while len(self.rows) > len(wanted):
            row = self.rows.pop()
            row.hide()
            row.setParent(None)
            row.deleteLater()
        while len(self.rows) < len(wanted):
            self.rows.append(self._new_row(len(self.rows)))
        self._of_rows = wanted
        used, weights = modalities.ticked(), modalities.weights()
        keys = [s.key for s in used]
        onto = "" if main is None else main.name
        for row, shown in zip(self.rows, wanted, strict=True):
            on = shown is None or shown.key in keys
            weight = 1.0 if not on else weights[0] if shown is None else weights[1 + keys.index(shown.key)]
            kind = modalities.main_kind if shown is None else shown.kind
            problem = "" if shown is None else modalities.problem(shown)
            row.show_state(
                onto if shown is None else shown.name,
                kind,
                weight,
                problem,
                on=on,
                fixed=shown is None,
                alone=not used,
                onto=onto,
                mendable=shown is not None and modalities.mendable(shown),
            )
        self._say(bool(offered), bool(used))
        self.seen_label.setVisible(bool(used))
        self.seen.setVisible(bool(used))
        self.strip.setVisible(bool(used))
        self.tune.setVisible(bool(used))
        self.set_summary(", ".join(modalities.names) if used else "one")
        self._timer.start()

    def _say(self, offered: bool, used: bool) -> None:
        if not offered:
            text = "Open a second picture of the same scene, for example near infrared beside RGB, or T1c beside FLAIR."
        elif not used:
            text = "Tick the layers that show the same scene. Each is read by itself, then their scores are weighed."
        else:
            text = ""
        planes = self.modalities.likely_channels
        if text and planes:
            text += f" If the {planes} planes of this one are channels, choose their axis under “Image”, Channels."
        self.hint.setText(text)
        self.hint.setVisible(bool(text))
        missing = self.modalities.missing
        self.missing.setText(
            f"Not on this image: {', '.join(missing)}. {'They are' if len(missing) > 1 else 'It is'} left out."
            if missing
            else ""
        )
        self.missing.setVisible(bool(missing))

    def _new_row(self, number: int) -> ModalityRow:
        row = ModalityRow()
        self._rows.addWidget(row)
        row.ticked.connect(lambda on: self._on_ticked(number, on))
        row.kind_chosen.connect(lambda kind: self.modalities.set_kind(self._of_rows[number], kind))
        row.weighed.connect(lambda weight: self._on_weighed(number, weight))
        row.resample_asked.connect(lambda: self._on_resample(number))
        return row

    def _on_ticked(self, number: int, on: bool) -> None:
        shown = self._of_rows[number]
        if shown is not None:
            self.modalities.tick(shown, on)

    def _on_weighed(self, number: int, weight: float) -> None:
        shown, weights = self._of_rows[number], self.modalities.weights()
        keys = [None, *(s.key for s in self.modalities.ticked())]
        weights[keys.index(None if shown is None else shown.key)] = weight
        self.modalities.set_weights(weights)

    def _on_resample(self, number: int) -> None:
        shown = self._of_rows[number]
        if shown is not None:
            self.modalities.resample(shown)

    def _make_pictures(self) -> None:
        """What the encoder gets of each modality, in the background."""
        source = self.session.picture.in_sight
        if not self.is_open or source is None or not self.modalities.ticked():
            return
        step = max(1, -(-max(source.plane_shape) // _SIDE))
        some = slice(None, None, step)

        def task(progress: Progress) -> list[tuple[str, npt.NDArray[np.uint8], str]]:
            stack, found = source.stack(), []
            for i, modality in enumerate(stack.modalities):
                limits: Any = np.round(np.asarray(stack.limits(i), float), 2).tolist()
                found.append((modality.name, stack.picture(0, some, some, modality=i), f"{limits}"))
            return found

        self.session.workbench.submit(Job("modality pictures", task, self._show_pictures, self._on_failed, quiet=True))

    def _show_pictures(self, found: list[tuple[str, npt.NDArray[np.uint8], str]]) -> None:
        self._flow.clear()
        short_ones = short_names([name for name, _, _ in found], self.modalities.kinds())
        for (name, pixels, limits), short in zip(found, short_ones, strict=True):
            tile = PictureTile(parent=self.seen)
            tile.setObjectName(f"seen-{name}")
            tile.show_picture(
                np.ascontiguousarray(pixels), short, f"{name} as the model sees it; black to white: {limits}"
            )
            self._flow.addWidget(tile)
            tile.show()
        self.seen.updateGeometry()

    def _on_failed(self, sentence: str) -> None:
        self.session.say(sentence, "error")
