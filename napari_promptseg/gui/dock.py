"""The dock widget: its sections, in the order of the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_promptseg.gui.classes_section import ClassesSection
from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.empty_state import EmptyState
from napari_promptseg.gui.export_section import ExportSection
from napari_promptseg.gui.footer import Footer
from napari_promptseg.gui.image_section import ImageSection
from napari_promptseg.gui.learn_section import LearnSection
from napari_promptseg.gui.legend import Legend
from napari_promptseg.gui.modalities_section import ModalitiesSection
from napari_promptseg.gui.model_section import ModelSection
from napari_promptseg.gui.region_section import RegionSection
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.volume_section import VolumeSection

if TYPE_CHECKING:
    import napari

#: One class per section; a new section is added here and talks to the session only.
SECTIONS: tuple[type[Section], ...] = (
    ImageSection,
    ModelSection,
    ClassesSection,
    RegionSection,
    LearnSection,
    ModalitiesSection,
    VolumeSection,
    ExportSection,
)


class PromptSegmentationWidget(QWidget):
    """Type class names, get masks.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        Given by napari.
    session : Session, optional
        Shared state; a test or a script may give its own.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.setObjectName("prompt-segmentation")
        self.session = session or Session(napari_viewer)
        self.session.setParent(self)
        self.empty_state = EmptyState(self.session)
        self.sections: dict[str, Section] = {}
        self.footer = Footer(self.session)
        column = QWidget()
        stack = QVBoxLayout(column)
        stack.setContentsMargins(2, 2, 2, 2)
        stack.setSpacing(4)
        for kind in SECTIONS:
            section = kind(self.session)
            self.sections[kind.key] = section
            stack.addWidget(section)
        stack.addStretch(1)
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setWidget(column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.empty_state)
        layout.addWidget(self.scroll, 1)
        layout.addWidget(self.footer)
        self.legend = Legend(self.session, self)
        legend_box = self.sections["classes"].legend_box
        legend_box.setChecked(self.legend.wanted)
        legend_box.toggled.connect(self.legend.switch)
        self._closed = False
        self.installEventFilter(self)
        for child in self.findChildren(QWidget):
            child.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """As wide as its rows read well."""
        return QSize(360, 720)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ctrl+Enter segments while the keyboard is in the dock; napari's own keys are left alone."""
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            and event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            names = self.sections["classes"].names_edit
            if not names.text().strip() or self.session.add_classes(names.text()):
                names.clear()
                self.session.segment()
            return True
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Let go of the viewer when napari throws the dock away."""
        if event.type() == QEvent.Type.DeferredDelete:
            self.let_go()
        return bool(super().event(event))

    def closeEvent(self, event: Any) -> None:
        """Let go of the viewer."""
        self.let_go()
        super().closeEvent(event)

    def let_go(self) -> None:
        """Stop work and disconnect from the viewer; twice does no harm."""
        if not self._closed:
            self._closed = True
            self.session.close()
            self.footer.close_section()
            self.legend.close_section()
            for section in self.sections.values():
                section.close_section()
