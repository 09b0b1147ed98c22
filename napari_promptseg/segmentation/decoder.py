"""A light decoder on frozen features: it moves each pixel's joint vector, and prompts classify what comes out.

The student of MVP-SEG+ (Guo et al. 2023, arXiv 2304.06957) is a segmentor whose classifier is the learned prompts. Here
the image tower stays frozen, so that a student is small enough to travel in a prompt file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.segmentation.sampling import bilinear_matrix, centres, resample

#: Changes with every change of the layers; a file of another one is refused.
ARCHITECTURE = 1

#: Rows of the fine grid decoded at once, to bound memory.
_ROWS = 64


class Decoder(nn.Module):
    """Joint vectors on the fine grid from joint vectors and details.

    Parameters
    ----------
    n_semantic, n_detail : int
        Channels of `DenseFeatures.semantic` and `detail`.
    width : int
        Channels in between.
    shrink : int
        Cells of the joint grid averaged to one, along each axis, before neighbours are looked at.

    Notes
    -----
    ``F' = up(F) + out(mix(up(context(F)) + fine(D)))``. The context is a 1x1 and two 3x3 convolutions, the second
    dilated; all else are 1x1 convolutions, so that single pixels can be trained on. The last layer begins at zero: an
    untrained decoder changes nothing.
    """

    centre: torch.Tensor
    spread: torch.Tensor
    detail_spread: torch.Tensor

    def __init__(self, n_semantic: int, n_detail: int, width: int = 64, shrink: int = 1) -> None:
        super().__init__()
        self.width, self.shrink = width, shrink
        self.register_buffer("centre", torch.zeros(n_semantic))
        self.register_buffer("spread", torch.ones(n_semantic))
        self.register_buffer("detail_spread", torch.ones(n_detail))
        self.reduce = nn.Conv2d(n_semantic, width, 1)
        self.near = nn.Conv2d(width, width, 3, padding=1)
        self.far = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.own = nn.Linear(n_semantic, width)
        self.fine = nn.Linear(n_detail, width)
        self.mix = nn.Linear(width, width)
        self.out = nn.Linear(width, n_semantic)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def context(self, semantic: torch.Tensor) -> torch.Tensor:
        """``(n, h, w, d)`` joint vectors to ``(n, width, h / shrink, w / shrink)``."""
        x = semantic.float().permute(0, 3, 1, 2)
        if self.shrink > 1:
            height, width = (max(1, round(int(n) / self.shrink)) for n in x.shape[-2:])
            x = F.adaptive_avg_pool2d(x, (height, width))
        # standardised last, where there are fewest cells
        x = (x - self.centre[:, None, None]) / self.spread[:, None, None]
        x = F.gelu(self.reduce(x))
        x = x + F.gelu(self.near(x))
        out: torch.Tensor = x + F.gelu(self.far(x))
        return out

    def change(self, context: torch.Tensor, semantic: torch.Tensor, detail: torch.Tensor) -> torch.Tensor:
        """What is added to the joint vectors of n pixels: ``(n, d)``.

        Parameters
        ----------
        context, semantic, detail : torch.Tensor
            ``(n, width)``, ``(n, d)`` and ``(n, d')``, read at the pixels.
        """
        own = self.own((semantic.float() - self.centre) / self.spread)
        x = F.gelu(context + own + self.fine(detail.float() / self.detail_spread))
        x = x + F.gelu(self.mix(F.dropout(x, 0.2, self.training)))
        out: torch.Tensor = self.out(F.dropout(x, 0.2, self.training))
        return out

    @torch.no_grad()
    def adapted(self, features: DenseFeatures) -> DenseFeatures:
        """The features of a plane of any size with joint vectors on the grid of the details.

        Raises
        ------
        InputError
            If their lengths are not those that the decoder was made for.
        """
        semantic, detail = features.semantic, features.detail
        lengths, made_for = (semantic.shape[2], detail.shape[2]), (self.out.out_features, self.fine.in_features)
        if lengths != made_for:
            raise InputError(
                f"The student was made for features of {made_for[0]} and {made_for[1]} numbers and the picture has "
                f"{lengths[0]} and {lengths[1]}: segment the picture again with the model the student belongs to."
            )
        height, width = int(detail.shape[0]), int(detail.shape[1])
        context = self.context(semantic[None])[0]
        same = (height, width) == tuple(semantic.shape[:2])
        changed = torch.empty(height, width, lengths[0], dtype=semantic.dtype, device=semantic.device)
        for top in range(0, height, _ROWS):
            rows = slice(top, min(top + _ROWS, height))
            around = _enlarged(context, rows, (height, width))
            own = semantic[rows].flatten(0, 1).float()
            if not same:
                own = _enlarged(semantic.permute(2, 0, 1).float(), rows, (height, width))
            moved = own + self.change(around, own, detail[rows].flatten(0, 1))
            changed[rows] = moved.view(-1, width, lengths[0]).to(changed.dtype)
        return DenseFeatures(changed, detail, features.pooled, features.image_shape, features.fingerprint)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Weights by name, as a prompt file stores them."""
        return {name: value.detach().cpu().numpy() for name, value in self.state_dict().items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], facts: Mapping[str, Any]) -> Decoder:
        """Rebuild a decoder.

        Parameters
        ----------
        tensors : mapping
            As `tensors` gives them.
        facts : mapping
            ``architecture``, ``width`` and ``shrink``.

        Raises
        ------
        InputError
            If it is of another architecture, or damaged.
        """
        if facts.get("architecture") != ARCHITECTURE:
            raise InputError(
                f"The student in the prompt file is of architecture {facts.get('architecture')!r} and this release "
                f"knows {ARCHITECTURE}: use the release it was made with, or tune again."
            )
        try:
            with torch.random.fork_rng(devices=[]):  # what layers begin with is drawn, and thrown away here
                made = cls(
                    tensors["out.weight"].shape[0],
                    tensors["fine.weight"].shape[1],
                    int(facts["width"]),
                    int(facts["shrink"]),
                )
            made.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in tensors.items()})
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise InputError("The student in the prompt file is damaged: tune again.") from error
        return made.eval().requires_grad_(False)


def _enlarged(maps: torch.Tensor, rows: slice, grid: tuple[int, int]) -> torch.Tensor:
    """Some rows of ``(K, h, w)`` maps enlarged to a grid bilinearly: ``(rows * grid[1], K)``."""
    down = bilinear_matrix(centres(grid[0])[rows], int(maps.shape[1]))
    along = bilinear_matrix(centres(grid[1]), int(maps.shape[2]))
    return resample(maps, down, along).flatten(1).T
