"""Learning from drawn regions as the dock does it: a mask at once, a better one when it is ready."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_promptseg.errors import CancelledError
from napari_promptseg.gui.drawn_concept import DrawnConcept
from napari_promptseg.gui.region_work import guess, learn
from napari_promptseg.gui.work import Job
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.gui.regions import Regions
    from napari_promptseg.learning.regions import RegionResult, RegionSettings
    from napari_promptseg.prompts.prompt_set import PromptSet

_QUICK, _FULL = "region mask", "learn regions"


class RegionLearning(QObject):
    """Learns from the cards that speak for a class, in the worker.

    Attributes
    ----------
    report : str
        Of the last run, for the user.
    result : RegionResult or None
        Of the last whole run; None when cards have changed since it began.
    settings : RegionSettings, optional
        Of learning; the usual ones where not given.

    Signals
    -------
    changed
        It began, ended, or has another `report`.
    """

    changed = Signal()

    def __init__(self, regions: Regions) -> None:
        super().__init__(regions)
        self.regions = regions
        self.session = regions.session
        self.report = ""
        self.result: RegionResult | None = None
        self.is_running = False
        self.settings: RegionSettings | None = None
        self._stop = threading.Event()
        self._run = 0
        self._wanted = False

    def start(self, values: set[int]) -> None:
        """Learn anew after these classes' cards have changed: what can be had at once first."""
        from napari_promptseg.prompts.region_concepts import region_values, without_region

        session = self.session
        prompts = session.prompts
        for value in region_values(prompts):
            if value in values and not any(c.positive for c in self.regions.of_class(value)):
                prompts = without_region(prompts, value)
        if prompts != session.prompts:
            session.set_prompts(prompts)
        self.interrupt()
        self.result = None
        self._wanted = False
        if self._drawn():
            self._submit(quick=True)
        else:
            self.report = ""
            session.follow(first=True)
            self.changed.emit()

    def stop(self) -> None:
        """End at the next step and judge the best so far."""
        self._stop.set()

    def interrupt(self) -> None:
        """End at the next step; nothing of it is taken."""
        self._run += 1
        self._stop.set()
        for kind in (_QUICK, _FULL):
            self.session.workbench.drop(kind)
        if self.is_running:
            self.is_running = False
            self.changed.emit()

    def stand_aside(self) -> None:
        """Make way for a card that is being described."""
        if self.is_running:
            self._wanted = True
            self.interrupt()

    def take_up(self) -> None:
        """Go on with what had to stand aside."""
        if self._wanted and not self.is_running and self._drawn():
            self._wanted = False
            self._submit(quick=False)

    def _drawn(self) -> list[DrawnConcept]:
        """Cards that can be learned from: those with a picture, of classes that one of them shows."""
        cards = [c for c in self.regions.cards if c.mask is not None and c.concept is not None and c.value is not None]
        shown = {c.value for c in cards if c.positive}
        return [c for c in cards if c.value in shown]

    def _submit(self, *, quick: bool) -> None:
        session, run = self.session, self._run
        prompts, quality, model = session.prompts, session.quality, session.model
        # cards go on being edited in the window's thread
        drawn = [replace(card) for card in self._drawn()]
        self._stop = stop = threading.Event()
        self.is_running = True
        self.changed.emit()

        def step(progress: Progress, done: int, total: int, description: str) -> None:
            progress(done, total, description)
            if stop.is_set():
                raise CancelledError("Stopped at your request.")

        def task(progress: Progress) -> PromptSet | RegionResult:
            listen = partial(step, progress)
            try:
                if quick:
                    return guess(session.engine, model, prompts, drawn, quality, listen)
                return learn(session.engine, model, prompts, drawn, quality, listen, settings=self.settings)
            except CancelledError:
                if not stop.is_set():
                    raise
                return prompts  # before there was anything to judge

        done, failed = self._on_guessed if quick else self._on_learned, partial(self._on_failed, run)
        session.workbench.submit(Job(_QUICK if quick else _FULL, task, partial(done, run), failed))

    def _on_guessed(self, run: int, prompts: PromptSet) -> None:
        if run != self._run:
            return
        self._take(prompts)
        if self._stop.is_set():
            self.is_running = False
            self.changed.emit()
        else:
            self._submit(quick=False)

    def _on_learned(self, run: int, result: PromptSet | RegionResult) -> None:
        from napari_promptseg.learning.regions import RegionResult

        if run != self._run:
            return
        self.is_running = False
        if not isinstance(result, RegionResult):
            self.changed.emit()
            return
        self.result = result
        self.report = " ".join([result.sentence[:1].upper() + result.sentence[1:] + ".", *result.notices])
        self.session.tuning.validation = result.report()
        self.session.remember()
        self._take(result.prompts)
        self.session.say(self.report)
        self.changed.emit()

    def _take(self, prompts: PromptSet) -> None:
        """Use what was learned; words may have been edited meanwhile, so nothing else is taken."""
        self.session.set_prompts(replace(self.session.prompts, learned=prompts.learned))
        self.session.follow(first=True)

    def _on_failed(self, run: int, sentence: str) -> None:
        if run == self._run:
            self.is_running = False
            self.changed.emit()
            self.regions.said.emit(sentence, "error")
            self.session.follow(first=True)
