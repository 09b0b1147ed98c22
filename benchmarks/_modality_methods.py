"""The ways to read several modalities, learned from the same pixels, and how they are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._modality_scenes import Place, Scenes, stacked

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Learned:
    """What each way made of the same labelled pixels.

    Parameters
    ----------
    prompts : mapping of str to PromptSet
        ``"gopt"`` (with one modality's own weights in it), ``"stacked"``, and rows of the ablation.
    forest : Forest or None
    facts : dict
        Plain values for the report.
    """

    prompts: Mapping[str, Any]
    forest: Forest | None
    facts: dict[str, Any]


def learn(
    segmenter: Any,
    scenes: Scenes,
    places: Sequence[Place],
    settings: Any,
    rows: Mapping[str, Any],
    *,
    forest: bool,
    say: Callable[[str], None],
) -> Learned:
    """Learn everything from the planes at some places.

    Parameters
    ----------
    rows : mapping of str to ModalitySettings
        Further settings to tune with.
    """
    from napari_promptseg.learning.modalities import ModalitySample, tune_modalities

    prompts = scenes.prompts()
    samples, stacks = [], []
    for i, place in enumerate(places):
        stack, mask = scenes.load(place)
        samples.append(ModalitySample.from_labels(stack, mask, seed=i, complete=scenes.zero_is_background))
        one = stacked(stack)
        stacks.append(replace(samples[-1], stack=one))
    found: dict[str, Any] = {}
    facts: dict[str, Any] = {"pixels": sum(len(s) for s in samples)}
    for name, own in {"gopt": settings, **rows}.items():
        began = time.perf_counter()
        result = tune_modalities(segmenter, samples, prompts, settings=own, progress=_telling(say, name))
        found[name] = result.candidate
        facts[name] = {
            "held_out_dice": [result.verdict.before, result.verdict.after],
            "without_prompters": result.without_prompters,
            "prompters_kept": result.prompters_kept,
            "trained_numbers": result.n_trained,
            "trained_share": result.share,
            "seconds": time.perf_counter() - began,
            "seconds_per_step": result.seconds_per_step,
            "curve": [[p.step, p.loss] for p in result.curve],
        }
    alone = replace(settings, grouping=None)
    found["stacked"] = tune_modalities(segmenter, stacks, prompts, settings=alone).candidate
    began = time.perf_counter()
    made = Forest(scenes, places, samples, settings.seed) if forest else None
    facts["random_forest"] = {"seconds": time.perf_counter() - began}
    return Learned(found, made, facts)


class Tally:
    """One confusion matrix per way."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes
        self.ids = [0, *scenes.classes]
        self.counts: dict[str, npt.NDArray[np.float64]] = {}

    def add(self, name: str, truth: Ints, chances: Any) -> None:
        """Compare the best class of ``(C + 1, h, w)`` chances, background first, with a mask."""
        from torch.nn import functional

        maps = functional.interpolate(chances[None].float(), truth.shape, mode="bilinear", align_corners=False)[0]
        first = 0 if self.scenes.zero_is_background else 1
        self.add_labels(name, truth, np.array(self.ids)[(maps[first:].argmax(dim=0) + first).cpu().numpy()])

    def add_labels(self, name: str, truth: Ints, labels: Ints) -> None:
        """The same for class values at every pixel."""
        table = np.zeros(256, np.int64)
        table[self.ids] = np.arange(len(self.ids))
        counted = truth != 255
        n = len(self.ids)
        pairs = table[truth[counted]] * n + table[labels[counted]]
        self.counts.setdefault(name, np.zeros((n, n)))
        self.counts[name] += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def ious(self, name: str) -> dict[str, float]:
        """Of each named class that occurs."""
        counts = self.counts[name]
        both = np.diag(counts)
        union = counts.sum(0) + counts.sum(1) - both
        there = [i for i in range(1, len(self.ids)) if counts[i].sum() > 0]
        return {self.scenes.classes[self.ids[i]]: float(both[i] / union[i]) for i in there}

    def mean(self, name: str) -> float:
        """Mean IoU over the named classes that occur."""
        return float(np.mean(list(self.ious(name).values())))


def judge(segmenter: Any, scenes: Scenes, learned: Mapping[int, Learned], say: Callable[[str], None]) -> Tally:
    """Every way on every test plane: ``"5/gopt"`` is grouping prompt tuning from 5 planes, ``"0/..."`` are words."""
    words = scenes.prompts()
    tally = Tally(scenes)
    for i, place in enumerate(scenes.test):
        say(f"test plane {i + 1} of {len(scenes.test)}")
        stack, truth = scenes.load(place)
        if (truth == 255).all():
            continue
        names = [a.name for a in scenes.asked]
        sets = {0: {"gopt": words, "stacked": words}, **{k: one.prompts for k, one in learned.items()}}
        segmenter.set_image(stacked(stack))
        for shots, prompts in sets.items():
            tally.add(f"{shots}/stacked", truth, segmenter.coarse_probabilities(prompts["stacked"]))
        alone: dict[int, list[Any]] = {}
        for j, name in enumerate(names):
            segmenter.set_image(stack, modalities=[j])
            for shots, prompts in sets.items():
                chances = segmenter.coarse_probabilities(prompts["gopt"])
                alone.setdefault(shots, []).append(chances)
                tally.add(f"{shots}/single/{name}", truth, chances)
        for shots, maps in alone.items():
            tally.add(f"{shots}/late_fusion", truth, _late(segmenter, maps, names))
        segmenter.set_image(stack, modalities="all")
        for shots, one in learned.items():
            for row, prompts in one.prompts.items():
                if row != "stacked":
                    tally.add(f"{shots}/{row}", truth, segmenter.coarse_probabilities(prompts))
            if one.forest is not None:
                tally.add_labels(f"{shots}/random_forest", truth, one.forest.labels(stack))
    return tally


def _late(segmenter: Any, maps: Sequence[Any], names: Sequence[str]) -> Any:
    """Late fusion of each modality's own chances, as the segmenter fuses words."""
    from napari_promptseg.segmentation.calibration import probabilities
    from napari_promptseg.segmentation.fusion import fused

    scores = fused(maps, [1.0] * len(maps), names, sigmoid=segmenter.encoder.sigmoid)
    return probabilities(scores, sigmoid=segmenter.encoder.sigmoid)


class Forest:
    """scikit-image's basic features of all channels and a random forest, trained on the same pixels."""

    def __init__(self, scenes: Scenes, places: Sequence[Place], samples: Sequence[Any], seed: int) -> None:
        from napari_promptseg.errors import ModelError

        try:
            from sklearn.ensemble import RandomForestClassifier
        except ImportError as error:
            raise ModelError("The random forest needs scikit-learn: pip install scikit-learn.") from error
        x, y = [], []
        for place, sample in zip(places, samples, strict=True):
            pixels = sample.pixels
            x.append(channel_features(scenes.load(place)[0])[pixels.rows, pixels.columns])
            y.append(pixels.values)
        self._forest = RandomForestClassifier(100, n_jobs=2, random_state=seed, class_weight="balanced")
        self._forest.fit(np.concatenate(x), np.concatenate(y))

    def labels(self, stack: Any) -> Ints:
        """Class values at every pixel."""
        maps = channel_features(stack)
        guess = self._forest.predict(maps.reshape(-1, maps.shape[-1]))
        return np.asarray(guess, np.int64).reshape(maps.shape[:2])


def channel_features(stack: Any) -> npt.NDArray[np.float32]:
    """``(Y, X, k)``: intensity, edges and texture at sigma 1 to 16 of every channel of every modality."""
    from skimage.feature import multiscale_basic_features

    channels = []
    for i in stack.present:
        picture = stack.picture(modality=i)
        channels.append(picture if stack.modalities[i].shown_kind == "rgb" else picture[..., :1])
    found = multiscale_basic_features(np.concatenate(channels, axis=-1), channel_axis=-1, sigma_min=1, sigma_max=16)
    return np.asarray(found, np.float32)


def _telling(say: Callable[[str], None], name: str) -> Callable[[int, int, str], None]:
    def step(done: int, total: int, text: str) -> None:
        if done % 20 == 0:
            say(f"{name}: {text} ({done} of {total})")

    return step
