"""What is looked for: names, thresholds, background words and how masks are drawn."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QSlider,
    QToolButton,
)

from napari_promptseg.gui.class_table import ClassTable, advice
from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import narrow_box
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import arrow_icon, colour

EDGES = {
    "guided": ("guided", "Edges follow the picture's own edges; quick"),
    "none": ("smooth", "As coarse as the model sees"),
    "superpixels": ("superpixels", "Regions of one colour are one class; slower"),
    "pamr": ("pixel-adaptive", "Pixels agree with like neighbours; slowest"),
}


class ClassesSection(Section):
    """Types names, edits classes and says how masks are made."""

    title = "Classes"
    key = "classes"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.names_edit = QLineEdit()
        self.names_edit.setPlaceholderText("cat, sofa | couch, …")
        self.names_edit.setAccessibleName("New class names")
        self.names_edit.setToolTip("Names parted by commas, synonyms after a |; Enter adds them, Ctrl+Enter segments")
        self.add_button = QPushButton("Add")
        self.add_button.setAccessibleName("Add classes")
        self.add_button.setToolTip("Add the names as classes (Enter)")
        self.table = ClassTable(session)
        self.advice = QLabel()
        self.advice.setWordWrap(True)
        self.advice.setAccessibleName("Advice on names")
        self.advice.setToolTip("What to do about a name that the model does not know")
        self.background_button = QToolButton()
        self.background_button.setCheckable(True)
        self.background_button.setAutoRaise(True)
        self.background_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.background_button.setAccessibleName("Background words")
        self.background_button.setToolTip(
            "Words for everything else: a pixel that fits one of them better is background"
        )
        self.background_button.setStyleSheet("QToolButton { border: none; background: transparent; }")
        self.background_edit = QPlainTextEdit()
        self.background_edit.setAccessibleName("Background words, parted by commas")
        self.background_edit.setToolTip("Words parted by commas; they take effect when you leave the box")
        self.background_edit.setFixedHeight(64)
        self.background_edit.hide()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setValue(round(session.default_threshold * 100))
        self.slider.setAccessibleName("Threshold of all classes")
        self.slider.setToolTip("Least probability of a class; classes with a threshold of their own keep it")
        self.slider_value = QLabel(f"{session.default_threshold:.2f}")
        self.edges_box = narrow_box("Edges", "How masks are brought to the picture's edges")
        for key, (title, tip) in EDGES.items():
            self.edges_box.addItem(title, key)
            self.edges_box.setItemData(self.edges_box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.detail_box = narrow_box(
            "Detail",
            "Quick: one look at the picture. Fine: more and closer looks, slower",
            {"quick": "fast", "fine": "fine"},
        )
        self.live_box = QCheckBox("Live")
        self.live_box.setChecked(session.live)
        self.live_box.setAccessibleName("Live")
        self.live_box.setToolTip("The mask follows every edit of a name or a threshold, without encoding again")
        self.scores_box = QCheckBox("Score layers")
        self.scores_box.setAccessibleName("Score layers")
        self.scores_box.setToolTip("Also make one image layer per class with its score from 0 to 1")
        self.legend_box = QCheckBox("Legend")
        self.legend_box.setAccessibleName("Legend")
        self.legend_box.setToolTip("Names and colours of the classes in a corner of the canvas")
        self._lay_out()
        self._connect()
        self.refresh()

    def add(self) -> None:
        """Add what is typed; it stays in the box if it cannot be added."""
        if self.session.add_classes(self.names_edit.text()):
            self.names_edit.clear()

    def refresh(self) -> None:
        """Show the classes' state beside the table."""
        session = self.session
        count = len(session.prompts)
        self.detail_box.setCurrentIndex(self.detail_box.findData(session.quality))
        self.set_summary(", ".join(session.prompts.names) or "none")
        words = len(session.prompts.background)
        self.background_button.setText(f"Background: {words} word{'s' if words != 1 else ''}")
        self.background_button.setIcon(
            arrow_icon(colour(session.viewer, "icon"), is_open=self.background_button.isChecked())
        )
        if not self.background_edit.hasFocus():
            self.background_edit.setPlainText(", ".join(session.prompts.background))
        unknown = [(n, *session.known[n]) for n in session.prompts.names if session.known.get(n, ("",))[0] == "unknown"]
        self.advice.setVisible(bool(unknown) and count > 0)
        if unknown:
            text = advice(*unknown[0])
            self.advice.setText(text if len(unknown) == 1 else f"{text} ({len(unknown) - 1} more)")
            self.advice.setStyleSheet(f"QLabel {{ color: {colour(session.viewer, 'warning').name()}; }}")

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        self.refresh()

    def close_section(self) -> None:
        """Let go of the viewer's events."""
        super().close_section()
        self.table.classes.close()

    def _lay_out(self) -> None:
        typed = QHBoxLayout()
        typed.addWidget(self.names_edit, 1)
        typed.addWidget(self.add_button)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.addWidget(QLabel("Threshold"), 0, 0)
        grid.addWidget(self.slider, 0, 1)
        grid.addWidget(self.slider_value, 0, 2)
        grid.addWidget(QLabel("Edges"), 1, 0)
        grid.addWidget(self.edges_box, 1, 1)
        grid.addWidget(self.live_box, 1, 2)
        grid.addWidget(QLabel("Detail"), 2, 0)
        grid.addWidget(self.detail_box, 2, 1)
        grid.addWidget(self.scores_box, 2, 2)
        self.body.addLayout(typed)
        self.body.addWidget(self.table)
        self.body.addWidget(self.advice)
        under = QHBoxLayout()
        under.addWidget(self.background_button)
        under.addStretch(1)
        under.addWidget(self.legend_box)
        self.body.addLayout(under)
        self.body.addWidget(self.background_edit)
        self.body.addLayout(grid)

    def _connect(self) -> None:
        session = self.session
        self.names_edit.returnPressed.connect(self.add)
        self.add_button.clicked.connect(self.add)
        self.background_button.toggled.connect(self._show_background)
        self.background_edit.focusOutEvent = self._leave_background  # Qt has no signal for it
        self.slider.valueChanged.connect(self._on_slider)
        self.edges_box.activated.connect(lambda i: session.set_option("refinement", self.edges_box.itemData(i)))
        self.detail_box.activated.connect(lambda i: session.set_option("quality", self.detail_box.itemData(i)))
        self.live_box.toggled.connect(lambda on: session.set_option("live", on))
        self.scores_box.toggled.connect(lambda on: session.set_option("want_scores", on))
        session.prompts_changed.connect(self.refresh)
        session.familiarity_changed.connect(self.refresh)

    def _show_background(self, on: bool) -> None:
        if not on:
            self._take_background()
        self.background_edit.setVisible(on)
        self.refresh()

    def _leave_background(self, event: object) -> None:
        QPlainTextEdit.focusOutEvent(self.background_edit, event)
        self._take_background()

    def _take_background(self) -> None:
        if not self.session.set_background(self.background_edit.toPlainText()):
            with QSignalBlocker(self.background_edit):
                self.background_edit.setPlainText(", ".join(self.session.prompts.background))

    def _on_slider(self, value: int) -> None:
        self.slider_value.setText(f"{value / 100:.2f}")
        self.session.set_default_threshold(value / 100)
