"""The strip of small masks under “Modalities”: what each modality adds."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_promptseg.gui.ablation import Ablation, Trial
from napari_promptseg.gui.controls import push_button, row_of, wrapped_label
from napari_promptseg.gui.flow_layout import FlowLayout
from napari_promptseg.gui.modalities import Modalities
from napari_promptseg.gui.picture_tile import PictureTile


class AblationStrip(QWidget):
    """Labelled thumbnails of the masks with all modalities, each alone, and all but one; a click takes the weights."""

    def __init__(self, modalities: Modalities) -> None:
        super().__init__()
        self.modalities = modalities
        self.ablation = Ablation(modalities)
        self.button = push_button(
            "Compare", "Make the mask with all modalities, with each alone, and with all but one, side by side"
        )
        self.button.setObjectName("modalities-compare")
        self.stop_button = push_button("Stop", "Stop after this mask; nothing is changed")
        self.stop_button.setObjectName("modalities-compare-stop")
        self.hint = wrapped_label("What the strip shows")
        self.tiles = QWidget()
        self._flow = FlowLayout(self.tiles)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addLayout(row_of(self.button, self.stop_button))
        column.addWidget(self.hint)
        column.addWidget(self.tiles)
        self.button.clicked.connect(self.ablation.start)
        self.stop_button.clicked.connect(modalities.session.cancel)
        self.ablation.changed.connect(self.refresh)
        modalities.changed.connect(self._on_modalities)
        self._names = list(modalities.names)
        self.refresh()

    def pictures(self) -> list[PictureTile]:
        """The tiles shown, in order."""
        return [t for t in self.tiles.findChildren(PictureTile) if not t.isHidden()]

    def refresh(self) -> None:
        """Show the masks that were made."""
        made, running = self.ablation.made, self.ablation.is_running
        self._flow.clear()
        for trial in made:
            tile = PictureTile(parent=self.tiles)
            tile.setObjectName(f"ablation-{trial.caption}")
            tile.setCheckable(True)
            # "only" and "without" in a line of their own leave room for the name
            tile.show_picture(trial.picture, f"{trial.caption} ".replace(" ", "\n", 1), self._tip(trial))
            tile.clicked.connect(lambda _=False, t=trial: self._take(t))
            self._flow.addWidget(tile)
            tile.show()
        self.tiles.setVisible(bool(made))
        self.hint.setVisible(bool(made))
        apart = [t for t in made if t.caption.startswith("only")]
        if apart:
            least = min(apart, key=lambda t: t.differs)
            differ = f"{least.differs:.0%} of the pixels differ"
            nearest = f"Nearest to all: {least.caption} ({differ}). Click a mask for its weights."
            self.hint.setText(nearest if any(t.differs for t in made) else "The masks are all alike.")
        self.button.setEnabled(not running and len(self.modalities.names) > 1)
        self.stop_button.setVisible(running)
        self._mark()

    def _tip(self, trial: Trial) -> str:
        weights = ", ".join(f"{n} {w:.2f}" for n, w in zip(self.modalities.names, trial.weights, strict=False))
        apart = "" if trial.caption == "all" else f" {trial.differs:.0%} of the pixels differ from the mask with all."
        return f"{trial.caption}: {weights}.{apart} Click for these weights"

    def _take(self, trial: Trial) -> None:
        if len(trial.weights) == len(self.modalities.names):
            if list(trial.weights) != self.modalities.weights():
                self.modalities.session.remember()
            self.modalities.set_weights(trial.weights)
        self._mark()

    def _on_modalities(self) -> None:
        names = list(self.modalities.names)
        if names != self._names:
            self._names = names
            self.ablation.forget()
            self.refresh()
        self.button.setEnabled(not self.ablation.is_running and len(names) > 1)
        self._mark()

    def _mark(self) -> None:
        """Frame the mask whose weights stand."""
        weights = self.modalities.weights()
        for tile, trial in zip(self.pictures(), self.ablation.made, strict=False):
            tile.setChecked([round(w, 2) for w in trial.weights] == [round(w, 2) for w in weights])
