"""Cleans up the labels of a whole volume with one button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QWidget

from napari_promptseg.gui.controls import check_box, push_button
from napari_promptseg.gui.saving import UNITS
from napari_promptseg.gui.session import Session

if TYPE_CHECKING:
    from napari_promptseg.segmentation.volumes.cleanup import Cleanup


class CleanupPanel(QWidget):
    """Smoothing across planes, largest part, holes, parts with marks, smallest size."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.smooth_box = _size(
            "Smooth across planes", "Even out steps from plane to plane over this length; 0: off", 1
        )
        self.smallest_box = _size("Smallest part", "Connected parts that are smaller are removed; 0: off", 0)
        self.smallest_box.setMaximum(1e7)
        self.smallest_box.setSingleStep(100)
        self.largest_box = check_box(
            "Keep largest part",
            "Of every class only its largest connected part stays, and parts that you painted in",
            "volume-largest",
        )
        self.holes_box = check_box(
            "Fill holes", "Background that a class encloses on all sides becomes that class", "volume-holes"
        )
        self.marked_box = check_box(
            "Only parts you marked",
            "Of classes with a region or a stroke only the parts in three dimensions that hold one stay",
            "volume-marked",
        )
        self.button = push_button(
            "Clean up",
            "Clean up all planes, last of all: corrections that are carried on make planes anew. "
            "Back takes it back, and what you painted stays",
        )
        self.button.setObjectName("volume-clean")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.addWidget(_label("Smooth across planes", self.smooth_box), 0, 0)
        grid.addWidget(self.smooth_box, 0, 1)
        grid.addWidget(_label("Remove parts below", self.smallest_box), 1, 0)
        grid.addWidget(self.smallest_box, 1, 1)
        grid.addWidget(self.largest_box, 2, 0)
        grid.addWidget(self.holes_box, 2, 1)
        grid.addWidget(self.marked_box, 3, 0, 1, 2)
        grid.addWidget(self.button, 4, 0, 1, 2)
        self.button.clicked.connect(lambda: session.volume.measures.clean(self.cleanup))
        session.image_changed.connect(self.refresh)
        session.result_changed.connect(self.refresh)
        session.volume.work.changed.connect(self.refresh)
        self.refresh()

    @property
    def cleanup(self) -> Cleanup:
        """What is asked for."""
        from napari_promptseg.segmentation.volumes.cleanup import Cleanup

        return Cleanup(
            smooth=self.smooth_box.value(),
            keep_largest=self.largest_box.isChecked(),
            fill_holes=self.holes_box.isChecked(),
            smallest=self.smallest_box.value(),
            keep_marked=self.marked_box.isChecked(),
        )

    def refresh(self) -> None:
        """Lengths in the image's unit; without one a step of the grid is 1."""
        layer = self.session.picture.layer
        units = set() if layer is None else {str(unit) for unit in layer.units[-3:]}
        unit = UNITS.get(units.pop(), "px") if len(units) == 1 else "px"
        unit = "µm" if unit == "um" else unit
        self.smooth_box.setSuffix(f" {unit}")
        self.smallest_box.setSuffix(f" {unit}³")
        volume = self.session.volume
        self.button.setEnabled(volume.measures.can_start and not volume.work.is_running)


def _size(name: str, tip: str, decimals: int) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(0.0, 100.0)
    box.setAccessibleName(name)
    box.setObjectName(f"volume-{name.split()[0].casefold()}")
    box.setToolTip(tip)
    box.setMinimumWidth(60)
    return box


def _label(text: str, box: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(box)
    return label
