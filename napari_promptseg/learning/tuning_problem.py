"""What prompts are judged by: labelled pixels read once from frozen features, and the loss and score on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from napari_promptseg.learning.held_out_planes import drawn_values
from napari_promptseg.learning.losses import (
    anchor_loss,
    image_loss,
    orthogonal_loss,
    pixel_loss,
    share_loss,
    share_margin,
)
from napari_promptseg.learning.tuning_data import TuningSample, pixel_weights, sampled
from napari_promptseg.learning.tuning_model import TuningModel, Vectors
from napari_promptseg.learning.tuning_options import TuningOptions
from napari_promptseg.learning.validation import held_out_dice
from napari_promptseg.learning.warm_start import fit_linear
from napari_promptseg.prompts.multiview import presences

#: Pixels without a stroke that are drawn for pseudo-labels, per plane, and at most in all.
PSEUDO_PER_PLANE, MOST_PSEUDO = 300, 3000
#: The same for pixels that watch over the classes nobody painted.
OTHERS_PER_PLANE, MOST_OTHERS = 1500, 6000
#: Cosines to a pixel whose words were corrected, between which trust in the words falls from 1 to 0.
UNLIKE = (0.93, 0.99)
#: Stands for the background's logit where nothing speaks for background.
_NEVER = -1e4


class TuningProblem:
    """Pixels, their classes and the maps behind them.

    Parameters
    ----------
    model : TuningModel
    samples : sequence of TuningSample
        Those learned from, or those held out (for which only `score` is asked).
    options : TuningOptions
    """

    def __init__(self, model: TuningModel, samples: Sequence[TuningSample], options: TuningOptions) -> None:
        self.model, self.options = model, options
        device = model.device
        self._samples = samples
        self._maps = [s.features.semantic.to(device).float() for s in samples]
        self._units = [functional.normalize(m, dim=-1) for m in self._maps]
        values = np.concatenate([s.values for s in samples])
        column = {0: 0, **{c.value: i + 1 for i, c in enumerate(model.prompts.classes)}}
        self._x = torch.cat([sampled(m, s) for m, s in zip(self._maps, samples, strict=True)])
        self._image = torch.cat([torch.full((len(s.values),), i) for i, s in enumerate(samples)]).to(device)
        self._target = torch.tensor([column[int(v)] for v in values], dtype=torch.long, device=device)
        self._weights = torch.from_numpy(pixel_weights(samples, options.area_weight)).float().to(device)
        encoder = model.encoder
        self._scale, self._bias = float(encoder.logit_scale), float(encoder.logit_bias)
        present = [[bool((s.values == c.value).any()) for c in model.prompts.classes] for s in samples]
        self._present = torch.tensor(present, device=device).float().view(len(samples), -1)
        complete = torch.tensor([s.complete for s in samples], device=device)
        self._known = self._present.bool() | complete[:, None]
        self._pseudo: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self._goal: torch.Tensor | None = None
        self._others: tuple[torch.Tensor, ...] | None = None
        tuned = [c.value in {t.value for t in model.tuned} for c in model.prompts.classes]
        self._group = torch.tensor([model.tunes_background, *tuned], device=device)
        self._prepared = False

    def logits(
        self, vectors: Vectors, x: torch.Tensor, image: torch.Tensor, shown: torch.Tensor | None = None
    ) -> torch.Tensor:
        """``(n, C + 1)`` logits of pixels ``(n, d)``, background first; presence is worked out where not given."""
        classes = self._logit(x @ vectors.classes.T, vectors)
        background = self._background(vectors, x, classes)
        if bool(vectors.has_global.any()):
            classes = classes + (self._presence(vectors) if shown is None else shown).clamp_min(1e-4).log()[image]
        return torch.cat([background[:, None], classes], dim=1)

    def loss(self, step: int) -> torch.Tensor:
        """The whole loss at one step, differentiable in the tokens and temperatures."""
        self._prepare()
        options, model = self.options, self.model
        vectors, views = model.vectors(model.context, model.log_scale, model.log_tau)
        shown = self._presence(vectors)
        loss = pixel_loss(self.logits(vectors, self._x, self._image, shown), self._target, self._weights)
        if self._pseudo is not None:
            x, image, target = self._pseudo
            sure = self.logits(vectors, x, image, shown)
            loss = loss + options.pseudo_labels * pixel_loss(sure, target, torch.ones_like(sure[:, 0]))
        if options.global_refining and options.image_labels:
            known = self._known & vectors.has_global
            loss = loss + options.image_labels * image_loss(shown, self._present, known)
        if options.orthogonal and options.n_views > 1:
            apart = orthogonal_loss(model.context[1:]) + orthogonal_loss(views[1:, :, None])
            loss = loss + options.orthogonal * apart
        if self._goal is not None and step < options.steps / 3:
            fading = 1 - 3 * step / options.steps
            loss = loss + options.warm_start * fading * anchor_loss(views[1:].mean(dim=0), self._goal)
        if options.anchor:
            loss = loss + options.anchor * self._anchor(views, step)
        if self._others is not None:
            x, image, share, trust = self._others
            now = self.logits(vectors, x, image, shown)
            loss = loss + options.keep_others * share_loss(now, self._group, share, trust)
        return loss

    def score(self, vectors: Vectors) -> float:
        """Mean Dice over the painted classes of the labels the prompts would give these pixels."""
        with torch.no_grad():
            logits = self.logits(vectors, self._x, self._image)
        return held_out_dice(self._samples, drawn_values(logits, self.model.prompts))

    def _logit(self, cosines: torch.Tensor, vectors: Vectors) -> torch.Tensor:
        return cosines * (self._scale * vectors.scale) + self._bias

    def _background(self, vectors: Vectors, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        if not len(vectors.background):
            return torch.full_like(classes[:, 0], _NEVER)
        return self._logit((x @ vectors.background.T).amax(dim=1), vectors)

    def _presence(self, vectors: Vectors) -> torch.Tensor:
        """``(images, C)``: whether each class is in each picture, 1 for classes without a global prompt."""
        at = torch.nonzero(vectors.has_global)[:, 0]
        shown = torch.ones(len(self._maps), len(vectors.has_global), device=self.model.device)
        if not len(at):
            return shown
        own = vectors.global_prompts[at]
        return shown.index_copy(
            1, at, torch.stack([presences(m, own, vectors.gamma, vectors.tau) for m in self._units])
        )

    def _anchor(self, views: torch.Tensor, step: int) -> torch.Tensor:
        """Pull to the words: the tuned names, and a few others that nobody paints."""
        options, model = self.options, self.model
        pull = anchor_loss(views[1:].mean(dim=0), model.words)
        if options.anchor_names and options.shared_context and model.anchor_names:
            n = len(model.anchor_names)
            drawn = [(step * options.anchor_names + i) % n for i in range(min(options.anchor_names, n))]
            words = model.anchor_words[drawn]
            others = model.embed(model.context, [model.anchor_names[i] for i in drawn], words)
            pull = pull + anchor_loss(others[1:].mean(dim=0), words)
        return pull

    def _prepare(self) -> None:
        """Pseudo-labels and the goal of the warm start, once."""
        if self._prepared:
            return
        self._prepared = True
        options, model = self.options, self.model
        words = model.original()
        with torch.no_grad():
            prior = self.logits(words, self._x, self._image)
        if options.warm_start:
            x = self._x * self._scale
            solution = fit_linear(prior, x, self._target, self._weights)
            columns = [0] if model.tunes_background else []
            columns = [int(i) + 1 for i in model.places] + columns
            goal = model.words + solution.weights[columns]
            self._goal = functional.normalize(goal, dim=-1)
        if options.pseudo_labels:
            self._pseudo = self._sure_pixels(words, prior)
        if options.keep_others and not bool(self._group.all()):
            self._others = self._unpainted(words, share_margin(prior, self._group))

    def _unpainted(self, words: Vectors, margin: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
        """Pixels that the words give to classes not tuned: features, images, the tuned ones' share, and trust.

        A stroke on such a pixel says that the words are wrong there, and so of pixels that look like it: `trust` falls
        from 1 to 0 with the cosine to the nearest of them, both against the mean of what was drawn.
        """
        generator = torch.Generator().manual_seed(self.options.seed + 2)
        x, image = self._drawn(max(1, min(OTHERS_PER_PLANE, MOST_OTHERS // len(self._samples))), generator)
        with torch.no_grad():
            share = torch.sigmoid(share_margin(self.logits(words, x, image), self._group))
        # where the words give a pixel to a tuned class there is nothing to protect
        theirs = share < 0.5
        if not bool(theirs.any()):
            return None
        trust, wrong = torch.ones_like(share), self._x[margin < 0]
        if len(wrong):
            middle = x.mean(dim=0)
            near = functional.normalize(x - middle, dim=1) @ functional.normalize(wrong - middle, dim=1).T
            low, high = UNLIKE
            trust = ((high - near.amax(dim=1)) / (high - low)).clamp(0, 1)
        return x[theirs], image[theirs], share[theirs], trust[theirs]

    def _drawn(self, per_plane: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and images of pixels drawn evenly from every plane."""
        xs, images = [], []
        for i, (sample, m) in enumerate(zip(self._samples, self._maps, strict=True)):
            xs.append(sampled(m, _spread(sample, per_plane, generator)))
            images.append(torch.full((per_plane,), i, device=self.model.device))
        return torch.cat(xs), torch.cat(images)

    def _sure_pixels(
        self, words: Vectors, prior: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Pixels without a stroke that a linear solution with fine features is sure of."""
        options, device = self.options, self.model.device
        generator = torch.Generator().manual_seed(options.seed + 1)
        details = [s.features.detail.to(device).float() for s in self._samples]
        fine = torch.cat([sampled(d, s) for d, s in zip(details, self._samples, strict=True)])
        both = torch.cat([self._x * self._scale, fine], dim=1)
        solution = fit_linear(prior, both, self._target, self._weights)
        per_plane = max(1, min(PSEUDO_PER_PLANE, MOST_PSEUDO // len(self._samples)))
        classes = torch.tensor(sorted(set(self._target.tolist())), device=device)
        xs, images, targets = [], [], []
        for i, (sample, m, d) in enumerate(zip(self._samples, self._maps, details, strict=True)):
            spread = _spread(sample, per_plane, generator)
            x = sampled(m, spread)
            image = torch.full((per_plane,), i, device=device)
            with torch.no_grad():
                logits = solution.logits(
                    self.logits(words, x, image), torch.cat([x * self._scale, sampled(d, spread)], dim=1)
                )
            probability, label = logits.softmax(dim=1).max(dim=1)
            painted = torch.isin(label, classes)
            sure = (probability >= options.confidence) & painted
            xs.append(x[sure])
            images.append(image[sure])
            targets.append(label[sure])
        if not sum(len(x) for x in xs):
            return None
        return torch.cat(xs), torch.cat(images), torch.cat(targets)


def _spread(sample: TuningSample, n: int, generator: torch.Generator) -> TuningSample:
    """Pixels drawn evenly from a sample's plane, of no class."""
    height, width = sample.features.image_shape
    rows, columns = np.divmod(torch.randint(height * width, (n,), generator=generator).numpy(), width)
    nothing = np.zeros(n, np.int64)
    return TuningSample(sample.features, rows, columns, nothing, nothing)
