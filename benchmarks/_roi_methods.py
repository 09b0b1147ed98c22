"""Ways to find again what was drawn, behind one call each: the name, a mean of features, and what the tool does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from benchmarks._roi_cases import Mask, Picture

#: The columns of the report, in order.
COLUMNS = ("name", "prototype", "words", "pseudo_text", "text_free", "full")
#: Measured besides.
FURTHER = ("prototype_detail",)
#: Columns that are the better of two: what the tool shows, and a mask that is drawn at any rate.
BETTER_OF = {c: (f"{c}_as_shown", f"{c}_forced") for c in ("name", "words")}

#: Gives the mask of the picture that the segmenter has in hand, with the refiner of its edges.
Method = Callable[[Any, Any], Mask]


@dataclass(eq=False)
class Learner:
    """Makes the methods of one draw.

    Parameters
    ----------
    segmenter : Segmenter
    columns : sequence of str
        Of `COLUMNS` and `FURTHER`; those of `BETTER_OF` stand for both of theirs.
    kind : str
        Of the pictures.
    seed : int
        Of learning.
    seconds : dict of str to list of float
        Filled: how long words and learning took.
    """

    segmenter: Any
    columns: Sequence[str]
    kind: str
    seed: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)

    def methods(self, drawn: Sequence[tuple[Picture, Mask]], value: int, name: str) -> dict[str, Method]:
        """One method for each column, all from the same regions."""
        prompts = self._named(value, name)
        features = [self.segmenter.set_image(p.stack, plane=p.plane) for p, _ in drawn]
        concepts = [self._timed("words", self._concept, p, mask, name) for p, mask in drawn]
        said = prompts.with_replaced(value, sentences=tuple(dict.fromkeys(c.sentence() for c in concepts)))
        made: dict[str, Method] = {
            "name_forced": by_likeness(prompts),
            "name_as_shown": by_prompts(prompts, value),
            "words_forced": by_likeness(said),
            "words_as_shown": by_prompts(said, value),
        }
        for column, grid in (("prototype", "semantic"), ("prototype_detail", "detail")):
            if column in self.columns:
                inside, outside = prototypes(features, [mask for _, mask in drawn], grid)
                made[column] = by_prototypes(inside, outside, grid, self.segmenter.encoder.logit_scale)
        if {"pseudo_text", "text_free", "full"} & set(self.columns):
            made |= self._learned(said, features, [mask for _, mask in drawn], concepts, value)
        wanted = [w for column in self.columns for w in BETTER_OF.get(column, (column,))]
        return {w: made[w] for w in wanted if w in made}

    def _learned(
        self, prompts: Any, features: Sequence[Any], masks: Sequence[Mask], concepts: Sequence[Any], value: int
    ) -> dict[str, Method]:
        from napari_promptseg.learning.regions import DrawnRegion, RegionSettings, learn_regions

        regions = [
            DrawnRegion(f, mask, value, True, concept)
            for f, mask, concept in zip(features, masks, concepts, strict=True)
        ]
        settings = RegionSettings(seed=self.seed)
        result = self._timed("learn", learn_regions, self.segmenter, prompts, regions, settings=settings)
        self.chosen.append(result.chosen if result.verdict.kept else "as before")
        made = {"full": by_prompts(result.prompts, value)}
        for column in ("pseudo_text", "text_free"):
            # alone, without details; a model may serve only some of them
            if (found := result.plain.get(column.replace("_", "-"))) is not None:
                made[column] = by_prompts(found, value)
        return made

    def _named(self, value: int, name: str) -> Any:
        from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet

        return PromptSet((ClassPrompt(name, value),), image_kind=self.kind)

    def _concept(self, picture: Picture, mask: Mask, name: str) -> Any:
        from napari_promptseg.concepts.measured import measure_concept

        return measure_concept(picture.stack, mask, plane=picture.plane, image_kind=self.kind).with_name(name)

    def _timed(self, what: str, call: Callable[..., Any], *values: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        result = call(*values, **keywords)
        self.seconds.setdefault(what, []).append(time.perf_counter() - start)
        return result


def by_prompts(prompts: Any, value: int) -> Method:
    """As the tool draws a class."""

    def method(segmenter: Any, _refiner: Any) -> Mask:
        mask: Mask = segmenter.segment(prompts).labels == value
        return mask

    return method


def by_likeness(prompts: Any) -> Method:
    """A mask at any rate: where one class fits better than it does in the mean over the picture."""

    def method(segmenter: Any, refiner: Any) -> Mask:
        logits = segmenter.score_maps(prompts).classes[0]
        return _decided(torch.stack([logits.mean().expand_as(logits), logits]), refiner)

    return method


def prototypes(features: Sequence[Any], masks: Sequence[Mask], grid: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean features inside the regions and of all the rest of their planes, ``(d,)`` of unit length each.

    Masked average pooling as in SG-One (Zhang et al. 2020): a cell weighs what share of it is inside.
    """
    sides: list[list[torch.Tensor]] = [[], []]
    for found, mask in zip(features, masks, strict=True):
        cells = functional.normalize(getattr(found, grid).float(), dim=-1)
        share = functional.interpolate(torch.from_numpy(mask)[None, None].float(), cells.shape[:2], mode="area")[0, 0]
        for side, weight in zip(sides, (share, 1 - share), strict=True):
            side.append((cells * weight[..., None]).sum(dim=(0, 1)) / weight.sum().clamp_min(1e-6))
    inside, outside = (functional.normalize(torch.stack(side).mean(dim=0), dim=0) for side in sides)
    return inside, outside


def by_prototypes(inside: torch.Tensor, outside: torch.Tensor, grid: str, scale: float) -> Method:
    """Each cell to the mean it is nearer to by cosine, then to pixels as the tool's own scores."""

    def method(segmenter: Any, refiner: Any) -> Mask:
        cells = functional.normalize(getattr(segmenter.features, grid).float(), dim=-1)
        cosines = torch.stack([cells @ outside, cells @ inside])
        return _decided(scale * cosines, refiner)

    return method


def _decided(logits: torch.Tensor, refiner: Any) -> Mask:
    """Where the second of two maps ``(2, h, w)`` wins, at the picture's pixels."""
    from napari_promptseg.segmentation.decision import Rule, decide

    maps = refiner(torch.softmax(logits, dim=0))
    mask: npt.NDArray[np.bool_] = decide(maps, Rule((0.5,), (True,))).index.cpu().numpy() == 1
    return mask
