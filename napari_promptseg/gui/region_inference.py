"""How the concepts of drawn regions are looked for: by words, with pseudo-text, or text-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_promptseg.prompts.region_concepts import INFERENCES, Inference, inference_of, region_values, with_inference

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session
    from napari_promptseg.learning.regions import RegionResult


class RegionInference(QObject):
    """Switches the session's prompts between the ways that were learned.

    Signals
    -------
    changed
        Another way is in use, or there are other scores.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.is_automatic = True
        self._result: RegionResult | None = None
        session.prompts_changed.connect(self.changed)
        session.regions.learning.changed.connect(self._on_learning)

    @property
    def scores(self) -> Mapping[Inference, float]:
        """Held-out Dice of each way, as last learned or as loaded from a file; empty before."""
        report = self.session.tuning.validation
        if self.session.regions.learning.is_running or report.get("method") != "roi":
            return {}
        scores = report.get("scores")
        if not isinstance(scores, dict):
            return {}
        found: dict[Inference, float] = {}
        for name in INFERENCES:
            value = scores.get(name)
            if isinstance(value, int | float):
                found[name] = float(value)
        return found

    @property
    def judged_by(self) -> str:
        """What the scores were found on, in words."""
        by = self.session.tuning.validation.get("held_out")
        return "regions held out in turn" if by == "regions" else "parts of the region held out in turn"

    @property
    def is_concept(self) -> bool:
        """Whether any class has a region behind it."""
        prompts = self.session.prompts
        return bool(region_values(prompts)) or any(c.sentences for c in prompts.classes)

    @property
    def can_switch(self) -> bool:
        """Whether anything was learned that could be used or left."""
        return bool(region_values(self.session.prompts)) or self.session.regions.learning.result is not None

    @property
    def in_use(self) -> Inference | None:
        """The way in use; None where classes differ."""
        prompts = self.session.prompts
        found = {inference_of(prompts, value) for value in region_values(prompts)}
        if not found:
            return "words"
        return found.pop() if len(found) == 1 else None

    def choose(self, inference: Inference | None) -> None:
        """Look for all concepts in one way; None for the one that held-out regions say is best."""
        session = self.session
        self.is_automatic = inference is None
        wanted = inference or self._best
        if wanted is not None and wanted != self.in_use:
            prompts, result = session.prompts, session.regions.learning.result
            if not region_values(prompts) and result is not None:
                # it was no better than the words, so the prompts are without it
                prompts = replace(prompts, learned=result.candidates[wanted].learned)
            for value in region_values(prompts):
                prompts = with_inference(prompts, value, wanted)
            session.remember()
            session.set_prompts(prompts)
            session.follow(first=True)
        self.changed.emit()

    @property
    def _best(self) -> Inference | None:
        result, scores = self.session.regions.learning.result, self.scores
        if result is not None and not result.kept:
            return "words"
        return max(scores.items(), key=lambda item: item[1])[0] if scores else None

    def _on_learning(self) -> None:
        """What is learned anew comes with the best way in use."""
        result = self.session.regions.learning.result
        if result is not None and result is not self._result:
            self._result, self.is_automatic = result, True
        self.changed.emit()
