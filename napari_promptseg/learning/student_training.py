"""How a student's decoder is trained: cross-entropy on single pixels, with the prompts as its fixed classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.learning.student_data import Piece
from napari_promptseg.prompts.embedding import embed_prompts
from napari_promptseg.prompts.multiview import LearnedScores
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.background import with_fitting_background
from napari_promptseg.segmentation.decoder import Decoder
from napari_promptseg.segmentation.scoring import score

#: Grids longer than this are halved before neighbours are looked at.
_FINE_GRID = 40


class Classifier:
    """Joint vectors to logits, exactly as the segmenter scores them."""

    def __init__(self, encoder: Encoder, prompts: PromptSet) -> None:
        fitting = with_fitting_background(prompts, encoder)
        self._encoder, self._pooling = encoder, fitting.pooling
        self._embedded = embed_prompts(encoder, fitting)
        learned = prompts.learned
        none = torch.zeros(len(prompts), device=encoder.device)
        self._learned = None if learned is None else LearnedScores(learned.scale, none)

    def __call__(self, vectors: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """``(n, C + 1)`` logits, background first, of ``(n, d)`` vectors; offsets ``(n, C)`` or ``(C,)`` are added."""
        cells = DenseFeatures(vectors[:, None], vectors[:, None], vectors[0], (len(vectors), 1), "")
        maps = score(
            cells,
            self._embedded.class_vectors,
            self._embedded.background,
            self._encoder,
            self._pooling,
            self._learned,
        )
        if maps.background is None:
            raise InputError("A student needs something to tell the classes from: give background words.")
        return torch.cat([maps.background[..., 0][:, None], maps.classes[..., 0].T + offsets], dim=1)


def new_decoder(pieces: Sequence[Piece], width: int, seed: int) -> Decoder:
    """A decoder that changes nothing yet, its inputs standardised by the pieces."""
    own = torch.cat([p.own for p in pieces])
    detail = torch.cat([p.detail for p in pieces]).float()
    side = max(max(p.semantic.shape[:2]) for p in pieces)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        decoder = Decoder(own.shape[1], detail.shape[1], width, 2 if side > _FINE_GRID else 1)
    decoder.centre.copy_(own.mean(dim=0))
    # channels that say nothing here must not be blown up elsewhere
    spread = own.std(dim=0, correction=0)
    decoder.spread.copy_(spread.clamp_min(0.1 * float(spread.mean()) + 1e-6))
    spread = detail.std(dim=0, correction=0)
    decoder.detail_spread.copy_(spread.clamp_min(0.1 * float(spread.mean()) + 1e-6))
    return decoder


def logits_of(decoder: Decoder, classifier: Classifier, pieces: Sequence[Piece]) -> torch.Tensor:
    """``(n, C + 1)`` logits of all pixels of some pieces, in order."""
    device = decoder.centre.device
    around: list[torch.Tensor | None] = [None] * len(pieces)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, piece in enumerate(pieces):
        shapes.setdefault(tuple(piece.semantic.shape), []).append(i)
    for indices in shapes.values():
        maps = decoder.context(torch.stack([pieces[i].semantic for i in indices]).to(device))
        for i, own in zip(indices, maps, strict=True):
            places = pieces[i].places[None, None].to(device)
            read = F.grid_sample(own[None], places, mode="bilinear", padding_mode="border", align_corners=False)
            around[i] = read[0, :, 0].T
    context = torch.cat([a for a in around if a is not None])
    own = torch.cat([p.own for p in pieces]).to(device)
    detail = torch.cat([p.detail for p in pieces]).to(device)
    offsets = torch.cat([p.offsets.expand(len(p.target), -1) for p in pieces]).to(device)
    return classifier(own + decoder.change(context, own, detail), offsets)


def piece_weights(pieces: Sequence[Piece]) -> list[torch.Tensor]:
    """Per piece ``(n,)``: each pixel counts the area it stands for, and each class the root of its area.

    Neither as in the pictures, where a rare class drowns, nor all the same, where it floods.
    """
    target, area = torch.cat([p.target for p in pieces]), torch.cat([p.area for p in pieces])
    known = target >= 0
    of_class = torch.zeros(int(target.max()) + 1).index_add_(0, target[known], area[known])
    factor = of_class.clamp_min(1e-12).rsqrt()
    weights = torch.where(known, area * factor[target.clamp_min(0)], torch.zeros_like(area))
    weights = weights * (known.sum() / weights.sum())
    ends = np.cumsum([len(p.target) for p in pieces]).tolist()
    return [weights[end - len(p.target) : end] for end, p in zip(ends, pieces, strict=True)]


def train(
    decoder: Decoder,
    classifier: Classifier,
    true: Sequence[Piece],
    pseudo: Sequence[Piece],
    *,
    steps: int,
    rate: float,
    pseudo_weight: float,
    batch: int,
    seed: int,
    progress: Callable[[int, float], None],
) -> None:
    """Train in place.

    Parameters
    ----------
    true, pseudo : sequence of Piece
        With true labels, and with others'.
    steps, rate, batch : int, float, int
        Of AdamW; pieces of each kind per step.
    pseudo_weight : float
        Of the loss on the others' labels.
    progress : callable
        ``(step, loss)``; may raise `CancelledError`, which leaves the decoder as it is then.
    """
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=rate, weight_decay=0.05)
    rising = max(1, steps // 5)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / rising, 0.5 + 0.5 * math.cos(math.pi * s / steps))
    )
    kinds = [(k, piece_weights(k), w) for k, w in ((true, 1.0), (pseudo, pseudo_weight)) if k and w]
    decoder.train()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            for step in range(steps):
                optimiser.zero_grad(set_to_none=True)
                chosen, factors = [], []
                for pieces, weights, share in kinds:
                    drawn = rng.choice(len(pieces), min(batch, len(pieces)), replace=False)
                    pixels = sum(len(weights[i]) for i in drawn)
                    chosen += [pieces[i] for i in drawn]
                    factors += [weights[i] * (share / pixels) for i in drawn]
                target = torch.cat([p.target for p in chosen]).to(decoder.centre.device)
                factor = torch.cat(factors).to(target.device)
                each = F.cross_entropy(logits_of(decoder, classifier, chosen), target.clamp_min(0), reduction="none")
                loss = (each * factor).sum()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                progress(step + 1, float(loss.detach()))
    finally:
        decoder.eval()


@torch.no_grad()
def own_labels(decoder: Decoder, classifier: Classifier, pieces: Sequence[Piece]) -> list[Piece]:
    """The same pixels as the student labels them."""
    found = []
    for piece in pieces:
        sure, target = logits_of(decoder, classifier, [piece]).softmax(dim=1).max(dim=1)
        found.append(piece.labelled(target.cpu(), sure.cpu()))
    return found


def confident(pieces: Sequence[Piece], confidence: float) -> list[Piece]:
    """The same pieces without the labels that are not sure.

    Notes
    -----
    Of each class at least its surer half stays, so that a class whose probabilities are low everywhere is not
    forgotten: class-balanced self-training (Zou et al. 2018).
    """
    if not pieces:
        return []
    target, sure = torch.cat([p.target for p in pieces]), torch.cat([p.sure for p in pieces])
    needed = torch.full((int(target.max()) + 1,), confidence)
    for column in torch.unique(target[target >= 0]).tolist():
        needed[column] = min(confidence, float(sure[target == column].median()))
    kept = []
    for piece in pieces:
        enough = piece.sure >= needed[piece.target.clamp_min(0)]
        kept.append(piece.labelled(torch.where(enough, piece.target, -torch.ones_like(piece.target)), piece.sure))
    return [p for p in kept if bool((p.target >= 0).any())]
