"""Segments one plane, a range of planes or all of a volume, and lets the rest follow corrections."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSpinBox, QVBoxLayout, QWidget

from napari_promptseg.gui.controls import check_box, narrow_box, push_button, wrapped_label
from napari_promptseg.gui.session import Session


class RunPanel(QWidget):
    """Which planes, along one axis or three, and what strokes do to the others."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.which_box = narrow_box(
            "Which planes",
            "Planes that are segmented, along the axis in sight; the one in sight comes first",
            {"all": "all", "from … to": "range", "this plane": "this"},
        )
        self.which_box.setObjectName("volume-which")
        self.first_box, self.last_box = (_spin(f"{which} plane") for which in ("First", "Last"))
        self.mean_box = check_box(
            "Mean of three axes",
            "Look along all three axes and average what they say: steadier, and three times as long",
            "volume-mean",
        )
        self.start_button = push_button("Segment planes", "Find the classes in these planes; Cancel keeps what is done")
        self.start_button.setObjectName("volume-segment")
        self.carry_box = check_box(
            "Carry corrections to the whole volume",
            "After a stroke the plane in sight follows at once and all others in the background, once they have masks",
            "volume-carry",
        )
        self.right_box = check_box(
            "Corrected planes are right as they stand",
            "Planes with strokes count as correct everywhere, so that the shapes on them lead those between; "
            "without it only the strokes count",
            "volume-right",
        )
        self.state = wrapped_label("State of carrying")
        self.state.setObjectName("volume-state")
        self.state.setToolTip("How far the other planes have followed")
        self._lay_out()
        self._connect()
        self.refresh()

    @property
    def planes(self) -> list[int] | None:
        """The planes chosen; None for all."""
        which = self.which_box.currentData()
        if which == "all":
            return None
        if which == "this":
            return [self.session.volume.view.at[0]]
        first, last = sorted((self.first_box.value() - 1, self.last_box.value() - 1))
        return list(range(first, last + 1))

    def refresh(self) -> None:
        """Show what can be chosen, and what is going on."""
        work, n = self.session.volume.work, self.session.volume.view.at[1]
        is_range = self.which_box.currentData() == "range"
        for box in (self.first_box, self.last_box):
            if box.maximum() != max(1, n):
                with QSignalBlocker(box):
                    box.setMaximum(max(1, n))
                    box.setValue(1 if box is self.first_box else n)
        self.range_row.setVisible(is_range)
        self.start_button.setEnabled(not work.is_running)
        with QSignalBlocker(self.carry_box), QSignalBlocker(self.right_box):
            self.carry_box.setChecked(work.carries)
            self.right_box.setChecked(work.trusts_planes)
        self.right_box.setVisible(work.carries)
        waits = (
            work.carries
            and not work.is_running
            and not work.has_whole
            and bool(len(self.session.corrector.corrections))
        )
        if work.is_carrying:
            doing = work.doing or f"{work.finished} of {n} planes"
            self.state.setText(f"The other planes follow, {doing} …")
        elif waits:
            self.state.setText("Other planes follow your strokes once all have a mask: segment all planes.")
        self.state.setVisible(work.is_carrying or waits)

    def _lay_out(self) -> None:
        self.range_row = QWidget()
        row = QHBoxLayout(self.range_row)
        row.setContentsMargins(0, 0, 0, 0)
        for label, box in (("from", self.first_box), ("to", self.last_box)):
            row.addWidget(QLabel(label))
            row.addWidget(box, 1)
        top = QHBoxLayout()
        top.addWidget(QLabel("Planes"))
        top.addWidget(self.which_box, 1)
        top.addWidget(self.start_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.range_row)
        for widget in (self.mean_box, self.carry_box, self.right_box, self.state):
            layout.addWidget(widget)

    def _connect(self) -> None:
        volume = self.session.volume
        self.which_box.activated.connect(lambda _: self.refresh())
        self.start_button.clicked.connect(self._start)
        self.carry_box.toggled.connect(volume.work.set_carries)
        self.right_box.toggled.connect(volume.work.set_trusts_planes)
        volume.work.changed.connect(self.refresh)
        volume.work.arrived.connect(self.refresh)
        volume.view.changed.connect(self.refresh)
        self.session.corrector.strokes_changed.connect(self.refresh)

    def _start(self) -> None:
        self.session.volume.work.segment(self.planes, mean_of_three=self.mean_box.isChecked())


def _spin(name: str) -> QSpinBox:
    box = QSpinBox()
    box.setMinimum(1)
    box.setAccessibleName(name)
    box.setObjectName(f"volume-{name.split()[0].casefold()}")
    box.setToolTip(f"{name} that is segmented, counted from 1")
    return box
