"""The core as the session uses it: one model and one segmenter, called from the worker only."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_promptseg.gui.layers import PlaneSource
from napari_promptseg.progress import Progress
from napari_promptseg.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from napari_promptseg.encoders.catalogue import ModelEntry
    from napari_promptseg.encoders.encoder import Encoder, Familiarity, Quality
    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.scene import Scene
    from napari_promptseg.segmentation.segmenter import Segmenter
    from napari_promptseg.segmentation.settings import SegmentationSettings


@dataclass(frozen=True)
class ModelChoice:
    """What `load_encoder` is asked for."""

    spec: str = "embedded"
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class Request:
    """Everything one segmentation needs, fixed in the GUI thread."""

    model: ModelChoice
    source: PlaneSource
    prompts: PromptSet
    quality: str = "fast"
    refinement: str = "guided"
    want_scores: bool = False
    look_again: bool = False
    learner: Callable[[Segmenter, Request], LabelMap | None] | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a request."""

    request: Request
    label_map: LabelMap
    scene: Scene
    shares: dict[int, float]
    model_facts: dict[str, Any]
    familiarity: dict[str, tuple[Familiarity, tuple[str, ...]]]
    notices: tuple[str, ...] = ()

    def sentence(self, prompts: PromptSet, *, edited: bool) -> str:
        """What to tell the user; `edited` is whether pixels of the user's own stand in the mask."""
        found = [c.name for c in prompts.classes if self.shares.get(c.value, 0.0) > 0]
        if edited:
            text = "Segmented anew; what you painted stays as you painted it."
        elif not found:
            text = "None of the classes was found: lower the threshold, or try a synonym."
        else:
            text = f"Found {', '.join(found[:4])}{' …' if len(found) > 4 else ''}."
        return " ".join([text, *self.notices])


def _load_encoder(spec: str, device: str) -> Encoder:
    from napari_promptseg.encoders.loading import load_encoder

    return load_encoder(spec, device=device)


def _make_segmenter(encoder: Encoder) -> Segmenter:
    from napari_promptseg.encoders.cache import FeatureCache, default_directory
    from napari_promptseg.segmentation.segmenter import Segmenter

    return Segmenter(encoder, cache=FeatureCache(disk_dir=default_directory(), background=True))


def _list_models() -> list[ModelEntry]:
    from napari_promptseg.encoders.catalogue import list_models

    return list_models()


class Engine:
    """Holds the loaded model and what it last looked at.

    Parameters
    ----------
    load_encoder, make_segmenter, list_models : callable
        Where the parts come from; a test gives its own.
    """

    def __init__(
        self,
        load_encoder: Callable[[str, str], Encoder] = _load_encoder,
        make_segmenter: Callable[[Encoder], Segmenter] = _make_segmenter,
        list_models: Callable[[], list[ModelEntry]] = _list_models,
    ) -> None:
        self._load_encoder = load_encoder
        self._make_segmenter = make_segmenter
        self.list_models = list_models
        self.segmenter: Segmenter | None = None
        self.loaded: ModelChoice | None = None
        self._seen: tuple[Any, ...] | None = None
        self._told = 0

    def load(self, choice: ModelChoice, progress: Progress) -> dict[str, Any]:
        """Load a model unless it is the one in hand; gives its facts.

        Raises
        ------
        ModelError
            As `load_encoder`; the model before stays in hand.
        """
        if self.segmenter is None or self.loaded != choice:
            progress(0, 0, "loading the model")
            with _collector_at_rest():
                encoder = self._load_encoder(choice.spec, choice.device)
                # napari imports it with the first label layer, which is made in the window's thread
                import_module("pandas")
            progress(0, 0, "loading the model")
            self.segmenter = self._make_segmenter(encoder)
            self.loaded, self._seen, self._told = choice, None, 0
        encoder = self.segmenter.encoder
        return {**encoder.describe(), "device": str(encoder.device)}

    def another(self, choice: ModelChoice, progress: Progress) -> Segmenter:
        """A segmenter of its own on the same model and cache, for work beside the picture in hand."""
        from napari_promptseg.segmentation.segmenter import Segmenter

        self.load(choice, progress)
        mine = self.segmenter
        assert mine is not None  # load has raised otherwise
        return Segmenter(mine.encoder, settings=mine.settings, cache=mine.cache)

    def has_seen(self, source: PlaneSource, quality: str) -> bool:
        """Whether a plane is the one in hand, with its features made."""
        return self.segmenter is not None and self._seen == (source.key, quality)

    def look(self, source: PlaneSource, quality: str, progress: Progress, *, again: bool = False) -> DenseFeatures:
        """Features of a plane, which becomes the one in hand; encoded only where it was not, or `again`."""
        segmenter = self.segmenter
        assert segmenter is not None  # asked for after `load`
        if again or not self.has_seen(source, quality) or segmenter.features is None:
            progress(0, 0, "encoding the picture")
            self._seen = None
            stack = source.stack()
            several: dict[str, Any] = {"modalities": "all"} if len(stack.modalities) > 1 else {}
            segmenter.set_image(stack, quality=_quality(quality), progress=progress, **several)
            self._seen = (source.key, quality)
        features = segmenter.features
        assert features is not None  # set_image has raised otherwise
        return features

    def familiarity(self, names: Sequence[str]) -> dict[str, tuple[Familiarity, tuple[str, ...]]]:
        """How well the loaded model knows names, with the nearest ones it learned; empty before one is loaded."""
        if self.segmenter is None or not names:
            return {}
        return dict(zip(names, self.segmenter.encoder.familiarity(names), strict=True))

    def read(self, prompts: PromptSet, names: Sequence[str]) -> dict[str, tuple[Familiarity, tuple[str, ...]]]:
        """Embed a prompt set as soon as it is typed, so that the mask need not wait for it; gives `familiarity`."""
        from napari_promptseg.prompts.embedding import embed_prompts
        from napari_promptseg.segmentation.background import with_fitting_background

        known = self.familiarity(names)
        if self.segmenter is not None:
            encoder = self.segmenter.encoder
            embed_prompts(encoder, with_fitting_background(prompts, encoder))
        return known

    def prepare(self, request: Request, progress: Progress) -> dict[str, Any]:
        """Load the model of a request and take its settings; gives the model's facts."""
        facts = self.load(request.model, progress)
        assert self.segmenter is not None  # load has raised otherwise
        self.segmenter.settings = _settings(self.segmenter.settings, request)
        return facts

    def run(self, request: Request, progress: Progress) -> Outcome:
        """Load, encode and segment, each only where it has not been done."""
        from dataclasses import replace

        facts = self.prepare(request, progress)
        segmenter = self.segmenter
        assert segmenter is not None  # prepare has raised otherwise
        self.look(request.source, request.quality, progress, again=request.look_again)
        scene = segmenter.scene
        assert scene is not None  # look has raised otherwise
        progress(0, 0, "finding the classes")
        label_map = None if request.learner is None else request.learner(segmenter, request)
        if label_map is None:
            label_map = segmenter.segment(request.prompts, want_probabilities=request.want_scores, progress=progress)
        shares = {c.value: label_map.area_share(c.value) for c in request.prompts.classes}
        label_map = replace(label_map, provenance={**label_map.provenance, "image_layer": request.source.name})
        known = self.familiarity(request.prompts.names)
        # a full GPU may have made it go on with the CPU meanwhile
        facts["device"] = str(segmenter.encoder.device)
        notices = tuple(getattr(segmenter.encoder, "notices", ()))
        new, self._told = notices[self._told :], len(notices)
        return Outcome(request, label_map, scene, shares, facts, known, new)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """No garbage collection: the millions of objects that imports make set off full ones, and these stop the window.

    Measured on two cores: of the gaps between the window's 10 ms beats while the embedded model is loaded, the 99th
    percentile falls from 156 to 29 ms; what stays is the loading of torch's compiled part, 0.2 to 0.3 s at once.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _quality(name: str) -> Quality:
    return "fine" if name == "fine" else "fast"


def _settings(settings: SegmentationSettings, request: Request) -> SegmentationSettings:
    from dataclasses import replace

    changes: dict[str, Any] = {"quality": request.quality, "refinement": request.refinement}
    return replace(settings, **changes)
