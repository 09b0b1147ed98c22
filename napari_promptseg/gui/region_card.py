"""The card of one drawn region: its picture, its sentence, the words behind it, names, and its class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QMenu, QToolButton, QVBoxLayout, QWidget

from napari_promptseg.gui.controls import push_button, wrapped_label
from napari_promptseg.gui.flow_layout import FlowLayout
from napari_promptseg.gui.name_chip import NameChip, badge
from napari_promptseg.gui.pixmaps import fitted_pixmap
from napari_promptseg.gui.sentence_edit import SentenceEdit
from napari_promptseg.gui.theme import arrow_icon, colour, cross_icon, swatch_icon
from napari_promptseg.gui.word_chip import AddWord, WordChip

if TYPE_CHECKING:
    from napari_promptseg.gui.drawn_concept import DrawnConcept
    from napari_promptseg.gui.session import Session

#: After the first two, names under this share are not shown.
_LEAST_SHARE = 0.01

#: Side of the thumbnail in the window's pixels.
_SIDE = 68


class RegionCard(QFrame):
    """Shows one region and hands every edit to the session."""

    def __init__(self, session: Session, card: DrawnConcept) -> None:
        super().__init__()
        self.session, self.id = session, card.id
        self._in_hand = False
        self.setObjectName("region-card")
        viewer = session.viewer
        self.picture = QLabel()
        self.picture.setFixedSize(_SIDE, _SIDE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.picture.setAccessibleName("Thumbnail")
        self.picture.setToolTip("The region as it was drawn")
        self.name_edit = QLineEdit()
        self.name_edit.setPlaceholderText("name, for example polyp")
        self.name_edit.setAccessibleName("Name of the region")
        self.name_edit.setToolTip("What you call it, in any language; Enter takes it")
        self.badge = QLabel()
        self.badge.setAccessibleName("Whether the model knows the name")
        self.fold_button = _tool("Show or hide the words", "Show or hide words and names")
        self.fold_button.setCheckable(True)
        self.fold_button.setChecked(True)
        self.delete_button = _tool("Delete the region", "Delete card and region; its class loses the sentence")
        self.sentence = SentenceEdit(viewer, "Conceptual sentence")
        self.remake_button = _tool("Make the sentence anew", "Make the sentence of the words below again")
        self.remake_button.setText("↺")
        self.trouble = wrapped_label("What is wrong with the region")
        self.words, self.names = QWidget(), QWidget()
        self._words, self._names = FlowLayout(self.words), FlowLayout(self.names)
        self.sign_button = push_button(
            "", "Whether the region shows its class, or something that is not", checkable=True
        )
        self.sign_button.setAccessibleName("The region shows what its class is not")
        self.use_button = push_button("Use as class", "Make a class of this concept, and find it in the picture")
        self.add_button = push_button("Add to class", "Let the region speak for a class that is there already")
        self.classes = QMenu(self)
        self.classes.aboutToShow.connect(self._fill_classes)
        self.add_button.setMenu(self.classes)
        self._lay_out()
        self._connect()
        self.refresh()

    def refresh(self) -> None:
        """Show the card as it is now."""
        card = self.session.regions.card(self.id)
        if card is None:
            return
        viewer, concept = self.session.viewer, card.concept
        self._show_picture(card)
        self.trouble.setText(card.trouble)
        self.trouble.setVisible(bool(card.trouble))
        self.trouble.setStyleSheet(f"QLabel {{ color: {colour(viewer, 'warning').name()}; }}")
        ready = concept is not None
        for widget in (self.name_edit, self.sentence, self.sign_button, self.use_button, self.add_button):
            widget.setEnabled(ready)
        self.sentence.setVisible(ready or not card.trouble)
        self.sentence.setPlaceholderText("" if ready else "looking at it …")
        self.sentence.show_text(card.sentence)
        self.remake_button.setVisible(concept is not None and bool(concept.written))
        self._words.clear()
        self._names.clear()
        if concept is not None:
            if not self.name_edit.hasFocus():
                self.name_edit.setText(concept.name)
            self._show_words(card)
            self._show_names(card)
        self.refresh_class()
        for part in (self.words, self.names):
            part.setVisible(self.fold_button.isChecked() and concept is not None)
        self.names.setVisible(self.names.isVisibleTo(self) and self._names.count() > 0)
        self.on_theme()

    def refresh_class(self) -> None:
        """Show its class and how well the model knows its name, as they are now."""
        card = self.session.regions.card(self.id)
        if card is not None:
            self._show_name_badge(card)
            self._show_class(card)

    def set_in_hand(self, in_hand: bool) -> None:
        """Whether this is the card that was drawn, edited or chosen last."""
        if in_hand != self._in_hand:
            self._in_hand = in_hand
            self.on_theme()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """A click beside the controls chooses the card."""
        super().mousePressEvent(event)
        self.session.regions.take_in_hand(self.id)

    def on_theme(self) -> None:
        """Draw again what is drawn in the theme's colours."""
        viewer = self.session.viewer
        ink = colour(viewer, "icon")
        self.delete_button.setIcon(cross_icon(ink))
        self.fold_button.setIcon(arrow_icon(ink, is_open=self.fold_button.isChecked()))
        line = colour(viewer, "current" if self._in_hand else "secondary").name()
        self.setStyleSheet(f"#region-card {{ border: 1px solid {line}; border-radius: 4px; }}")
        self.sentence.on_theme()

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(3)
        head.addWidget(self.name_edit, 1)
        for widget in (self.badge, self.fold_button, self.delete_button):
            head.addWidget(widget)
        said = QHBoxLayout()
        said.setSpacing(2)
        said.addWidget(self.sentence, 1)
        said.addWidget(self.remake_button, 0, Qt.AlignmentFlag.AlignTop)
        beside = QVBoxLayout()
        beside.setSpacing(2)
        beside.addLayout(head)
        beside.addLayout(said)
        beside.addWidget(self.trouble)
        beside.addStretch(1)
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        top.addLayout(beside, 1)
        under = QHBoxLayout()
        under.setSpacing(4)
        under.addWidget(self.sign_button, 2)
        under.addWidget(self.use_button, 3)
        under.addWidget(self.add_button, 3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(5, 5, 5, 5)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.words)
        layout.addWidget(self.names)
        layout.addLayout(under)

    def _connect(self) -> None:
        regions = self.session.regions
        self.name_edit.editingFinished.connect(
            lambda: regions.edit(self.id, lambda concept: concept.with_name(self.name_edit.text(), concept.plural))
        )
        self.sentence.edited.connect(lambda text: regions.edit(self.id, lambda c: c.with_sentence(text)))
        self.remake_button.clicked.connect(lambda: regions.edit(self.id, lambda c: c.with_sentence("")))
        self.fold_button.toggled.connect(self.refresh)
        self.delete_button.clicked.connect(lambda: regions.remove(self.id))
        self.sign_button.clicked.connect(lambda on: regions.set_positive(self.id, not on))
        self.use_button.clicked.connect(lambda: regions.use_as_class(self.id))

    def _show_picture(self, card: DrawnConcept) -> None:
        pixels = card.thumbnail
        if pixels is None:
            self.picture.setText("…" if card.concept is None else "from a\nfile" if card.source is None else "")
            return
        self.picture.setPixmap(fitted_pixmap(pixels, _SIDE, self.devicePixelRatioF()))

    def _show_words(self, card: DrawnConcept) -> None:
        concept, regions = card.concept, self.session.regions
        assert concept is not None  # asked for with one only
        for attribute in concept.attributes:
            chip = WordChip(self.session.viewer, attribute)
            kind = attribute.kind
            chip.switched.connect(lambda on, kind=kind: regions.edit(self.id, lambda c: c.with_enabled(kind, on)))
            chip.chosen.connect(lambda word, kind=kind: regions.edit(self.id, lambda c: c.with_word(kind, word)))
            self._words.addWidget(chip)
        if concept.left_out:
            more = AddWord(self.session.viewer, dict(concept.left_out))
            more.chosen.connect(lambda kind, word: regions.edit(self.id, lambda c: c.with_word(kind, word)))
            self._words.addWidget(more)

    def _show_names(self, card: DrawnConcept) -> None:
        concept, regions = card.concept, self.session.regions
        assert concept is not None  # asked for with one only
        for number, candidate in enumerate(concept.candidates):
            if number > 1 and candidate.confidence < _LEAST_SHARE:
                continue
            taken = candidate.name.casefold() == concept.name.casefold()
            chip = NameChip(self.session.viewer, candidate, taken=taken)
            chip.chosen.connect(lambda name: regions.edit(self.id, lambda c: c.with_name(name)))
            self._names.addWidget(chip)
        self.names.setToolTip("\n".join(concept.notices))

    def _show_name_badge(self, card: DrawnConcept) -> None:
        concept = card.concept
        level = ""
        if concept is not None and concept.name:
            offered = {c.name.casefold(): c.familiarity for c in concept.candidates}
            known = self.session.known.get(concept.name)
            level = known[0] if known is not None else offered.get(concept.name.casefold(), "")
        text, ink, tip = badge(self.session.viewer, level)
        self.badge.setText(text)
        self.badge.setToolTip(tip)
        self.badge.setStyleSheet(f"QLabel {{ color: {ink}; }}")
        self.badge.setVisible(bool(text))

    def _show_class(self, card: DrawnConcept) -> None:
        found = next((c for c in self.session.prompts.classes if c.value == card.value), None)
        with QSignalBlocker(self.sign_button):
            self.sign_button.setChecked(not card.positive)
        self.sign_button.setText("shows it" if card.positive else "is not it")
        self.use_button.setVisible(found is None)
        self.use_button.setEnabled(card.concept is not None and card.positive)
        self.add_button.setText("Add to class" if found is None else found.name)
        self.add_button.setIcon(swatch_icon(found.colour if found is not None else "#00000000"))
        self.add_button.setToolTip(
            "Let the region speak for a class that is there already"
            if found is None
            else f"The region speaks for the class {found.name}; choose another one, or none"
        )
        self.add_button.setEnabled(card.concept is not None and bool(len(self.session.prompts)))

    def _fill_classes(self) -> None:
        regions, card = self.session.regions, self.session.regions.card(self.id)
        self.classes.clear()
        for c in self.session.prompts.classes:
            action = self.classes.addAction(swatch_icon(c.colour), c.name)
            action.setCheckable(True)
            action.setChecked(card is not None and c.value == card.value)
            action.triggered.connect(lambda _, value=c.value: regions.add_to_class(self.id, value))
        if card is not None and card.value is not None:
            self.classes.addSeparator()
            self.classes.addAction("none").triggered.connect(lambda: regions.add_to_class(self.id, None))


def _tool(name: str, tip: str) -> QToolButton:
    button = QToolButton()
    button.setAutoRaise(True)
    button.setAccessibleName(name)
    button.setToolTip(tip)
    button.setStyleSheet("QToolButton { border: none; background: transparent; }")
    return button
