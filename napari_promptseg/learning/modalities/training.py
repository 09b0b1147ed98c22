"""Prompters trained end to end through the frozen tower, by heads that have not seen the picture at hand."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.stages import StagedTower
from napari_promptseg.errors import CancelledError
from napari_promptseg.learning.modalities.heads import fit_head, left_out_heads, logits_at, table_of
from napari_promptseg.learning.modalities.scenes import LabelledScene, prompted_values
from napari_promptseg.learning.modalities.settings import ModalitySettings
from napari_promptseg.learning.tuning_data import pixel_weights
from napari_promptseg.progress import Progress, silent
from napari_promptseg.prompts.grouping import Prompters
from napari_promptseg.segmentation.grouping import PartedHead

#: Weights on the features are found anew so many times while the prompters are trained.
ROUNDS = 2


@dataclass(frozen=True)
class StepPoint:
    """One point of the curve: mean training loss of the steps up to `step`."""

    step: int
    loss: float


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of training.

    Parameters
    ----------
    curve : tuple of StepPoint
    seconds_per_step : float
    cancelled : bool
    """

    curve: tuple[StepPoint, ...]
    seconds_per_step: float
    cancelled: bool


def train_prompters(
    encoder: Encoder,
    tower: StagedTower,
    prompters: Prompters,
    scenes: Sequence[LabelledScene],
    values: Sequence[int],
    settings: ModalitySettings,
    progress: Progress = silent,
) -> Trained:
    """Train prompters in place.

    Parameters
    ----------
    encoder : Encoder
    tower : StagedTower
        Of the encoder.
    prompters : Prompters
        On the encoder's device.
    scenes : sequence of LabelledScene
        With all modalities.
    values : sequence of int
        Class values, background first.
    settings : ModalitySettings
    progress : callable
        `CancelledError` raised in it ends training with the state of lowest loss so far.

    Notes
    -----
    Weights fitted to a picture's labels explain them whatever its features, and would teach the prompters nothing. So
    each picture is judged by weights fitted without it, which is also what a new picture will meet.
    """
    scenes = [s for s in scenes if s.is_whole and len(s.sample)]
    rng = np.random.default_rng(settings.seed)
    noise = torch.Generator().manual_seed(settings.seed)
    gates = [p for n, p in prompters.named_parameters() if n.endswith("gate")]
    others = [p for n, p in prompters.named_parameters() if not n.endswith("gate")]
    optimiser = torch.optim.AdamW(
        [{"params": others, "weight_decay": 1e-2}, {"params": gates, "lr": 3 * settings.rate, "weight_decay": 0.0}],
        lr=settings.rate,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    checkpointed = short_of_memory(encoder.device) if settings.checkpointed is None else settings.checkpointed
    value_of = _Judge(encoder, tower, scenes, values, settings, checkpointed)
    curve: list[StepPoint] = []
    recent: list[float] = []
    best, lowest, cancelled = copy.deepcopy(prompters.state_dict()), float("inf"), False
    began = time.perf_counter()
    order: list[int] = []
    for step in range(settings.steps):
        if step % max(1, -(-settings.steps // ROUNDS)) == 0:
            value_of.renew(prompters)
        if not order:
            order = rng.permutation(len(scenes)).tolist()
            # of a whole turn over all scenes, since single ones differ too much to compare
            if recent and float(np.mean(recent)) < lowest:
                best, lowest = copy.deepcopy(prompters.state_dict()), float(np.mean(recent))
            recent = []
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            loss = value_of.loss(prompters, order.pop(), rng, noise)
            loss.backward()  # type: ignore[no-untyped-call]
        flat = torch.nn.utils.clip_grad_norm_(prompters.parameters(), 1.0)
        if bool(torch.isfinite(flat)):  # a picture of one colour has no gradient
            optimiser.step()
            recent.append(float(loss.detach()))
        schedule.step()
        if recent and (step % 10 == 9 or step + 1 == settings.steps):
            curve.append(StepPoint(step + 1, float(np.mean(recent))))
        try:
            progress(step + 1, settings.steps, f"loss {np.mean(recent):.2f}" if recent else "training")
        except CancelledError:
            cancelled = True
            prompters.load_state_dict(best)
            break
    each = (time.perf_counter() - began) / max(1, step + 1)
    return Trained(tuple(curve), each, cancelled)


class _Judge:
    """Losses of scenes under weights that have not seen them."""

    def __init__(
        self,
        encoder: Encoder,
        tower: StagedTower,
        scenes: Sequence[LabelledScene],
        values: Sequence[int],
        settings: ModalitySettings,
        checkpointed: bool,
    ) -> None:
        self.scenes, self.values, self.settings = scenes, values, settings
        self._columns = {v: i for i, v in enumerate(values)}
        self._heads: list[tuple[set[int], PartedHead]] = []
        samples = [s.sample.pixels for s in scenes]
        weights = pixel_weights(samples, settings.by_area)
        ends = np.cumsum([len(s.values) for s in samples])
        self._weights = np.split(weights, ends[:-1])
        self._prompted: Callable[..., torch.Tensor] = lambda scene, hook, which=None: prompted_values(
            encoder, tower, scene, hook, which, checkpointed=checkpointed
        )

    def renew(self, prompters: Prompters) -> None:
        """Fit the weights to what the prompters make of the scenes now."""
        with torch.no_grad():
            features = [s.side_by_side(self._prompted(s, prompters.hook(s.others))) for s in self.scenes]
        priors = [s.prior for s in self.scenes]
        table = table_of(self.scenes, features, priors, self.values, self.settings)
        n_parts = len(self.scenes[0].parts)
        head, penalty = fit_head(table, n_parts, self.values, self.settings)
        self._heads = left_out_heads(table, n_parts, self.values, head, penalty, self.settings.folds)

    def loss(self, prompters: Prompters, at: int, rng: np.random.Generator, noise: torch.Generator) -> torch.Tensor:
        """Cross-entropy and Dice over some labelled pixels of one scene, classes balanced over all scenes."""
        scene = self.scenes[at]
        fitting = [h for unseen, h in self._heads if at in unseen]
        head = fitting[int(rng.integers(len(fitting)))]
        weights = self._weights[at]
        which = np.arange(len(weights))
        if len(which) > self.settings.pixels_per_step:
            which = np.sort(rng.permutation(which)[: self.settings.pixels_per_step])
        first = self._prompted(scene, prompters.hook(scene.others, noise), which)
        index = torch.from_numpy(which).to(first.device)
        x = scene.side_by_side(first, index)
        logits = logits_at(head, x, scene.prior[index].to(first))
        target = torch.tensor([self._columns[int(v)] for v in scene.sample.pixels.values[which]], device=first.device)
        weight = torch.from_numpy(weights[which] / weights[which].sum()).to(first)
        entropy = (functional.cross_entropy(logits, target, reduction="none") * weight).sum()
        return entropy + self.settings.dice * dice_loss(logits, target, weight)


def dice_loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One minus the mean soft Dice over the classes that occur.

    Parameters
    ----------
    logits : torch.Tensor
        ``(n, C)``.
    target : torch.Tensor
        ``(n,)``.
    weights : torch.Tensor
        ``(n,)``, at least 0 and not all 0.
    """
    chance = logits.softmax(dim=1)
    true = functional.one_hot(target, logits.shape[1]).to(chance)
    both = (weights[:, None] * chance * true).sum(dim=0)
    size = (weights[:, None] * (chance + true)).sum(dim=0)
    there = true.any(dim=0)
    return 1 - (2 * both / size.clamp_min(1e-12))[there].mean()


def short_of_memory(device: torch.device) -> bool:
    """Whether stages had better be computed twice than remembered: a GPU with under 6 GB free."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return bool(free < 6 * 1024**3)
