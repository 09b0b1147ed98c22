"""OpenCLIP's own vision transformer: OpenAI, LAION, DataComp, MetaCLIP, CLIPA and CoCa weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from napari_promptseg.encoders.families.tokens import TokenTower, half_stride_patches, merge_heads, split_heads
from napari_promptseg.encoders.families.tower import as_pair
from napari_promptseg.encoders.positions import resample_positions
from napari_promptseg.errors import ModelError


class NativeBlock:
    """A residual attention block, read through names that every release's attention classes share."""

    def __init__(self, block: Any) -> None:
        attention = block.attn
        if getattr(attention, "in_proj_weight", None) is None or getattr(attention, "logit_scale", None) is not None:
            raise ModelError("This vision transformer's attention is of a kind that dense features do not support.")
        self._block = block

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `dense.LastBlock`."""
        attention = self._block.attn
        mixed = functional.linear(self._block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
        q, k, v = (split_heads(part, attention.num_heads) for part in mixed.chunk(3, dim=-1))
        # queries and keys are normalised in some configurations only
        return _optional(attention, "ln_q")(q), _optional(attention, "ln_k")(k), v

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """See `dense.LastBlock`."""
        attention = self._block.attn
        scale = getattr(attention, "head_scale", None)
        merged = merge_heads(attended if scale is None else attended * scale)
        branch = attention.out_proj(_optional(attention, "ln_inner")(merged))
        return self._scaled("ls_1", _optional(self._block, "ln_attn")(branch))

    def mlp(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `dense.LastBlock`."""
        return self._scaled("ls_2", self._block.mlp(self._block.ln_2(tokens)))

    def _scaled(self, name: str, branch: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = _optional(self._block, name)(branch)
        return scaled


class NativeViT(TokenTower):
    """``open_clip.transformer.VisionTransformer``, any patch size, CLS, average or attention pooling."""

    family: ClassVar[str] = "OpenCLIP ViT"

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        self._tower = visual
        self.stride = as_pair(visual.patch_size)[0]
        self.native_grid = as_pair(visual.grid_size)
        self.prefix = 1
        self.width = int(visual.conv1.out_channels)
        self.blocks = list(visual.transformer.resblocks)
        self.last_block = NativeBlock(self.blocks[-1])
        self.default_mode = "naclip"

    def forward(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """See `TokenTower.forward`."""
        positions = resample_positions(self._tower.positional_embedding, self.native_grid, grid, 1)
        result = functional_call(self.visual, {"positional_embedding": positions}, (pixels,))
        pooled: torch.Tensor = result[0] if isinstance(result, tuple) else result
        return pooled

    def head(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `TokenTower.head`."""
        tower = self._tower
        if tower.attn_pool is not None:
            pool = tower.attn_pool_contrastive or tower.attn_pool
            if tower.attn_pool_contrastive is None:
                tokens = tower.ln_post(_pool_values(pool, tokens))
            else:
                tokens = _pool_values(pool, tower.ln_post(tokens))
        else:
            tokens = tower.ln_post(tokens)
        return tokens if tower.proj is None else tokens @ tower.proj

    def shallow(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor | None:
        """See `TokenTower.shallow`."""
        return half_stride_patches(pixels, self._tower.conv1)


def _pool_values(pool: Any, tokens: torch.Tensor) -> torch.Tensor:
    """What an attentional pooler would return if it looked at one token only."""
    attention = pool.attn
    joint = attention.in_proj_weight
    weight = attention.v_proj_weight if joint is None else joint.chunk(3)[2]
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)[2]
    values: torch.Tensor = attention.out_proj(functional.linear(pool.ln_k(tokens), weight, bias))
    return values


def _optional(module: Any, name: str) -> nn.Module:
    part = getattr(module, name, None)
    return part if isinstance(part, nn.Module) else nn.Identity()
