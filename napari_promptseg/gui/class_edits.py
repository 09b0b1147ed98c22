"""What a person does to the classes: add, rename, recolour, remove. No widget and no viewer in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from qtpy.QtCore import QObject, Signal

from napari_promptseg.concepts.renaming import renamed_class
from napari_promptseg.errors import InputError
from napari_promptseg.prompts.modality_notes import KEY as MODALITIES
from napari_promptseg.prompts.prompt_set import PromptSet, split_names

#: How a message is meant: plain news, something to put right, or a failure.
Tone = Literal["info", "warning", "error"]


class ClassEdits(QObject):
    """The classes of a session and their edits; one that cannot be is refused with a sentence.

    Attributes
    ----------
    prompts : PromptSet
    default_threshold : float
        What new classes start with.
    """

    prompts_changed = Signal()
    message = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.prompts = PromptSet(())
        self.default_threshold = 0.5

    def say(self, text: str, tone: Tone = "info") -> None:
        """One sentence in the dock."""
        self.message.emit(text, tone)

    def add_classes(self, text: str) -> bool:
        """Add the classes named in ``"cat, sofa | couch"``; False, and a sentence, if they cannot be."""
        groups = split_names(text)
        if not groups:
            self.say("Type at least one name, for example: cat, sofa | couch.", "warning")
            return False
        before = {c.value for c in self.prompts.classes}

        def change() -> PromptSet:
            prompts = self.prompts.with_added(groups)
            for c in prompts.classes:
                if c.value not in before:
                    prompts = prompts.with_replaced(c.value, threshold=self.default_threshold)
            return prompts

        return self._edit(change)

    def rename(self, value: int, text: str) -> bool:
        """Give a class the name and synonyms ``"sofa | couch"``."""
        groups = split_names(text)
        if len(groups) != 1:
            self.say("A class needs one name; put synonyms after a |, for example: sofa | couch.", "warning")
            return False
        name, *synonyms = groups[0]
        return self._edit(lambda: renamed_class(self.prompts, value, name, tuple(synonyms)))

    def set_threshold(self, value: int, threshold: float) -> bool:
        """Threshold of one class, from 0 to 1."""
        return self._edit(lambda: self.prompts.with_replaced(value, threshold=min(max(threshold, 0.0), 1.0)))

    def set_default_threshold(self, threshold: float) -> bool:
        """Threshold of new classes, and of all that still have the one before."""
        before, self.default_threshold = self.default_threshold, threshold

        def change() -> PromptSet:
            classes = tuple(
                replace(c, threshold=threshold) if c.threshold == before else c for c in self.prompts.classes
            )
            return replace(self.prompts, classes=classes)

        return self._edit(change)

    def set_look(self, value: int, **changes: Any) -> bool:
        """Colour or visibility of a class: the layer follows at once, nothing is computed."""
        return self._edit(lambda: self.prompts.with_replaced(value, **changes), look_only=True)

    def remove_class(self, value: int) -> bool:
        """Remove a class; the others keep their label values."""
        return self._edit(lambda: self.prompts.without(value))

    def set_background(self, text: str) -> bool:
        """Words for everything that is none of the classes."""
        words = tuple(dict.fromkeys(word for group in split_names(text) for word in group))
        if not words:
            self.say("Keep at least one background word, for example: background.", "warning")
            return False
        return self._edit(lambda: replace(self.prompts, background=words))

    def set_prompts(self, prompts: PromptSet) -> None:
        """Take another set of classes, as when a state or a file is loaded."""
        self._edit(lambda: prompts)

    def _edit(self, change: Callable[[], PromptSet], *, look_only: bool = False) -> bool:
        try:
            prompts = change()
        except InputError as error:
            self.say(str(error), "warning")
            self.prompts_changed.emit()  # so that a table shows what stands, not what was refused
            return False
        if prompts == self.prompts and prompts.metadata.get(MODALITIES) == self.prompts.metadata.get(MODALITIES):
            if prompts.metadata != self.prompts.metadata:
                # notes of regions: they go into a file, and no mask hangs on them
                self.prompts = prompts
                self.prompts_changed.emit()
            return True
        self.prompts = prompts
        self._on_edit(look_only=look_only)
        return True

    def _on_edit(self, *, look_only: bool) -> None:
        """What follows an edit that was made; a subclass adds its own."""
        self.prompts_changed.emit()
