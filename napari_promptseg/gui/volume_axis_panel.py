"""Chooses the planes of a volume that are shown, and says which side of the patient is where."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QVBoxLayout, QWidget

from napari_promptseg.gui.controls import push_button, wrapped_label
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.volume_view import SIDE_NAMES, edges


class AxisPanel(QWidget):
    """One button per axis, one for three dimensions, and the sides in words."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.buttons = []
        group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(3)
        for cut in range(3):
            button = push_button(("Axial", "Coronal", "Sagittal")[cut], "", checkable=True)
            button.setObjectName(f"volume-axis-{cut}")
            button.clicked.connect(partial(self._choose, cut))
            group.addButton(button)
            row.addWidget(button, 3)
            self.buttons.append(button)
        self.solid_button = push_button(
            "3-D", "Turn the volume in three dimensions; again for its planes", checkable=True
        )
        self.solid_button.setObjectName("volume-solid")
        self.solid_button.clicked.connect(session.volume.view.show_solid)
        row.addWidget(self.solid_button, 2)
        self.sides = wrapped_label("Plane in sight and its sides")
        self.sides.setObjectName("volume-sides")
        self.sides.setToolTip("Which plane of how many is in sight, and where its sides lie in the patient")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self.sides)
        session.volume.view.changed.connect(self.refresh)
        session.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        self.refresh()

    def refresh(self) -> None:
        """Show the axis and the plane in sight."""
        view, picture = self.session.volume.view, self.session.picture
        for cut, button in enumerate(self.buttons):
            title = view.titles[cut]
            in_patient = view.geometry is not None
            button.setText(title.capitalize() if in_patient else f"Across {title}")
            button.setAccessibleName(f"Planes across {title}")
            letters = ", ".join(SIDE_NAMES[s] for s in edges(cut)[:2])
            button.setToolTip(
                f"Show {title} planes, left to right: {letters}"
                if in_patient
                else f"Show planes across the axis {title}"
            )
            with QSignalBlocker(button):
                button.setChecked(cut == picture.cut)
        number, n = view.at
        text = f"{view.titles[picture.cut]} plane {number + 1} of {n}" if n else ""
        if n and view.geometry is not None:
            left, right, top, bottom = edges(picture.cut)
            text += f" · left {left}, right {right}, top {top}, bottom {bottom}"
            if view.geometry.acquired == view.titles[picture.cut]:
                text += " · as acquired"
        self.sides.setText(text[:1].upper() + text[1:])
        self._on_ndisplay()

    def close_panel(self) -> None:
        """Let go of the viewer's events."""
        self.session.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    def _on_ndisplay(self, event: object = None) -> None:
        with QSignalBlocker(self.solid_button):
            self.solid_button.setChecked(self.session.viewer.dims.ndisplay == 3)

    def _choose(self, cut: int, checked: bool = True) -> None:
        self.session.volume.view.show(cut)
        self.refresh()
