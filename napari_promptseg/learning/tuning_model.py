"""What is trained: tokens around the class names and two temperatures, in front of a frozen text tower."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.learning.tuning_data import TuningSample
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.learned import BACKGROUND, LearnedPrompts
from napari_promptseg.prompts.multiview import (
    SlotTower,
    apply_learned,
    embed_views,
    initial_context,
    learned_background,
)
from napari_promptseg.prompts.prompt_set import DEFAULT_BACKGROUND, PromptSet
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.learned_heads import without_heads
from napari_promptseg.segmentation.scoring import SuppliesBackground

#: The learned scale stays within this factor of the model's own.
SCALE_RANGE = 4.0
#: Range of the temperature of a class's presence, and where it starts.
TAU_RANGE = (0.01, 1.0)
TAU_START = 0.1
#: Sharpness of the attention over pixels in a class's presence.
GAMMA = 50.0


@dataclass(frozen=True, eq=False)
class Vectors:
    """Everything scoring needs, in the order background first and then the prompt set's classes.

    Parameters
    ----------
    classes : torch.Tensor
        ``(C, d)``, the mean over views for tuned classes.
    background : torch.Tensor
        ``(b, d)``; the best of them counts.
    scale : torch.Tensor
        Multiplies the model's logit scale.
    global_prompts : torch.Tensor
        ``(C, d)`` vectors of the global prompts; rows of classes without one are not used.
    has_global : torch.Tensor
        ``(C,)`` bool.
    gamma : float
    tau : torch.Tensor
    """

    classes: torch.Tensor
    background: torch.Tensor
    scale: torch.Tensor
    global_prompts: torch.Tensor
    has_global: torch.Tensor
    gamma: float
    tau: torch.Tensor


class TuningModel:
    """Tokens, temperatures and the vectors they make.

    Parameters
    ----------
    encoder : Encoder
        For hand-written prompts and the logit scale.
    tower : SlotTower
        On `device`.
    prompts : PromptSet
        Classes with strokes are tuned, the others stand beside them as they are.
    samples : sequence of TuningSample
        What is learned from; decides which classes are tuned, background among them.
    options : TuningOptions
    device : torch.device
    """

    def __init__(
        self,
        encoder: Encoder,
        tower: SlotTower,
        prompts: PromptSet,
        samples: Sequence[TuningSample],
        options: TuningOptions,
        device: torch.device,
    ) -> None:
        self.encoder, self.tower, self.prompts, self.options, self.device = encoder, tower, prompts, options, device
        painted = {int(v) for s in samples for v in np.unique(s.values)}
        self.tuned = [c for c in prompts.classes if c.value in painted]
        self.tunes_background = BACKGROUND in painted
        self.names = [c.name for c in self.tuned] + (["background"] if self.tunes_background else [])
        self._place_fixed()
        self._place_trained()

    def parameters(self) -> list[torch.Tensor]:
        """The tensors that are trained, and nothing else."""
        both = [self.log_scale, self.log_tau] if self.options.learned_temperature else []
        return [self.context, *both]

    def clamp(self) -> None:
        """Bring the temperatures back into their range."""
        with torch.no_grad():
            self.log_scale.clamp_(-math.log(SCALE_RANGE), math.log(SCALE_RANGE))
            self.log_tau.clamp_(*(math.log(t) for t in TAU_RANGE))

    def state(self) -> dict[str, torch.Tensor]:
        """A copy of what is trained."""
        return {
            "context": self.context.detach().clone(),
            "log_scale": self.log_scale.detach().clone(),
            "log_tau": self.log_tau.detach().clone(),
        }

    def embed(self, context: torch.Tensor, names: Sequence[str], words: torch.Tensor) -> torch.Tensor:
        """Vectors of names in the learned contexts: ``(1 + K, n, d)``, the global prompt first.

        Parameters
        ----------
        context : torch.Tensor
            ``(1 + K, m, width)`` or ``(1 + K, n, m, width)``.
        words : torch.Tensor
            ``(n, d)`` hand-written vectors of the names, where tuning begins.

        Notes
        -----
        With ``from_words`` the mean over the views has unit length, as a hand-written vector has, so that tuned
        classes and others stay comparable.
        """
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            vectors = embed_views(self.tower, names, context).float()
        if not self.options.from_words:
            return vectors
        starts = self._starts(names)
        # the views' own words set them apart from each other, and their mean begins exactly at the words
        middle = torch.cat([starts[:1], starts[1:].mean(dim=0, keepdim=True).expand(len(starts) - 1, -1, -1)])
        moved = words + vectors - middle
        length = torch.cat([moved[:1], moved[1:].mean(dim=0, keepdim=True).expand_as(moved[1:])]).norm(dim=-1)
        scaled: torch.Tensor = moved / length.clamp_min(1e-6)[..., None]
        return scaled

    def vectors(self, context: torch.Tensor, log_scale: torch.Tensor, log_tau: torch.Tensor) -> tuple[Vectors, Any]:
        """What scoring needs, and the raw views ``(1 + K, names, d)`` of the tuned names."""
        views = self.embed(context, self.names, self.words)
        mean = views[1:].mean(dim=0)
        n = len(self.tuned)
        classes = self._classes.index_copy(0, self.places, mean[:n]) if n else self._classes
        background = torch.cat([self._background, mean[n:]])
        global_prompts = self._no_global.index_copy(0, self.places, views[0, :n]) if n else self._no_global
        made = Vectors(classes, background, log_scale.exp(), global_prompts, self._has_global, GAMMA, log_tau.exp())
        return made, views

    def vectors_of(self, state: dict[str, torch.Tensor]) -> Vectors:
        """The same for a stored state, without gradients."""
        with torch.no_grad():
            return self.vectors(state["context"], state["log_scale"], state["log_tau"])[0]

    def original(self) -> Vectors:
        """What the prompts were before tuning."""
        learned = self.prompts.learned
        none = torch.zeros_like(self._has_global)
        globals_ = self._no_global.clone()
        for i, c in enumerate(self.prompts.classes):
            if learned is not None and c.value in learned.global_views:
                none[i] = True
                globals_[i] = torch.tensor(learned.global_views[c.value], device=self.device)
        return Vectors(
            self._classes,
            self._original_background,
            torch.tensor(learned.scale if learned else 1.0, device=self.device),
            globals_,
            none,
            learned.gamma if learned else GAMMA,
            torch.tensor(learned.tau if learned else TAU_START, device=self.device),
        )

    def learned(self, state: dict[str, torch.Tensor]) -> LearnedPrompts:
        """The state as it is stored with a prompt set; classes tuned earlier and not now keep what they had."""
        with torch.no_grad():
            views = self.embed(state["context"], self.names, self.words).cpu().numpy()
        values = [c.value for c in self.tuned] + ([BACKGROUND] if self.tunes_background else [])
        # a student or live weights were learned on top of the vectors before, and judged with them
        before = self.prompts.learned and without_heads(self.prompts.learned)
        own, own_global = dict(before.views if before else {}), dict(before.global_views if before else {})
        for i, value in enumerate(values):
            own[value] = views[1:, i]
            own_global.pop(value, None)
            if self.options.global_refining and value != BACKGROUND:
                own_global[value] = views[0, i]
        context = state["context"].cpu().numpy() if self.options.shared_context else None
        return LearnedPrompts(
            self.encoder.fingerprint,
            self.encoder.name,
            own,
            own_global,
            context,
            float(state["log_scale"].exp()),
            GAMMA,
            float(state["log_tau"].exp()),
            before.tensors if before else {},
            {**(before.facts if before else {}), "tuning": self.options.as_dict()},
        )

    def drift(self, state: dict[str, torch.Tensor]) -> dict[str, float]:
        """``1 - cos`` between each tuned class and its hand-written prompt."""
        with torch.no_grad():
            mean = self.embed(state["context"], self.names, self.words)[1:].mean(dim=0)
            far = 1 - functional.cosine_similarity(mean, self.words, dim=-1)
        return dict(zip(self.names, far.tolist(), strict=True))

    def anchors(self, names: Sequence[str]) -> torch.Tensor:
        """``(n, d)`` hand-written vectors of names on the device."""
        asked = PromptSet((), image_kind=self.prompts.image_kind, background=tuple(names))
        return embed_prompts(self.encoder, asked).background.to(self.device)

    def _place_fixed(self) -> None:
        """Hand-written vectors: those beside the tuned ones, and those the tuned ones begin from."""
        fitting = with_fitting_background(self.prompts, self.encoder)
        embedded = embed_prompts(self.encoder, fitting)
        classes = [v.to(self.device).float() for v in embedded.class_vectors]
        mean = [functional.normalize(v.mean(dim=0), dim=0) for v in classes]
        scored = apply_learned(self.prompts, [m[None] for m in mean])
        self._classes = torch.cat([s.to(self.device) for s in scored])
        background = embedded.background
        if isinstance(self.encoder, SuppliesBackground):
            background = torch.cat([background, self.encoder.background_vectors().to(background)])
        self._background = background.to(self.device).float()
        self._original_background = learned_background(self.prompts, self._background)
        if not self.tunes_background:
            self._background = self._original_background
        place = {c.value: i for i, c in enumerate(self.prompts.classes)}
        self.places = torch.tensor([place[c.value] for c in self.tuned], dtype=torch.long, device=self.device)
        self._no_global = torch.zeros_like(self._classes)
        self._has_global = torch.zeros(len(self.prompts), dtype=torch.bool, device=self.device)
        if self.options.global_refining:
            self._has_global[self.places] = True
        words = [mean[place[c.value]] for c in self.tuned]
        if self.tunes_background:
            # where the model knows a direction of its own for it, the learned background begins there
            own = background[-1] if isinstance(self.encoder, SuppliesBackground) else self.anchors(["background"])[0]
            words.append(functional.normalize(own.to(self.device).float(), dim=0))
        self.words = torch.stack(words)

    def _place_trained(self) -> None:
        options, before = self.options, self.prompts.learned
        generator = torch.Generator().manual_seed(0)  # the same for every seed: stored tokens count from here
        start = initial_context(self.tower, options.n_views, options.n_tokens, generator).to(self.device)
        self._start = start.clone()
        self._start_vectors: dict[str, torch.Tensor] = {}
        stored = before.context if before is not None else None
        if stored is not None and options.shared_context and stored.shape == tuple(start.shape):
            start = torch.tensor(stored, device=self.device)
        if not options.shared_context:
            start = start[:, None].repeat(1, len(self.names), 1, 1)
        self.context = start.requires_grad_()
        scale, tau = (math.log(before.scale), math.log(before.tau)) if before else (0.0, math.log(TAU_START))
        self.log_scale = torch.tensor(scale, device=self.device, requires_grad=True)
        self.log_tau = torch.tensor(tau, device=self.device, requires_grad=True)
        self.anchor_names = [w for w in DEFAULT_BACKGROUND if w not in {n.casefold() for n in self.names}]
        self.anchor_words = self.anchors(self.anchor_names)

    def _starts(self, names: Sequence[str]) -> torch.Tensor:
        """``(1 + K, n, d)``: the names in the contexts tuning began with, encoded once each."""
        missing = [n for n in dict.fromkeys(names) if n not in self._start_vectors]
        if missing:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
                found = embed_views(self.tower, missing, self._start).float()
            self._start_vectors.update(zip(missing, found.unbind(dim=1), strict=True))
        return torch.stack([self._start_vectors[n] for n in names], dim=1)
