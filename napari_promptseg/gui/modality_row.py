"""One line of “Modalities”: whether a layer is used, what it shows, how much it counts, and what is in its way."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QSlider, QWidget

from napari_promptseg.gui.controls import narrow_box, push_button, wrapped_label
from napari_promptseg.gui.modality_layers import TITLES

#: Steps of the slider for a weight of 1; it goes up to 2.
STEPS = 20


class ModalityRow(QWidget):
    """Controls of one modality.

    Signals
    -------
    ticked : bool
    kind_chosen : str
    weighed : float
    resample_asked
    """

    ticked = Signal(bool)
    kind_chosen = Signal(str)
    weighed = Signal(float)
    resample_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.box = QCheckBox()
        self.box.setMinimumWidth(40)
        self.kind_box = narrow_box("", "What its values are, which decides how they become a picture", dict(TITLES))
        self.kind_box.setMinimumContentsLength(11)
        self.kind_box.setMaximumWidth(140)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 2 * STEPS)
        self.slider.setMinimumWidth(60)
        self.slider.setPageStep(STEPS // 2)
        self.figure = QLabel()
        self.figure.setMinimumWidth(30)
        self.problem = wrapped_label("What is in the way")
        self.resample_button = push_button("Resample", "Make a new layer from this one that lies on the image in hand")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 2)
        grid.setVerticalSpacing(1)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.box, 0, 0)
        grid.addWidget(self.kind_box, 0, 1)
        weight = QHBoxLayout()
        weight.setContentsMargins(20, 0, 0, 0)
        self.weight_label = QLabel("Weight")
        for widget, stretch in ((self.weight_label, 0), (self.slider, 1), (self.figure, 0)):
            weight.addWidget(widget, stretch)
        grid.addLayout(weight, 1, 0, 1, 2)
        grid.addWidget(self.problem, 2, 0, 1, 2)
        grid.addWidget(self.resample_button, 3, 0, 1, 2)
        self.box.toggled.connect(self.ticked)
        self.kind_box.activated.connect(lambda i: self.kind_chosen.emit(str(self.kind_box.itemData(i))))
        self.slider.valueChanged.connect(self._on_slider)
        self.resample_button.clicked.connect(self.resample_asked)

    def show_state(
        self,
        name: str,
        kind: str,
        weight: float,
        problem: str,
        *,
        on: bool,
        fixed: bool,
        alone: bool,
        onto: str,
        mendable: bool,
    ) -> None:
        """Show what stands.

        Parameters
        ----------
        name, kind : str
        weight : float
        problem : str
            One sentence, empty where it can be used.
        on : bool
            Whether it is used.
        fixed : bool
            Whether it is the layer in hand, which cannot be left out but by its weight.
        alone : bool
            Whether nothing is used beside the layer in hand, so that weights mean nothing.
        onto : str
            Name of the layer in hand.
        mendable : bool
            Whether resampling can help.
        """
        self.setObjectName(f"modality-{name}")
        for part, widget in (("tick", self.box), ("kind", self.kind_box), ("weight", self.slider)):
            widget.setObjectName(f"modality-{part}-{name}")
        with QSignalBlocker(self.box), QSignalBlocker(self.kind_box), QSignalBlocker(self.slider):
            self.box.setChecked(on)
            self.box.setEnabled(not fixed)
            # what was resampled has the name of the layer in hand in its own, where there is no room for both
            short = f"{name.removesuffix(f' on {onto}')}, resampled" if name.endswith(f" on {onto}") else name
            text = self.fontMetrics().elidedText(short, Qt.TextElideMode.ElideMiddle, 170)
            self.box.setText(text)
            self.box.setAccessibleName(f"Use {name}")
            why = "The image in hand: the others are read beside it" if fixed else "Tick where it shows the same scene"
            self.box.setToolTip(f"{name}. {why}")
            self.kind_box.setAccessibleName(f"Kind of {name}")
            self.kind_box.setCurrentIndex(max(0, self.kind_box.findData(kind)))
            self.slider.setAccessibleName(f"Weight of {name}")
            self.slider.setToolTip(f"How much {name} counts; 0 leaves it out")
            if not self.slider.isSliderDown():
                self.slider.setValue(round(weight * STEPS))
        self.figure.setText(f"{weight:.2f}")
        for widget in (self.weight_label, self.slider, self.figure):
            widget.setVisible(on and not alone)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.resample_button.setText(
            f"Resample onto {self.fontMetrics().elidedText(onto, Qt.TextElideMode.ElideMiddle, 160)}"
        )
        self.resample_button.setVisible(bool(problem) and mendable)

    def _on_slider(self, value: int) -> None:
        self.figure.setText(f"{value / STEPS:.2f}")
        self.weighed.emit(value / STEPS)
