"""What asks a larger model, wherever it runs: the crop and a question in, the model's text out."""

from __future__ import annotations

from typing import Protocol

from napari_promptseg.concepts.multimodal.crop import Crop
from napari_promptseg.concepts.multimodal.disclosure import Disclosure
from napari_promptseg.concepts.multimodal.question import Question
from napari_promptseg.progress import Progress


class NoAnswerError(Exception):
    """The model gave no answer that can be read; the message is a clause that follows the model's name.

    It never holds text of the server's, which may repeat what was sent.
    """


class Teller(Protocol):
    """A larger model."""

    @property
    def name(self) -> str:
        """The model's name, as the user gave it."""

    def disclosure(self, crop: Crop | None = None) -> Disclosure:
        """What `ask` would send, and where to.

        Raises
        ------
        InputError
            If that cannot be found out.
        """

    def ask(self, crop: Crop, question: Question, progress: Progress) -> str:
        """The model's reply, unread.

        Raises
        ------
        NoAnswerError
            If there is none; the caller goes on without it.
        InputError, ModelError
            If it was not asked because something must be set up or allowed first.
        CancelledError
            If the listener says so.
        """
