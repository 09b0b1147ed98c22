"""Classes told apart pixel by pixel, by what pixels measure, and how that is pooled with what a network's features say.

A network's features are smooth over a patch; grey and white matter are told apart by brightness at the pixel. A layer
of random half-planes in the measured values (Rahimi & Recht 2008) makes classes between two brightnesses learnable by
a linear solve, and costs little at every pixel of a volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.learned import BACKGROUND, LearnedPrompts
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.fusion import Counted
from napari_promptseg.segmentation.learned_heads import FINE, without_heads
from napari_promptseg.segmentation.pixel_maps import PixelMaps
from napari_promptseg.segmentation.pixel_values import N_COLOUR_VALUES, N_VALUES, pixel_values

FINE_VERSION = 2

#: Pixels worked on at once: more would not stay in the processor's cache, and take five times as long.
_AT_ONCE = 4096
_LEAST = 1e-4

_SHARED = ("centre", "spread", "directions", "offsets")


@dataclass(frozen=True, eq=False)
class Lift:
    """Measured values, brought to one scale, and random half-planes in them.

    Parameters
    ----------
    centre, spread : torch.Tensor
        ``(d,)`` of the values that were learned from. Those of another volume are brought to the same scale only as
        far as its greys are (`images.normalisation`).
    directions : torch.Tensor
        ``(d, D)``.
    offsets : torch.Tensor
        ``(D,)``.
    """

    centre: torch.Tensor
    spread: torch.Tensor
    directions: torch.Tensor
    offsets: torch.Tensor

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """``(n, d)`` to ``(n, d + D)``."""
        scaled = (values - self.centre) / self.spread
        return torch.cat([scaled, torch.relu(torch.addmm(self.offsets, scaled, self.directions))], dim=1)


@dataclass(frozen=True, eq=False)
class FineHead:
    """Classes as pixels show them.

    Parameters
    ----------
    values : tuple of int
        Class values that were learned, ascending; 0 is background.
    lift : Lift
    weights : torch.Tensor
        ``(C, d + D)``.
    bias : torch.Tensor
        ``(C,)``.
    shares : tuple of float
        What logarithms of the features' chances and of the pixels' count, when both are pooled.
    """

    values: tuple[int, ...]
    lift: Lift
    weights: torch.Tensor
    bias: torch.Tensor
    shares: tuple[float, float] = (0.5, 0.5)

    def chances(self, picture: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Logarithms of the learned classes' chances, ``(C, Y, X)``, at the pixels of a ``(Y, X, 3)`` picture."""
        values = pixel_values(picture, colour=len(self.lift.centre) == N_COLOUR_VALUES).flatten(1).T
        parts = [self.lift(part) @ self.weights.T + self.bias for part in torch.split(values, _AT_ONCE)]
        logs = torch.log_softmax(torch.cat(parts), dim=1).clamp_min(float(np.log(_LEAST)))
        return logs.T.reshape(len(self.values), *picture.shape[:2])

    def pooled(self, chances: torch.Tensor, order: tuple[int, ...], fine: torch.Tensor) -> torch.Tensor:
        """Chances ``(K, ...)`` of classes in some order, with what pixels say of those that were learned.

        Parameters
        ----------
        chances : torch.Tensor
            By the features.
        order : tuple of int
            Class values of its maps.
        fine : torch.Tensor
            ``(C, ...)`` of `chances`, the method.

        Notes
        -----
        A weighted product of both, within what the features give to these classes together: others stay as they are.
        """
        own = [order.index(v) for v in self.values if v in order]
        rows = [i for i, v in enumerate(self.values) if v in order]
        coarse, pixel = self.shares
        if len(own) < 2 or not pixel:
            return chances
        known = chances[own].clamp_min(_LEAST)
        both = torch.softmax(coarse * known.log() + pixel * fine[rows].to(chances), dim=0)
        out = chances.clone()
        out[own] = both * chances[own].sum(dim=0, keepdim=True)
        return out


def fine_head(prompts: PromptSet) -> FineHead | None:
    """What pixels taught about classes of the set; None where they taught nothing.

    Raises
    ------
    InputError
        If it is stored in another way, or damaged.
    """
    learned = prompts.learned
    if learned is None or FINE not in learned.facts:
        return None
    known = {v: learned.tensors.get(_name(v)) for v in (BACKGROUND, *sorted(c.value for c in prompts.classes))}
    rows = {v: torch.tensor(row, dtype=torch.float32) for v, row in known.items() if row is not None}
    try:
        facts = learned.facts[FINE]
        lift = Lift(*(torch.tensor(learned.tensors[f"{FINE}/{name}"], dtype=torch.float32) for name in _SHARED))
        shares = (float(facts["features"]), float(facts["pixels"]))
        d, n = lift.directions.shape
        fits = lift.centre.shape == lift.spread.shape == (d,) and lift.offsets.shape == (n,)
        fits &= d in (N_VALUES, N_COLOUR_VALUES)
        if facts["version"] != FINE_VERSION or not fits or any(row.shape != (d + n + 1,) for row in rows.values()):
            raise ValueError("of another shape")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError("What pixels taught does not fit this release: teach the volume again.") from error
    if len(rows) < 2:
        return None
    table = torch.stack(list(rows.values()))
    return FineHead(tuple(rows), lift, table[:, :-1], table[:, -1], shares)


def with_fine_head(prompts: PromptSet, head: FineHead, fingerprint: str, model: str) -> PromptSet:
    """A set that is drawn with what pixels taught; what they taught before is replaced.

    Parameters
    ----------
    prompts : PromptSet
    head : FineHead
    fingerprint, model : str
        Of the encoder whose chances it is pooled with.
    """
    learned = without_heads(prompts.learned or LearnedPrompts(fingerprint, model), (FINE,))
    tensors = {f"{FINE}/{name}": getattr(head.lift, name).numpy() for name in _SHARED}
    for value, row, bias in zip(head.values, head.weights, head.bias, strict=True):
        tensors[_name(value)] = torch.cat([row, bias[None]]).numpy()
    coarse, pixel = head.shares
    facts = {"version": FINE_VERSION, "features": coarse, "pixels": pixel}
    stored = replace(learned, tensors={**learned.tensors, **tensors}, facts={**learned.facts, FINE: facts})
    return replace(prompts, learned=stored)


def with_pixels(prompts: PromptSet, maps: PixelMaps, parts: Sequence[Counted]) -> PixelMaps:
    """Refined chances, background first, with what the set learned from pixels; as they are where it learned nothing.

    Parameters
    ----------
    prompts : PromptSet
    maps : PixelMaps
    parts : sequence of Counted
        Modalities that the maps come from: of several fused, or of a plane too large for one piece, maps stay.
    """
    head = fine_head(prompts)
    picture = parts[0].scene.picture
    if head is None or picture is None or len(parts) > 1:
        return maps
    order = (BACKGROUND, *(c.value for c in prompts.classes))
    chances = torch.stack([maps.full(i) for i in range(len(order))]).clamp(0, 1)
    return PixelMaps(head.pooled(chances, order, head.chances(picture)), maps.shape, maps.shape)


def _name(value: int) -> str:
    return f"{FINE}/class/{value}"
