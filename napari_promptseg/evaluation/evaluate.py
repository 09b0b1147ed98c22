"""How well a model's masks agree with labelled images: one confusion matrix per pack, at native resolution."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.evaluation.metrics import auc, class_dice, class_iou, confusion_matrix, pixel_accuracy, present
from napari_promptseg.evaluation.packs import IGNORED, DataPack
from napari_promptseg.images.stack import ImageStack, ModalityKind
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fusion import counted, guide_of
from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.refinement import make_refiner
from napari_promptseg.segmentation.segmenter import Segmenter

#: Pixels per image and id whose scores are kept for the AUC; each then stands for the share it was drawn from.
SAMPLES = 2000
#: Most numbers kept per image and id, which bounds the memory of packs with many classes.
_SAMPLE_VALUES = 40_000
#: Pixels read from the score maps at once.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """Agreement for one class that occurs in the labels; `auc` is NaN where every pixel is of the class."""

    iou: float
    dice: float
    auc: float


@dataclass(frozen=True, eq=False)
class Figures:
    """Agreement over a pack.

    Parameters
    ----------
    mean_iou, mean_dice : float
        Mean over the named classes that occur in the labels; a class never predicted counts 0.
    pixel_accuracy : float
        Share of counted pixels labelled rightly.
    per_class : dict of str to ClassFigures
        By name, classes that occur in the labels.
    background : ClassFigures or None
        Of what no class covers; None over labelled pixels only.
    """

    mean_iou: float
    mean_dice: float
    pixel_accuracy: float
    per_class: dict[str, ClassFigures]
    background: ClassFigures | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` measured.

    Parameters
    ----------
    images, planes : int
        How many were compared.
    foreground : Figures
        Over labelled pixels only (mask id above 0 and not 255); every pixel goes to the best of the pack's classes.
    full : Figures
        Over all pixels but 255, with background (mask id 0) as the tool draws it.
    model, fingerprint : str
    seconds : float
        Wall time, reading included.
    settings : dict
    familiarity : dict of str to str
        How well the model knows each class: what it says of the name, "known" for what was learned.
    """

    images: int
    planes: int
    foreground: Figures
    full: Figures
    model: str
    fingerprint: str
    seconds: float
    settings: dict[str, Any]
    familiarity: dict[str, str]


def evaluate(
    segmenter: Segmenter,
    pack: DataPack,
    *,
    prompts: PromptSet | None = None,
    kind: ModalityKind = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Segment every image of a pack by the names of its classes and compare with its masks.

    Parameters
    ----------
    segmenter : Segmenter
        With the model and the settings to be measured.
    pack : DataPack
    prompts : PromptSet, optional
        Other prompts for the pack's ids (learned ones, say); the pack's bare names where not given. Each id of the
        pack must be the value of a class.
    kind : ModalityKind
        What the images' values show.
    seed : int
        Of the sample of pixels the AUC is measured on.
    progress : Progress
        Called before each image.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        If an image or mask cannot be used: a figure over a part of the pack would not be the pack's.

    Notes
    -----
    One confusion matrix is summed over all images, then IoU and Dice are taken per class. Labels of ``full`` are
    exactly those of `Segmenter.segment`. For ``foreground`` the same scores compete without background and without
    the cap on unknown names. Score maps of planes larger than the settings' ``whole_up_to`` are read without edge
    refinement. In a pack whose 0 means "unlabelled" rather than "something else", ``full`` counts every mask
    drawn there as wrong, and ``foreground`` is the figure to read. With a single class ``foreground`` is 1.
    """
    start = time.perf_counter()
    prompts = pack.prompts() if prompts is None else prompts
    ids = list(pack.classes)
    tally = _Tally(ids, np.random.default_rng(seed))
    planes = 0
    for done, pair in enumerate(pack):
        progress(done, len(pack), pair.name)
        stack, mask = pack.load(pair, kind=kind)
        for plane, truth in enumerate(mask if mask.ndim == 3 else mask[np.newaxis]):
            _compare(segmenter, stack, plane, truth, prompts, tally)
            planes += 1
    progress(len(pack), len(pack), "done")
    return Evaluation(
        images=len(pack),
        planes=planes,
        foreground=tally.foreground.figures(pack.classes),
        full=tally.full.figures(pack.classes),
        model=segmenter.encoder.name,
        fingerprint=segmenter.encoder.fingerprint,
        seconds=time.perf_counter() - start,
        settings=segmenter.settings.as_dict(),
        familiarity=dict(zip(pack.classes.values(), map(str, segmenter.known(prompts)), strict=False)),
    )


@dataclass(eq=False)
class _Sums:
    """Counts and score samples of one way to compare; `first` is the id of the matrix's first row."""

    ids: Sequence[int]
    with_background: bool
    counts: npt.NDArray[np.int64] = field(init=False)
    scores: list[npt.NDArray[np.float32]] = field(default_factory=list)
    truths: list[npt.NDArray[np.int64]] = field(default_factory=list)
    weights: list[npt.NDArray[np.float64]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.ids) + self.with_background
        self.counts = np.zeros((n, n), np.int64)

    def figures(self, names: dict[int, str]) -> Figures:
        """Means over the named classes that occur."""
        ious, dices, there = class_iou(self.counts), class_dice(self.counts), present(self.counts)
        first = int(self.with_background)
        named = there[first:]
        per_class = {}
        for column, (value, name) in enumerate(names.items()):
            if named[column]:
                row = column + first
                per_class[name] = ClassFigures(float(ious[row]), float(dices[row]), self._auc(column + first, value))
        background = None
        if self.with_background and there[0]:
            background = ClassFigures(float(ious[0]), float(dices[0]), self._auc(0, 0))
        return Figures(
            mean_iou=float(ious[first:][named].mean()) if named.any() else float("nan"),
            mean_dice=float(dices[first:][named].mean()) if named.any() else float("nan"),
            pixel_accuracy=pixel_accuracy(self.counts),
            per_class=per_class,
            background=background,
        )

    def _auc(self, column: int, value: int) -> float:
        scores = np.concatenate([s[:, column] for s in self.scores])
        return auc(scores, np.concatenate(self.truths) == value, np.concatenate(self.weights))


class _Tally:
    """Both ways to compare, fed plane by plane."""

    def __init__(self, ids: Sequence[int], rng: np.random.Generator) -> None:
        self.ids = np.asarray(ids)
        self.rng = rng
        self.foreground = _Sums(ids, with_background=False)
        self.full = _Sums(ids, with_background=True)
        self.per_id = max(50, min(SAMPLES, _SAMPLE_VALUES // (len(ids) + 1)))

    def index(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Ids to 1, 2, ... in the pack's order; 0 stays."""
        table = np.zeros(int(max(self.ids.max(), IGNORED)) + 1, np.int64)
        table[self.ids] = np.arange(1, len(self.ids) + 1)
        found: npt.NDArray[np.int64] = table[values]
        return found

    def sample(self, truth: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Flat positions of pixels, drawn evenly within each id, and how many pixels each stands for."""
        positions, weights = [], []
        flat = truth.ravel()
        for value in np.unique(flat[flat != IGNORED]):
            every = np.flatnonzero(flat == value)
            some = every if every.size <= self.per_id else self.rng.choice(every, self.per_id, replace=False)
            positions.append(some)
            weights.append(np.full(some.size, every.size / some.size))
        if not positions:
            return np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(positions), np.concatenate(weights)


def _compare(
    segmenter: Segmenter,
    stack: ImageStack,
    plane: int,
    truth: npt.NDArray[np.int64],
    prompts: PromptSet,
    tally: _Tally,
) -> None:
    """Segment one plane and add it to the tally."""
    counted = truth != IGNORED
    if not counted.any():
        return
    segmenter.set_image(stack, plane=plane, modalities="all")
    labels = segmenter.segment(prompts).labels
    drawn = np.where(np.isin(labels, tally.ids), labels, 0).astype(np.int64)
    n = len(tally.ids)
    tally.full.counts += confusion_matrix(tally.index(truth[counted]), tally.index(drawn[counted]), n + 1)

    chances, shares = _maps(segmenter, stack, prompts, tally.ids)
    labelled = np.flatnonzero((truth > 0) & counted)
    if labelled.size:
        guess = np.concatenate([_read(shares, part).argmax(axis=1) for part in _parts(labelled)])
        tally.foreground.counts += confusion_matrix(tally.index(truth.ravel()[labelled]) - 1, guess, n)
    positions, weights = tally.sample(truth)
    values = truth.ravel()[positions]
    tally.full.scores.append(_read(chances, positions))
    tally.full.truths.append(values)
    tally.full.weights.append(weights)
    named = values > 0
    tally.foreground.scores.append(_read(shares, positions[named]))
    tally.foreground.truths.append(values[named])
    tally.foreground.weights.append(weights[named])


def _maps(
    segmenter: Segmenter, stack: ImageStack, prompts: PromptSet, ids: npt.NDArray[Any]
) -> tuple[PixelMaps, PixelMaps]:
    """Probabilities ``(1 + C)`` with background, and shares ``(C)`` without, in the order of the pack's ids."""
    values = [c.value for c in prompts.classes]
    order = [values.index(i) for i in ids]
    chances = segmenter.coarse_probabilities(prompts)[[0, *(i + 1 for i in order)]]
    scores = segmenter.score_maps(prompts)
    shares = torch.softmax(scores.classes[order], dim=0)
    settings = segmenter.settings
    if max(stack.plane_shape) > settings.whole_up_to:
        return PixelMaps(chances, stack.plane_shape, (1, 1)), PixelMaps(shares, stack.plane_shape, (1, 1))
    assert segmenter.scene is not None  # an image was set just now
    guide = guide_of(counted(segmenter.scene, prompts)).view
    refine = make_refiner(guide.picture(), settings, chances.device)
    return refine(chances), refine(shares)


def _parts(positions: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [positions[i : i + _CHUNK] for i in range(0, positions.size, _CHUNK)]


def _read(maps: PixelMaps, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Values at flat positions: ``(n, K)`` float32."""
    rows, columns = np.divmod(positions, maps.shape[1])
    device = maps.base.device
    values = maps.at(torch.as_tensor(rows, device=device), torch.as_tensor(columns, device=device))
    read: npt.NDArray[np.float32] = values.T.float().cpu().numpy()
    return read
