"""Prompts to and from ``.promptseg`` files, in the background."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_promptseg.gui.window_control import WINDOWED
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.carrying import Carrying
    from napari_promptseg.gui.session import Session


class PromptFiles:
    """Saves and loads the session's prompts; a file of another model is refused with the reason."""

    def __init__(self, session: Session, carrying: Carrying) -> None:
        self.session = session
        self.carrying = carrying

    def save(self, path: Path) -> None:
        """Write the classes, and what they learned; what strokes taught too where it is carried."""
        session, carrying, load = self.session, self.carrying, self.carrying.load()
        model, prompts, validation = session.model, session.prompts, dict(session.tuning.validation)
        view = session.picture.view
        reading: dict[str, Any] = {"kind": view.kind, "quality": session.quality}
        if view.limits is not None:
            reading["window"] = [float(v) for v in view.limits]

        def task(progress: Progress) -> Path:
            from napari_promptseg import __version__
            from napari_promptseg.prompts.prompt_file import SavedPrompts, save_prompts

            encoder = self._encoder(model, progress)
            taught = prompts if load is None else carrying.taught(load, progress)
            report = validation if prompts.learned is not None else {}
            if load is not None:
                said = [r["sentence"] for r in (report, load.report) if r.get("sentence")]
                report = {**report, **load.report, "sentence": "; ".join(said)}
            made_by = {"napari-promptseg": __version__}
            saved = SavedPrompts(taught, encoder.name, encoder.fingerprint, reading, report, made_by)
            return save_prompts(path, saved)

        def done(file: Path) -> None:
            what = "the prompts" if load is None else f"the prompts, with what {_strokes(load.n_strokes)} taught,"
            session.say(f"Saved {what} as {file.name} in {file.parent}.")

        session.workbench.submit(Job(f"save prompts {path}", task, done, self._fail))

    def load(self, path: Path) -> None:
        """Take classes, and what they learned, from a file; the mask follows if live is on."""
        session = self.session
        model = session.model

        def task(progress: Progress) -> Any:
            from napari_promptseg.prompts.prompt_file import load_prompts

            encoder = self._encoder(model, progress)
            return load_prompts(path, fingerprint=encoder.fingerprint, model=encoder.name)

        def done(saved: Any) -> None:
            session.remember()
            session.tuning.validation = dict(saved.validation)
            # what was learned from a quick look fits quick looks
            if saved.prompts.learned is not None and saved.normalisation.get("quality") in ("fast", "fine"):
                session.quality = saved.normalisation["quality"]
            session.set_prompts(saved.prompts)
            self._look_alike(saved.normalisation)
            report = saved.validation.get("sentence", "")
            session.say(f"Loaded {len(saved.prompts)} classes from {path.name}" + (f" ({report})." if report else "."))

        session.workbench.submit(Job("load prompts", task, done, self._fail))

    def _look_alike(self, reading: Mapping[str, Any]) -> None:
        """Look at the image in hand as at the one that the file's classes were made on, where it was CT or MR."""
        picture = self.session.picture
        kind, window = reading.get("kind"), reading.get("window")
        if picture.layer is None or picture.layer.rgb or kind not in WINDOWED:
            return
        picture.look(kind=kind)
        try:
            low, high = (float(v) for v in window or ())
        except (TypeError, ValueError):
            return
        if low < high:
            picture.set_window((low, high))

    def _encoder(self, model: Any, progress: Progress) -> Any:
        """In the worker: the model in hand."""
        engine = self.session.engine
        engine.load(model, progress)
        assert engine.segmenter is not None  # load has raised otherwise
        return engine.segmenter.encoder

    def _fail(self, sentence: str) -> None:
        self.session.say(sentence, "error")


def _strokes(n: int) -> str:
    return f"{n} stroke{'s' if n != 1 else ''}"
