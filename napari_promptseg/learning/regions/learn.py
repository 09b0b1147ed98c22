"""Learn concepts from drawn regions: what they look like becomes part of a prompt set, if that is better.

After CoTexNet (He et al., Engineering 2026): a conceptual sentence, a token of pseudo-text made from the region, both
read together by the frozen text tower, and a student of the result that needs no text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from napari_promptseg.encoders.device import free_memory, is_out_of_memory
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import CancelledError, InputError
from napari_promptseg.learning.held_out_planes import drawn_values
from napari_promptseg.learning.learned_classes import on_cells
from napari_promptseg.learning.regions.concept_fit import ConceptFit, fit_concept, words_margins
from napari_promptseg.learning.regions.drawn import DrawnRegion, Pixels, draw_pixels, marks_of, without_lookalikes
from napari_promptseg.learning.regions.parts import parts_of
from napari_promptseg.learning.regions.result import RegionResult
from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.learning.validation import Verdict
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.multiview import SlotTower, text_tower
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import Inference, with_concept, without_region
from napari_promptseg.segmentation.segmenter import Segmenter

#: Held-out Dice by which text-free inference has to be better.
CLEARLY = 0.01


def learn_regions(
    segmenter: Segmenter,
    prompts: PromptSet,
    regions: Sequence[DrawnRegion],
    *,
    settings: RegionSettings | None = None,
    inference: Inference | None = None,
    unlabelled: Sequence[DenseFeatures] = (),
    progress: Progress = silent,
) -> RegionResult:
    """Learn the classes that have regions.

    Parameters
    ----------
    segmenter : Segmenter
        With a model whose text tower takes learned tokens.
    prompts : PromptSet
        Holds the classes of all regions. What regions taught before is learned anew.
    regions : sequence of DrawnRegion
        Of one or several planes, encoded with the segmenter's model; at least one positive for each class.
    settings : RegionSettings, optional
    inference : Inference, optional
        The one to use; without, the one that finds held-out regions best. Text-free inference is taken only where other
        images judge: parts of one image share their class token.
    unlabelled : sequence of DenseFeatures
        Of further images, which the text-free student is kept sensible on.
    progress : callable
        ``(done, total, description)``; raising `CancelledError` in it ends learning with the best so far.

    Returns
    -------
    RegionResult
        Kept only if held-out Dice rose.

    Raises
    ------
    InputError
        If there is no region, one is of another model or of a class that is not there, or a class has none that
        shows it.
    ModelError
        If the model takes no learned tokens.
    """
    began = time.perf_counter()
    chosen = settings or RegionSettings()
    tower = text_tower(segmenter.encoder)
    _check(segmenter, prompts, regions)
    device = torch.device(segmenter.encoder.device)
    copied = getattr(tower, "copied_to", None)
    notices: tuple[str, ...] = ()

    def attempt(on: SlotTower, where: torch.device) -> RegionResult:
        steps = _Steps(progress)
        there = [f.to(where) for f in unlabelled]
        return _Run(segmenter, on, prompts, _moved(regions, where), chosen, steps, there).go(inference)

    try:
        result = attempt(tower, device)
    except RuntimeError as error:
        if not is_out_of_memory(error) or device.type == "cpu" or copied is None:
            raise
        notices = (f"The memory of {device} is full: regions are learned on the CPU, which is slower.",)
    finally:
        free_memory()
    # outside the handler, so that the traceback no longer holds what filled the memory
    if notices and copied is not None:
        cpu = torch.device("cpu")
        result = attempt(copied(cpu), cpu)
    return replace(result, seconds=time.perf_counter() - began, notices=notices)


class _Steps:
    """Counts steps for a listener, who may stop them: they then end early, and what follows takes none."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.cancelled = False
        self.done, self.total, self.doing = 0, 0, ""

    def __call__(self) -> bool:
        """Count one; False once cancelled."""
        if not self.cancelled:
            try:
                self._progress(min(self.done, self.total), self.total, self.doing)
            except CancelledError:
                self.cancelled = True
        self.done += 1
        return not self.cancelled


@dataclass(frozen=True, eq=False)
class _Taught:
    """Prompt sets by inference, and drift by class."""

    candidates: dict[Inference, PromptSet]
    drift: dict[str, float]


class _Run:
    """One go at learning, on one device."""

    def __init__(
        self,
        segmenter: Segmenter,
        tower: SlotTower,
        prompts: PromptSet,
        regions: Sequence[DrawnRegion],
        settings: RegionSettings,
        steps: _Steps,
        unlabelled: Sequence[DenseFeatures] = (),
    ) -> None:
        self.segmenter, self.tower, self.settings, self.steps = segmenter, tower, settings, steps
        self.given, self.regions, self.unlabelled = prompts, regions, unlabelled
        self.values = tuple(dict.fromkeys(r.value for r in regions))
        plain = prompts
        for value in self.values:
            plain = without_region(plain, value)
        self.plain = with_sentences(plain, regions)
        # each class by itself: a region that is all there is of a class cannot be held out whole
        self.parts = {v: parts_of([r for r in regions if r.value == v], settings.folds) for v in self.values}
        self.n_parts = max(parts.number for parts in self.parts.values())
        self.pixels = {v: self._pixels(v) for v in self.values}
        fits = (1 + self.n_parts) * len(self.values)
        steps.total = fits * (settings.steps + settings.distil * settings.distil_steps) + 1

    def go(self, inference: Inference | None) -> RegionResult:
        """Learn from everything, then let parts judge in turn."""
        self.steps.doing = "learning from all regions"
        whole = self._teach(self.pixels)
        judged: dict[Inference, list[float]] = {i: [] for i in whole.candidates}
        before: list[float] = []
        for part in range(self.n_parts):
            self.steps.doing = f"judging by part {part + 1} of {self.n_parts}"
            held = {v: self._part(v) == part for v in self.values}
            taught = self._teach({v: p.where(~held[v]) for v, p in self.pixels.items()})
            judges = {v: p.where(held[v]) for v, p in self.pixels.items()}
            before.append(self._dice(self.given, judges))
            for name, prompts in taught.candidates.items():
                judged[name].append(self._dice(prompts, judges))
        scores = {name: float(np.mean(values)) for name, values in judged.items()}
        best = self._best(scores) if inference is None else inference
        verdict = Verdict(float(np.mean(before)), scores[best], len(self.regions), "region")
        return RegionResult(
            prompts=whole.candidates[best] if verdict.kept else self.given,
            candidates=whole.candidates,
            scores=scores,
            chosen=best,
            verdict=verdict,
            n_regions=len(self.regions),
            held_out=self._held_out,
            drift=whole.drift,
            cancelled=self.steps.cancelled,
        )

    @property
    def _held_out(self) -> str:
        """What judges; of several classes' the least that one has."""
        return next(h for h in ("parts", "regions", "images") if any(p.held_out == h for p in self.parts.values()))

    def _best(self, scores: Mapping[Inference, float]) -> Inference:
        """The inference that held-out pixels prefer, if they can tell."""
        able = {n: s for n, s in scores.items() if n != "text-free" or self._held_out == "images"}
        best = max(able, key=lambda name: able[name])
        # what needs no text gives up what the user can read and edit, and so has to be clearly better
        other = max((n for n in able if n != "text-free"), key=lambda name: able[name])
        return best if able[best] > able[other] + CLEARLY else other

    def _teach(self, pixels: Mapping[int, Pixels]) -> _Taught:
        """All candidates from some pixels."""
        fits: dict[int, ConceptFit] = {
            v: fit_concept(self.segmenter, self.tower, self.plain, v, own, self.settings, self.steps, self.unlabelled)
            for v, own in pixels.items()
        }
        encoder = self.segmenter.encoder
        candidates: dict[Inference, PromptSet] = {}
        for inference in next(iter(fits.values())).inferences:
            made = self.plain
            for value, fit in fits.items():
                made = with_concept(made, encoder.fingerprint, encoder.name, value, fit.tensors, inference)
            candidates[inference] = made
        names = {c.value: c.name for c in self.plain.classes}
        return _Taught(candidates, {names[v]: fit.drift for v, fit in fits.items()})

    def _pixels(self, value: int) -> Pixels:
        settings = self.settings
        drawn = draw_pixels(
            marks_of(self.regions, value), inside=settings.inside, outside=settings.outside, seed=settings.seed
        )
        return without_lookalikes(drawn, settings.lookalikes, words_margins(self.segmenter, self.plain, value, drawn))

    def _part(self, value: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """``(n,)``: the part that each pixel of a class is in."""
        own = self.pixels[value]
        out = np.zeros(len(own), np.int64)
        for number, features in enumerate(own.planes):
            mine = own.plane == number
            out[mine] = self.parts[value].maps[id(features)][own.rows[mine], own.columns[mine]]
        return out

    def _dice(self, prompts: PromptSet, judges: Mapping[int, Pixels]) -> float:
        """Mean Dice over the classes, of the pixels that judge; each counts by the area it stands for."""
        scores = []
        maps: dict[int, torch.Tensor] = {}
        for value, own in judges.items():
            if not own.labels.any():
                continue
            said = np.zeros(len(own), np.int64)
            for number, features in enumerate(own.planes):
                mine = np.flatnonzero(own.plane == number)
                if not mine.size:
                    continue
                if id(features) not in maps:
                    maps[id(features)] = self._logits(features, prompts)
                logits = on_cells(maps[id(features)], features.image_shape, own.rows[mine], own.columns[mine])
                said[mine] = drawn_values(logits, prompts)
            found = said == value
            both = own.areas[found & own.labels].sum()
            scores.append(2 * both / (own.areas[found].sum() + own.areas[own.labels].sum()))
        return float(np.mean(scores)) if scores else 0.0

    def _logits(self, features: DenseFeatures, prompts: PromptSet) -> torch.Tensor:
        """``(h, w, C + 1)`` log-chances."""
        chances = self.segmenter.probabilities_of(features, prompts)
        return chances.clamp_min(1e-6).log().permute(1, 2, 0)


def with_sentences(prompts: PromptSet, regions: Sequence[DrawnRegion]) -> PromptSet:
    """The prompts with the sentences of positive regions' concepts; those that are there already stay as they are."""
    for c in prompts.classes:
        said = [r.concept.sentence() for r in regions if r.value == c.value and r.positive and r.concept is not None]
        new = tuple(dict.fromkeys((*c.sentences, *said)))
        if new != c.sentences:
            prompts = prompts.with_replaced(c.value, sentences=new)
    return prompts


def _check(segmenter: Segmenter, prompts: PromptSet, regions: Sequence[DrawnRegion]) -> None:
    if not regions:
        raise InputError("There is no region to learn from: draw one around the thing.")
    known = {c.value for c in prompts.classes}
    for region in regions:
        if region.features.fingerprint != segmenter.encoder.fingerprint:
            raise InputError("A region's image was encoded with another model than the one in use: segment it again.")
        if region.value not in known:
            raise InputError(f"A region has the class value {region.value}, which no class has: add the class first.")
    for value in {r.value for r in regions}:
        marks_of(regions, value)


def _moved(regions: Sequence[DrawnRegion], device: torch.device) -> list[DrawnRegion]:
    """The regions with their planes on a device; those of one plane still share it."""
    there = {id(r.features): r.features.to(device) for r in regions}
    return [replace(r, features=there[id(r.features)]) for r in regions]
