"""Dense features from the last block of a frozen vision transformer.

A CLIP image tower is trained on its class token only; its last block mixes patches so that each describes the whole
picture rather than itself. The modes below recompute that block from its own frozen weights. With ``[q, k, v]`` the
projections of the normalised input, ``s = d_head ** -0.5`` and ``out`` the output projection:

=========== =============================================================== ==================
mode        attention A                                                     residual and MLP
=========== =============================================================== ==================
vanilla     softmax(q k^T s)                                                kept
maskclip    identity                                                        removed
clearclip   softmax(q q^T s)                                                removed
naclip      softmax(k k^T s + w), w_ij = exp(-d_ij^2 / 2 5^2), 0 for CLS    removed
scclip      half softmax(k k^T s) + half softmax(3 (S - mean S))            0.3 CLS, no MLP
=========== =============================================================== ==================

In ``scclip``, S is the cosine of the tokens three quarters of the way up (block 9 of 12), entries below its mean do
not count, and outlier tokens (local outlier factor, 5 %) are first replaced by the mean of their neighbours.

References
----------
MaskCLIP: Zhou et al., ECCV 2022. ClearCLIP: Lan et al., ECCV 2024. NACLIP: Hajimiri et al., WACV 2025.
SC-CLIP: Bai et al., 2024, without its two further aggregation steps.
"""

from __future__ import annotations

from typing import Literal, Protocol, cast, get_args

import torch
from torch.nn import functional

from napari_promptseg.errors import InputError

#: How the last block is recomputed for patch features.
DenseMode = Literal["vanilla", "maskclip", "clearclip", "naclip", "scclip"]
DENSE_MODES: tuple[DenseMode, ...] = get_args(DenseMode)

_GAUSSIAN_CELLS = 5.0
_CLASS_SHARE = 0.3
_SHARPNESS = 3.0
_OUTLIER_SHARE = 0.05
_OUTLIER_NEIGHBOURS = 30


class LastBlock(Protocol):
    """What the modes need from a transformer block, whatever class it is."""

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of the normalised tokens ``(b, n, c)``: each ``(b, heads, n, c / heads)``."""
        ...

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """Output projection of ``(b, heads, n, c / heads)``: the attention branch's ``(b, n, c)``."""
        ...

    def mlp(self, tokens: torch.Tensor) -> torch.Tensor:
        """The MLP branch's ``(b, n, c)``, without the residual."""
        ...


def check_mode(mode: str, allowed: tuple[str, ...], family: str) -> DenseMode:
    """The mode itself if the family offers it; `InputError` otherwise."""
    if mode not in allowed:
        raise InputError(f"The dense mode {mode!r} does not fit {family}: choose one of {', '.join(allowed)}.")
    return cast("DenseMode", mode)


def dense_tokens(
    block: LastBlock,
    tokens: torch.Tensor,
    mode: DenseMode,
    grid: tuple[int, int],
    prefix: int,
    similar: torch.Tensor | None = None,
) -> torch.Tensor:
    """Output of the last block in the given mode.

    Parameters
    ----------
    block : LastBlock
        Its frozen parts.
    tokens : torch.Tensor
        ``(b, prefix + h * w, c)``, the block's input.
    mode : DenseMode
    grid : tuple of int
        ``(h, w)``.
    prefix : int
        Number of class and register tokens before the patches.
    similar : torch.Tensor, optional
        ``(b, h * w, c)`` patch tokens whose cosines guide ``scclip``; the input's own where not given.

    Returns
    -------
    torch.Tensor
        ``(b, h * w, c)`` for the patches, before the tower's final normalisation and projection.
    """
    if mode == "scclip":
        return _self_calibrated(block, tokens, grid, prefix, similar)
    q, k, v = block.project(tokens)
    if mode == "vanilla":
        tokens = tokens + block.output(functional.scaled_dot_product_attention(q, k, v))
        return (tokens + block.mlp(tokens))[:, prefix:]
    if mode == "maskclip":
        attended = v
    elif mode == "clearclip":
        attended = functional.scaled_dot_product_attention(q, q, v)
    else:
        nearness = neighbour_weights(grid, prefix).to(v)
        attended = functional.scaled_dot_product_attention(k, k, v, attn_mask=nearness)
    return block.output(attended)[:, prefix:]


def neighbour_weights(grid: tuple[int, int], prefix: int, cells: float = _GAUSSIAN_CELLS) -> torch.Tensor:
    """NACLIP's addition to the attention logits: ``(prefix + h * w)`` squared, Gaussian in the distance, 0 for CLS."""
    h, w = grid
    rows = torch.exp(-((torch.arange(h)[:, None] - torch.arange(h)) ** 2) / (2 * cells**2))
    columns = torch.exp(-((torch.arange(w)[:, None] - torch.arange(w)) ** 2) / (2 * cells**2))
    n = prefix + h * w
    weights = torch.zeros(n, n)
    weights[prefix:, prefix:] = torch.einsum("ab,cd->acbd", rows, columns).reshape(h * w, h * w)
    return weights


def _self_calibrated(
    block: LastBlock, tokens: torch.Tensor, grid: tuple[int, int], prefix: int, similar: torch.Tensor | None
) -> torch.Tensor:
    patches = tokens[:, prefix:]
    outliers = torch.stack([local_outliers(p) for p in patches])
    similar = repaired(patches if similar is None else similar, outliers, grid)
    patches = repaired(patches, outliers, grid)
    unit = functional.normalize(similar, dim=-1)
    cosines = unit @ unit.transpose(1, 2)
    cosines = _SHARPNESS * (cosines - cosines.mean(dim=(1, 2), keepdim=True))
    affinity = cosines.masked_fill(cosines < 0, float("-inf")).softmax(dim=-1)
    _, k, v = block.project(patches)
    attended = functional.scaled_dot_product_attention(k, k, v) + affinity[:, None] @ v
    result = block.output(attended / 2)
    if prefix:
        result = result + _CLASS_SHARE * tokens[:, :1]
    return result


def local_outliers(tokens: torch.Tensor, share: float = _OUTLIER_SHARE) -> torch.Tensor:
    """Which tokens lie in far sparser surroundings than their neighbours do.

    Parameters
    ----------
    tokens : torch.Tensor
        ``(n, c)``.
    share : float
        Part of the tokens to name, in ``[0, 1]``.

    Returns
    -------
    torch.Tensor
        ``(n,)`` bool. None where all tokens are equally dense, or fewer than three.

    References
    ----------
    Breunig et al., "LOF: identifying density-based local outliers", SIGMOD 2000.
    """
    n = tokens.shape[0]
    if n < 3:
        return torch.zeros(n, dtype=torch.bool, device=tokens.device)
    neighbours = min(_OUTLIER_NEIGHBOURS, n - 1)
    distances = torch.cdist(tokens, tokens)
    distances.fill_diagonal_(float("inf"))
    nearest, index = distances.topk(neighbours, largest=False)
    reach = torch.maximum(nearest, nearest[:, -1][index])
    density = 1.0 / reach.mean(dim=1).clamp_min(1e-12)
    factor = density[index].mean(dim=1) / density
    return factor > torch.quantile(factor, 1 - share).clamp_min(1 + 1e-6)


def repaired(tokens: torch.Tensor, outliers: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Replace outlier tokens ``(b, h * w, c)`` by the mean of the sound ones among their eight neighbours."""
    b, n, c = tokens.shape
    planes = tokens.transpose(1, 2).reshape(b, c, *grid)
    sound = (~outliers).to(tokens).reshape(b, 1, *grid)
    total = functional.avg_pool2d(planes * sound, 3, 1, 1, divisor_override=1)
    count = functional.avg_pool2d(sound, 3, 1, 1, divisor_override=1)
    replace = (sound == 0) & (count > 0)
    planes = torch.where(replace, total / count.clamp_min(1), planes)
    return planes.reshape(b, c, n).transpose(1, 2)
