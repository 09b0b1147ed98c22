"""Draw a region, get a concept: tools, one card for each region, and what was learned from them."""

from __future__ import annotations

from typing import get_args

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_promptseg.gui.collapsible import Section
from napari_promptseg.gui.controls import narrow_box, wrapped_label
from napari_promptseg.gui.endpoint_panel import EndpointPanel
from napari_promptseg.gui.region_card import RegionCard
from napari_promptseg.gui.region_elsewhere import ElsewherePanel
from napari_promptseg.gui.region_tools import RegionTools
from napari_promptseg.gui.session import Session
from napari_promptseg.gui.theme import colour
from napari_promptseg.prompts.prompt_set import ImageKind

#: With more cards than this a new one folds the others.
_OPEN_CARDS = 3

_TITLES = {"natural": "everyday scene", "ct": "CT", "mr": "MR", "xray": "X-ray"}


class RegionSection(Section):
    """Draws regions and shows what they are in words."""

    title = "Draw a region"
    key = "regions"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.tools = RegionTools(session)
        self.kind_box = narrow_box(
            "Kind of picture", "Which words are offered for all regions; automatic: guessed from what a region shows"
        )
        self.kind_box.addItem("automatic", None)
        for kind in get_args(ImageKind):
            self.kind_box.addItem(_TITLES.get(kind, kind), kind)
        self.hint = wrapped_label("Next step with regions")
        self.line = wrapped_label("What happened last with regions")
        self.cards: dict[str, RegionCard] = {}
        self._stack = QVBoxLayout()
        self._stack.setSpacing(5)
        self.report = wrapped_label("Report of learning from regions")
        self.elsewhere = ElsewherePanel(session)
        self.endpoint = EndpointPanel(session.viewer, session.regions)
        self._lay_out()
        self._connect()
        self._on_cards()
        self._say("", "info")

    def refresh(self) -> None:
        """Say the next step, and what was learned."""
        session, regions = self.session, self.session.regions
        n, given = len(regions.cards), sum(card.value is not None for card in regions.cards)
        self.set_summary(f"{n} region{'s' if n != 1 else ''}" if n else "")
        if session.picture.layer is None:
            hint = "Open an image first. Then draw what you look for: no name is needed."
        elif not n:
            hint = "Take a tool and draw around one thing you look for. A card then says in words what was seen."
        elif not given:
            hint = "Read the sentence and mend what is wrong. Then press Use as class, and it is found in the picture."
        else:
            hint = ""
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        report = "" if regions.learning.is_running else regions.learning.report
        self.report.setText(report)
        self.report.setVisible(bool(report))
        with QSignalBlocker(self.kind_box):
            known = regions.known_kind
            guess = known if regions.kind is None and known else regions.guessed_kind
            self.kind_box.setItemText(0, f"automatic: {_TITLES.get(guess, guess)}" if guess else "automatic")
            self.kind_box.setCurrentIndex(max(0, self.kind_box.findData(regions.kind)))

    def on_theme(self) -> None:
        """Draw again in the theme's colours."""
        self.tools.on_theme()
        self.endpoint.on_theme()
        for card in self.cards.values():
            card.refresh()

    def close_section(self) -> None:
        """Let go of the viewer and its layers."""
        super().close_section()
        self.session.regions.close()
        self.tools.close_tools()
        self.endpoint.close_panel()

    def _lay_out(self) -> None:
        chosen = QHBoxLayout()
        chosen.setSpacing(4)
        label = QLabel("Picture")
        label.setToolTip(self.kind_box.toolTip())
        chosen.addWidget(self.tools.sign_button, 3)
        chosen.addWidget(label)
        chosen.addWidget(self.kind_box, 4)
        holder = QWidget()
        holder.setLayout(self._stack)
        self._stack.setContentsMargins(0, 0, 0, 0)
        self.body.addWidget(self.tools)
        self.body.addLayout(chosen)
        self.body.addWidget(self.hint)
        self.body.addWidget(self.line)
        self.body.addWidget(holder)
        self.body.addWidget(self.report)
        self.body.addWidget(self.elsewhere)
        self.body.addWidget(self.endpoint)

    def _connect(self) -> None:
        regions = self.session.regions
        self.kind_box.activated.connect(lambda i: regions.choose_kind(self.kind_box.itemData(i)))
        regions.cards_changed.connect(self._on_cards)
        regions.card_changed.connect(self._on_card)
        regions.in_hand_changed.connect(self._on_in_hand)
        regions.said.connect(self._say)
        regions.learning.changed.connect(self.refresh)
        self.session.image_changed.connect(self.refresh)
        self.session.prompts_changed.connect(self._on_prompts)
        self.session.familiarity_changed.connect(self._on_prompts)

    def _on_cards(self) -> None:
        standing = [card.id for card in self.session.regions.cards]
        for card_id in [i for i in self.cards if i not in standing]:
            widget = self.cards.pop(card_id)
            self._stack.removeWidget(widget)
            widget.hide()
            widget.deleteLater()
        new = [card for card in self.session.regions.cards if card.id not in self.cards]
        for card in new:
            widget = self.cards[card.id] = RegionCard(self.session, card)
            self._stack.addWidget(widget)
        if new and len(standing) > _OPEN_CARDS:
            for card_id, widget in self.cards.items():
                if card_id != new[-1].id:
                    widget.fold_button.setChecked(False)
        self._on_in_hand()
        self.refresh()

    def _on_card(self, card_id: str) -> None:
        if card_id in self.cards:
            self.cards[card_id].refresh()
        if card_id == self.session.regions.in_hand:
            self.endpoint.refresh()
        self.refresh()

    def _on_in_hand(self) -> None:
        for card_id, widget in self.cards.items():
            widget.set_in_hand(card_id == self.session.regions.in_hand)
        self.endpoint.refresh()

    def _on_prompts(self) -> None:
        for widget in self.cards.values():
            widget.refresh_class()
        self.refresh()

    def _say(self, text: str, tone: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))
        role = {"warning": "warning", "error": "error"}.get(tone, "text")
        self.line.setStyleSheet(f"QLabel {{ color: {colour(self.session.viewer, role).name()}; }}")
