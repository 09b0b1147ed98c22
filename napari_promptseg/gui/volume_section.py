"""Volumes: planes across any axis, all of them segmented, cleaned up, measured and seen in three dimensions."""

from __future__ import annotations

from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import wrapped_label
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.volume_axis_panel import AxisPanel
from napari_promptseg.gui.volume_cleanup_panel import CleanupPanel
from napari_promptseg.gui.volume_of_many import VolumeOfMany
from napari_promptseg.gui.volume_run_panel import RunPanel
from napari_promptseg.gui.volume_table_panel import TablePanel


class VolumeSection(Section):
    """What can be done with an image that has planes along three axes."""

    title = "Volume"
    key = "volume"
    open_at_first = False

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.hint = wrapped_label("When there is a volume")
        self.hint.setText("Open a volume or a stack: here all its planes are segmented, cleaned up and measured.")
        self.many = VolumeOfMany(session)
        self.axis = AxisPanel(session)
        self.run = RunPanel(session)
        self.cleanup = CleanupPanel(session)
        self.table = TablePanel(session)
        self.panels = QWidget()
        stack = QVBoxLayout(self.panels)
        stack.setContentsMargins(0, 0, 0, 0)
        stack.setSpacing(5)
        stack.addWidget(self.axis)
        stack.addWidget(_line())
        stack.addWidget(self.run)
        stack.addWidget(_line())
        stack.addWidget(QLabel("Clean up"))
        stack.addWidget(self.cleanup)
        stack.addWidget(_line())
        stack.addWidget(QLabel("Sizes and surfaces"))
        stack.addWidget(self.table)
        self.body.addWidget(self.hint)
        self.body.addWidget(self.many)
        self.body.addWidget(self.panels)
        session.image_changed.connect(self.refresh)
        session.volume.view.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Offer what there is to do."""
        is_stack = self.session.picture.is_stack
        self.many.refresh()
        self.many.setVisible(self.many.is_needed)
        self.hint.setVisible(not is_stack and not self.many.is_needed)
        self.panels.setVisible(is_stack)
        number, n = self.session.volume.view.at
        title = self.session.volume.view.titles[self.session.picture.cut]
        none = "several volumes" if self.many.is_needed else "no planes"
        self.set_summary(f"{title} {number + 1} of {n}" if n else none)

    def close_section(self) -> None:
        """Let go of the viewer's events."""
        self.axis.close_panel()
        super().close_section()


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFixedHeight(1)
    return line
