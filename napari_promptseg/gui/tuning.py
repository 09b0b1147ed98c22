"""Prompt tuning as the dock does it: in the worker, with a curve, and kept only if held-out strokes agree."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_promptseg.errors import CancelledError
from napari_promptseg.gui.layers import PlaneSource
from napari_promptseg.gui.live_masks import of_classes
from napari_promptseg.gui.work import Job
from napari_promptseg.learning.corrections import Corrections
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.modality_notes import modality_notes

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session
    from napari_promptseg.learning.prompt_tuning import TuningResult


class Tuning(QObject):
    """Tunes the session's prompts from the strokes of the image in hand.

    Signals
    -------
    began, ended
        Of one tuning; `report` then has the verdict, nothing where there was none.
    point : (int, float, float)
        Step, loss and held-out Dice.
    """

    began = Signal()
    ended = Signal()
    point = Signal(int, float, float)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.session = session
        self.report = ""
        self.validation: dict[str, Any] = {}
        self.is_running = False
        self._stop = threading.Event()
        self._step.connect(self.point, Qt.ConnectionType.QueuedConnection)

    _step = Signal(int, float, float)

    def start(self) -> bool:
        """Begin; False, and a sentence, if something is missing."""
        session = self.session
        corrector = session.corrector
        corrector.look()
        corrections = of_classes(corrector.corrections, session.prompts)
        strokes = corrector.strokes
        if strokes is None or not len(corrections):
            session.say("Paint some of the mask's errors first: prompts are tuned from your strokes.", "warning")
            return False
        if not any(value and strokes_of > 1 for value, (strokes_of, _) in corrections.counts().items()):
            session.say(
                "Tuning needs two strokes or points of one class, one to learn from and one to judge. "
                "Where the mask is right already, take Point and click on the class.",
                "warning",
            )
            return False
        source = session.picture.source()
        model, prompts, key = session.model, session.prompts, strokes.key
        sources = {p: source.at(strokes.index(p)) for p in corrections.planes}
        self._stop.clear()

        def task(progress: Progress) -> TuningResult:
            return self._tune(progress, model, prompts, corrections, key, sources)

        self.is_running = True
        self.began.emit()
        session.workbench.submit(Job("tune", task, self._on_done, self._on_failed))
        return True

    def stop(self) -> None:
        """End at the next step and judge the best state so far."""
        self._stop.set()

    def _tune(
        self,
        progress: Progress,
        model: Any,
        prompts: Any,
        corrections: Corrections,
        key: str,
        sources: dict[int, PlaneSource],
    ) -> TuningResult:
        """In the worker."""
        from napari_promptseg.learning.prompt_tuning import tune_prompts
        from napari_promptseg.learning.tuning_data import TuningSample

        engine, masks = self.session.engine, self.session.corrector.masks
        engine.load(model, progress)
        segmenter = engine.segmenter
        assert segmenter is not None  # load has raised otherwise
        encoder = segmenter.encoder
        samples = []
        for plane, source in sources.items():
            features = masks.features(key, plane, encoder.fingerprint)
            if features is None:
                progress(0, 0, "encoding the picture")
                features = encoder.encode_plane(source.stack().picture(0), quality=segmenter.settings.quality)
                masks.keep(key, plane, features)
            samples.append(TuningSample.from_corrections(features, corrections, plane))

        def step(done: int, total: int, description: str) -> None:
            progress(done, total, f"tuning, step {done} of {total}: {description}")
            numbers = [float(w.strip(",")) for w in description.split() if w[:1].isdigit()]
            if len(numbers) == 2:
                self._step.emit(done, *numbers)
            if self._stop.is_set():
                raise CancelledError("Stopped at your request.")

        return tune_prompts(encoder, prompts, samples, progress=step)

    def _on_done(self, result: TuningResult) -> None:
        self.report = result.sentence[:1].upper() + result.sentence[1:] + "."
        if result.cancelled:
            self.report += " Stopped early: the best so far was judged."
        if result.notices:
            self.report += " " + " ".join(result.notices)
        first, *others = [n.name for n in modality_notes(self.session.prompts.metadata)] or [""]
        if others:
            self.report += f" Learned from {first!r} alone: “Tune modalities” learns from all."
        self.is_running = False
        self.validation = result.report()
        if result.kept:
            self.session.remember()
            # Names may have been edited meanwhile: only what was learned is taken.
            self.session.set_prompts(replace(self.session.prompts, learned=result.prompts.learned))
        self.ended.emit()
        self.session.say(self.report)

    def _on_failed(self, sentence: str) -> None:
        self.is_running = False
        self.report = ""
        self.ended.emit()
        self.session.say(sentence, "error")
