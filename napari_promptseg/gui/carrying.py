"""Whether what the strokes of a picture taught goes along to files and to other pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_promptseg.gui.live_masks import Carried, Lesson, of_classes
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from napari_promptseg.gui.engine import Request
    from napari_promptseg.gui.session import Session


@dataclass(frozen=True, eq=False)
class Load:
    """What is to be carried, fixed in the GUI thread.

    Parameters
    ----------
    request : Request
        Of the picture with the strokes.
    lesson : Lesson
    n_strokes : int
    """

    request: Request
    lesson: Lesson
    n_strokes: int

    @property
    def report(self) -> dict[str, Any]:
        """Plain values for a ``.promptseg`` file."""
        picture, n = self.request.source.name, self.n_strokes
        more = " and before on another picture" if self.lesson.carried is not None else ""
        sentence = f"learned from {n} stroke{'s' if n != 1 else ''} on {picture}{more}, not judged on other pictures"
        return {"sentence": sentence, "carried": {"strokes": n, "picture": picture}}


class Carrying(QObject):
    """Decides by what the model knows, unless the user does.

    Signals
    -------
    changed
        Whether something is carried may have changed.

    Notes
    -----
    What one picture teaches often fits that picture alone: where the words find a class, they find it better in
    other pictures without it. Where the model does not know the word, strokes are all there is.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._chosen: bool | None = None
        corrector = session.corrector
        for signal in (corrector.strokes_changed, session.familiarity_changed, session.prompts_changed):
            signal.connect(self.changed)

    @property
    def n_strokes(self) -> int:
        """Strokes of the image in hand that teach the classes there are."""
        return len(of_classes(self.session.corrector.corrections, self.session.prompts))

    @property
    def has_received(self) -> bool:
        """Whether the image in hand begins from what strokes on another one taught."""
        carried = self.session.corrector.carried.get(id(self.session.picture.layer))
        return carried is not None and carried.over == self.session.prompts.learned

    @property
    def can_be_on(self) -> bool:
        """Whether there is anything to carry."""
        return bool(self.n_strokes) or self.has_received

    @property
    def is_on(self) -> bool:
        """Whether strokes go along: as chosen, otherwise where one is of a class whose name the model does not know.

        What another picture taught goes on with the same right.
        """
        session = self.session
        if not self.can_be_on or self._chosen is not None:
            return self.can_be_on and bool(self._chosen)
        corrected = set(session.corrector.corrections.values)
        names = [c.name for c in session.prompts.classes if c.value in corrected]
        return self.has_received or any(session.known.get(name, ("", ()))[0] == "unknown" for name in names)

    @property
    def sentence(self) -> str:
        """What of the strokes will go along, for the user; empty where nothing does."""
        n = self.n_strokes
        if not self.is_on:
            return ""
        if not n:
            return "What strokes on another picture taught goes along: look at the masks."
        which = f"The {n} strokes of this picture go along" if n > 1 else "The stroke of this picture goes along"
        others = ", with what another picture taught" if self.has_received else ""
        return f"{which}{others}. They may fit no other picture: look at the masks."

    def choose(self, on: bool) -> None:
        """Carry from now on, or not; what had been carried to open images is taken from them then."""
        self._chosen = on
        if not on:
            self.session.corrector.carried.clear()
        self.changed.emit()

    def load(self) -> Load | None:
        """What goes along now; None where nothing does."""
        session = self.session
        source, image, view = session.picture.in_sight, session.picture.layer, session.picture.view
        if not self.is_on or source is None:
            return None
        lesson = session.corrector.lesson(source, image, view)
        return None if lesson is None else Load(session.request(source, image, view), lesson, self.n_strokes)

    def taught(self, load: Load, progress: Progress) -> PromptSet:
        """In the worker: the classes with what the strokes taught."""
        engine = self.session.engine
        engine.run(load.request, progress)
        assert engine.segmenter is not None  # the engine has run
        return self.session.corrector.masks.taught(engine.segmenter, load.request, load.lesson)

    def give(self, prompts: PromptSet, load: Load, images: list[Any]) -> None:
        """Let open images begin from what was taught, and not from words, as long as the prompts stay the same."""
        if prompts.learned is not None:
            carried = Carried(load.request.prompts.learned, prompts.learned)
            self.session.corrector.carried.update((id(image), carried) for image in images)
