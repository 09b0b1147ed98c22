"""The drawn regions of a session: described as they are finished, edited, and given to classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.errors import InputError
from napari_promptseg.gui.drawn_concept import DrawnConcept, card_of, with_edits
from napari_promptseg.gui.region_learning import RegionLearning
from napari_promptseg.gui.region_work import Described, describe, warm_up
from napari_promptseg.gui.work import Job
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_notes import notes_of, with_notes

if TYPE_CHECKING:
    from napari_promptseg.gui.endpoint_work import AskedRegion
    from napari_promptseg.gui.engine import ModelChoice
    from napari_promptseg.gui.layers import PlaneSource
    from napari_promptseg.gui.session import Session
    from napari_promptseg.prompts.prompt_set import ImageKind

#: Pause after an edit of a word before the class follows, in milliseconds.
EDIT_DELAY = 400


class Regions(QObject):
    """Keeps the cards, and the classes they speak for in step with them.

    Signals
    -------
    cards_changed
        A card came or went.
    card_changed : str
        What a card of that id shows has changed.
    said : (str, str)
        One sentence for the section, and how it is meant.
    removed : str
        The card of that shape was deleted, so that the shape may go.
    in_hand_changed
        Another card was drawn, edited or chosen last.
    """

    cards_changed = Signal()
    card_changed = Signal(str)
    said = Signal(str, str)
    removed = Signal(str)
    in_hand_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.cards: list[DrawnConcept] = []
        self.kind: ImageKind | None = None
        self.learning = RegionLearning(self)
        self.in_hand = ""
        self._gone: dict[str, DrawnConcept] = {}
        self._writing = False
        self._warmed = ""
        self._edited: set[int] = set()
        self._edit_timer = QTimer(self, singleShot=True, interval=EDIT_DELAY)
        self._edit_timer.timeout.connect(self._follow_edits)
        session.prompts_changed.connect(self._on_prompts)
        session.model_changed.connect(self._on_model)

    # ---- what the section shows

    def card(self, card_id: str) -> DrawnConcept | None:
        """The card of that id."""
        return next((c for c in self.cards if c.id == card_id), None)

    @property
    def guessed_kind(self) -> str:
        """The kind of picture that the last region was described as; empty where nothing supports one."""
        return next((c.concept.image_kind for c in reversed(self.cards) if c.concept is not None and c.source), "")

    @property
    def known_kind(self) -> ImageKind | None:
        """The kind chosen here or under “Image”; None to guess."""
        kind = self.session.prompts.image_kind
        return self.kind or (None if kind == "natural" else kind)

    def of_class(self, value: int) -> list[DrawnConcept]:
        """Cards that speak for a class."""
        return [c for c in self.cards if c.value == value]

    def take_in_hand(self, card_id: str) -> None:
        """Choose the card that is asked about."""
        if card_id != self.in_hand:
            self.in_hand = card_id
            self.in_hand_changed.emit()

    def asked_region(self) -> AskedRegion | None:
        """The region in hand, for a larger model; None where there is none with a picture."""
        from napari_promptseg.gui.endpoint_work import AskedRegion

        card = self.card(self.in_hand)
        if card is None or card.concept is None or card.mask is None or card.source is None:
            return None
        return AskedRegion(card.id, card.concept, card.mask, card.source.stack)

    def take_answer(self, key: str, change: Callable[[Concept], Concept]) -> None:
        """Fill a card with what a larger model said."""
        self.edit(key, change)

    # ---- regions come and go

    def put(
        self,
        source: PlaneSource,
        mask: npt.NDArray[np.bool_],
        *,
        shape: str = "",
        positive: bool = True,
        image: int = 0,
    ) -> DrawnConcept:
        """A region that was drawn, or drawn anew where there is a card of that `shape`; it is described at once."""
        card = next((c for c in self.cards if shape and c.shape == shape), None)
        if card is None:
            card = DrawnConcept(positive=positive, source=source, mask=mask, shape=shape, image=image)
            self.cards.append(card)
            self.cards_changed.emit()
        else:
            card.source, card.mask, card.image = source, mask, image
        self.take_in_hand(card.id)
        self._describe(card)
        return card

    def refuse(self, shape: str, sentence: str) -> None:
        """A drawn shape is no region, for a reason; a card that it had keeps what it said before."""
        self.said.emit(sentence, "warning")
        card = next((c for c in self.cards if c.shape == shape), None)
        if card is not None and card.trouble != sentence:
            card.trouble = sentence
            self.card_changed.emit(card.id)

    def remove(self, card_id: str) -> None:
        """Delete a card; its class loses the sentence, and what it learned from the region."""
        card = self.card(card_id)
        if card is None:
            return
        if card.value is not None:
            self.session.remember()
        self._gone[card.id] = card
        self.cards.remove(card)
        for kind in ("measure", "describe"):
            self.session.workbench.drop(f"{kind} {card.id}")
        self.cards_changed.emit()
        if card.shape:
            self.removed.emit(card.shape)
        if card.value is not None:
            self._change({card.value})

    def choose_kind(self, kind: ImageKind | None) -> None:
        """What kind of picture all regions are of; None to guess. Regions are described anew, edits kept."""
        self.kind = kind
        if kind is not None and kind != self.session.prompts.image_kind:
            self.session.set_image_kind(kind, self.session.picture.view.kind)
        for card in self.cards:
            if card.source is not None:
                self._describe(card)

    # ---- edits of a card

    def edit(self, card_id: str, change: Callable[[Concept], Concept]) -> bool:
        """Change a concept; False, and a sentence, if it cannot be."""
        card = self.card(card_id)
        if card is None or card.concept is None:
            return False
        try:
            concept = change(card.concept)
        except InputError as error:
            self.said.emit(str(error), "warning")
            self.card_changed.emit(card_id)
            return False
        if concept != card.concept:
            renamed = concept.name != card.concept.name
            card.concept = concept
            self.card_changed.emit(card_id)
            if renamed:
                self._ask_familiarity(concept.name)
            self._keep(card)
        return True

    def set_positive(self, card_id: str, positive: bool) -> None:
        """Whether a region shows its class, or what is not."""
        card = self.card(card_id)
        if card is not None and card.positive != positive:
            card.positive = positive
            self.card_changed.emit(card_id)
            self._keep(card)

    def use_as_class(self, card_id: str) -> bool:
        """Make a class of a concept, or add it to the one of its name; False, and a sentence, if it cannot be."""
        card = self.card(card_id)
        if card is None or card.concept is None:
            return False
        name = card.concept.name or self._free_name()
        standing = next((c for c in self.session.prompts.classes if c.name.casefold() == name.casefold()), None)
        if standing is not None:
            return self.add_to_class(card_id, standing.value)
        self.session.remember()
        prompts = self.session.prompts.with_added([(name,)])
        value = prompts.classes[-1].value
        prompts = prompts.with_replaced(value, threshold=self.session.default_threshold)
        return self._give(card, value, prompts)

    def add_to_class(self, card_id: str, value: int | None) -> bool:
        """Let a region speak for a class, or for none any more."""
        card = self.card(card_id)
        if card is None or card.concept is None or card.value == value:
            return False
        self.session.remember()
        return self._give(card, value, self.session.prompts)

    def close(self) -> None:
        """Stop following edits."""
        self._edit_timer.stop()

    # ---- inside

    def _give(self, card: DrawnConcept, value: int | None, prompts: PromptSet) -> bool:
        touched = {v for v in (card.value, value) if v is not None}
        card.value = value
        self.card_changed.emit(card.id)
        self._change(touched, prompts)
        return True

    def _keep(self, card: DrawnConcept) -> None:
        """After an edit: the note at once, the class and its mask after a pause."""
        if card.value is None:
            return
        prompts = self.session.prompts
        self._set(replace(prompts, metadata=self._notes(prompts)))
        self._edited.add(card.value)
        self._edit_timer.start()

    def _follow_edits(self) -> None:
        edited, self._edited = self._edited, set()
        edited &= {c.value for c in self.session.prompts.classes}
        if edited:
            self._change(edited)

    def _change(self, values: set[int], prompts: PromptSet | None = None) -> None:
        """Bring classes in step with their cards, and learn from these."""
        prompts = self.session.prompts if prompts is None else prompts
        for value in values:
            said = [c.sentence for c in self.of_class(value) if c.positive and c.concept is not None]
            prompts = prompts.with_replaced(value, sentences=tuple(dict.fromkeys(said)))
        self._set(replace(prompts, metadata=self._notes(prompts)))
        self.learning.start(values)

    def _notes(self, prompts: PromptSet) -> dict[str, Any]:
        return with_notes(prompts.metadata, [c.as_note() for c in self.cards if c.value is not None])

    def _set(self, prompts: PromptSet) -> None:
        self._writing = True
        try:
            self.session.set_prompts(prompts)
        finally:
            self._writing = False

    def _free_name(self) -> str:
        taken = {c.name.casefold() for c in self.session.prompts.classes}
        return next(name for n in range(1, len(taken) + 2) if (name := f"region {n}") not in taken)

    def _describe(self, card: DrawnConcept) -> None:
        session = self.session
        source, mask, kind, quality = card.source, card.mask, self.known_kind, session.quality
        if source is None or mask is None:
            return
        self.learning.stand_aside()
        engine, model = session.engine, session.model

        def done(found: Described, *, last: bool) -> None:
            if card not in self.cards or card.source is not source or card.mask is not mask:  # drawn anew meanwhile
                return
            card.concept, card.trouble = with_edits(found.concept, card.concept), ""
            card.thumbnail = found.thumbnail
            self.card_changed.emit(card.id)
            if last:
                session.say(f"Seen: {card.sentence}.")
                self.said.emit("", "info")
            if last and card.value is not None:
                self._change({card.value})
            elif last:
                self.learning.take_up()

        def failed(sentence: str) -> None:
            card.trouble = sentence
            self.said.emit(sentence, "warning")
            self.card_changed.emit(card.id)
            self.learning.take_up()

        def submit(model: ModelChoice | None) -> None:
            task = partial(describe, engine, model, source, mask, kind, quality)
            name = f"describe {card.id}" if model is not None else f"measure {card.id}"
            session.workbench.submit(Job(name, task, partial(done, last=model is not None), failed))

        if not engine.has_seen(source, quality):
            # what is measured needs no model: it is shown while the picture is encoded
            submit(None)
        submit(model)

    def _ask_familiarity(self, name: str) -> None:
        session = self.session
        if not name or name in session.known:
            return

        def known(found: dict[str, Any]) -> None:
            session.known.update(found)
            session.familiarity_changed.emit()

        session.workbench.submit(
            Job(
                "familiarity of a region's name",
                lambda _: session.engine.familiarity([name]),
                known,
                lambda sentence: self.said.emit(sentence, "error"),
                quiet=True,
            )
        )

    def _on_prompts(self) -> None:
        """Classes were edited, loaded or gone back on: the notes in them say which card speaks for which."""
        if self._writing:
            return
        prompts = self.session.prompts
        values = {c.value for c in prompts.classes}
        notes = [note for note in notes_of(prompts.metadata) if note["class"] in values]
        before = {c.id for c in self.cards}
        standing = {card_of(note): note for note in notes if card_of(note)}
        for card in self.cards:
            note = standing.get(card.id)
            if note is None:
                card.value = None
            else:
                card.take(note)
        # a card that came from notes alone goes with them
        self.cards = [c for c in self.cards if c.value is not None or c.source is not None]
        for note in notes:
            if card_of(note) in before:
                continue
            revived = self._gone.pop(card_of(note), None)
            if revived is not None:
                revived.take(note)
            self.cards.append(revived or DrawnConcept.from_note(note))
        if any(not card_of(note) for note in notes):
            self._set(replace(prompts, metadata=self._notes(prompts)))
        for card in self.cards:
            if card.trouble and card.id not in before:
                self.said.emit(card.trouble, "warning")
        self.cards_changed.emit()
        for card in self.cards:
            self.card_changed.emit(card.id)

    def _on_model(self) -> None:
        """Embed the vocabulary in the background, so that the first card need not wait for it."""
        engine = self.session.engine
        if engine.segmenter is None or engine.loaded != self.session.model:
            return
        fingerprint = str(getattr(engine.segmenter.encoder, "fingerprint", ""))
        if fingerprint and fingerprint != self._warmed:
            self._warmed = fingerprint
            self.session.workbench.submit(
                Job(
                    "region words",
                    lambda progress: warm_up(engine, progress),
                    lambda _: None,
                    lambda sentence: self.said.emit(sentence, "error"),
                    quiet=True,
                )
            )
