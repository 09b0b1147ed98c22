"""timm vision transformers inside OpenCLIP: class token, MAP head and rotary positions.

BiomedCLIP, MobileCLIP2-B/L, ViTamin (class token or average), SigLIP and SigLIP2 (MAP head), EVA02 and PE-Core
(rotary positions). A MAP head attends from one learned query; per token, the attention is left out:
``y = proj(v(f)); y = y + mlp(norm(y))``, what the head would return if it looked at that token alone.
"""

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


class TimmBlock:
    """A timm transformer block with joint or separate q, k, v projections.

    Rotary positions are left out here: they belong to the vanilla attention, which the library runs itself.
    """

    def __init__(self, block: Any) -> None:
        attention = block.attn
        joint = isinstance(getattr(attention, "qkv", None), nn.Linear)
        apart = all(isinstance(getattr(attention, f"{n}_proj", None), nn.Linear) for n in "qkv")
        if not (joint or apart) or getattr(attention, "gate", None) is not None:
            raise ModelError(f"Attention of the kind {type(attention).__name__} is not supported for dense features.")
        self._block = block
        self._joint = joint
        # blocks that normalise after each branch (EVA02-E) have no layer scale, not even an empty one
        self._norm_after = not (hasattr(block, "gamma_1") or hasattr(block, "ls1"))

    def project(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `dense.LastBlock`."""
        attention = self._block.attn
        normal = tokens if self._norm_after else self._block.norm1(tokens)
        if self._joint:
            bias = attention.qkv.bias
            if bias is None and getattr(attention, "q_bias", None) is not None:
                bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
            q, k, v = functional.linear(normal, attention.qkv.weight, bias).chunk(3, dim=-1)
        else:
            q, k, v = attention.q_proj(normal), attention.k_proj(normal), attention.v_proj(normal)
        q, k, v = (split_heads(part, attention.num_heads) for part in (q, k, v))
        return attention.q_norm(q), attention.k_norm(k), v

    def output(self, attended: torch.Tensor) -> torch.Tensor:
        """See `dense.LastBlock`."""
        attention = self._block.attn
        branch = attention.proj(attention.norm(merge_heads(attended)))
        return torch.as_tensor(self._block.norm1(branch)) if self._norm_after else self._scaled(1, branch)

    def mlp(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `dense.LastBlock`."""
        if self._norm_after:
            return torch.as_tensor(self._block.norm2(self._block.mlp(tokens)))
        return self._scaled(2, self._block.mlp(self._block.norm2(tokens)))

    def _scaled(self, number: int, branch: torch.Tensor) -> torch.Tensor:
        # ViT blocks hold a layer-scale module, EVA blocks a bare vector; either may be absent
        gamma = getattr(self._block, f"gamma_{number}", None)
        if gamma is not None:
            scaled: torch.Tensor = branch * gamma
            return scaled
        module = getattr(self._block, f"ls{number}", None)
        return branch if module is None else torch.as_tensor(module(branch))


class TimmViT(TokenTower):
    """``timm`` ``VisionTransformer`` or ``Eva`` trunk with OpenCLIP's head."""

    family: ClassVar[str] = "timm ViT"

    def __init__(self, visual: Any) -> None:
        super().__init__(visual)
        trunk = visual.trunk
        self._head = visual.head
        self._trunk = trunk
        embed = trunk.patch_embed
        # any size may come in: positions are interpolated here
        embed.strict_img_size = False
        self._embed = embed
        self.native_grid = as_pair(embed.grid_size)
        self.stride = as_pair(embed.img_size)[0] // self.native_grid[0]
        self.prefix = int(trunk.num_prefix_tokens)
        self.width = int(trunk.embed_dim)
        self.blocks = list(trunk.blocks)
        self.last_block = TimmBlock(self.blocks[-1])
        self._rope = getattr(trunk, "rope", None)
        if self._rope is not None and not hasattr(self._rope, "update_feat_shape"):
            raise ModelError(
                f"Rotary positions of the kind {type(self._rope).__name__} cannot be set to another size here."
            )
        self.default_mode = "naclip" if trunk.attn_pool is None else "vanilla"

    def forward(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """See `TokenTower.forward`."""
        swapped = {}
        if self._trunk.pos_embed is not None:
            prefix = 0 if self._trunk.no_embed_class else self.prefix
            positions = resample_positions(self._trunk.pos_embed[0], self.native_grid, grid, prefix)
            swapped["trunk.pos_embed"] = positions[None]
        if self._rope is not None:
            self._rope.update_feat_shape(list(grid))
        try:
            pooled: torch.Tensor = functional_call(self.visual, swapped, (pixels,))
        finally:
            if self._rope is not None:
                self._rope.update_feat_shape(list(self.native_grid))
        return pooled

    def head(self, tokens: torch.Tensor) -> torch.Tensor:
        """See `TokenTower.head`."""
        trunk = self._trunk
        tokens = trunk.norm(tokens)
        if trunk.attn_pool is not None:
            tokens = map_values(trunk.attn_pool, tokens)
        joint: torch.Tensor = self._head(trunk.head(trunk.fc_norm(tokens)))
        return joint

    def shallow(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor | None:
        """See `TokenTower.shallow`."""
        convolution = getattr(self._embed, "proj", None)
        if isinstance(convolution, nn.Conv2d) and as_pair(convolution.kernel_size)[0] == self.stride:
            return half_stride_patches(pixels, convolution)
        backbone = getattr(self._embed, "backbone", None)
        if isinstance(backbone, nn.Sequential):
            # a convolutional stem: its first stage is finer than the patches
            first: torch.Tensor = backbone[0](pixels)
            return functional.adaptive_avg_pool2d(first, (2 * grid[0], 2 * grid[1]))
        return None


class MapViT(TimmViT):
    """SigLIP and SigLIP2: no class token, attention pooling."""

    family: ClassVar[str] = "SigLIP ViT"


class RotaryViT(TimmViT):
    """EVA02 and PE-Core: rotary positions."""

    family: ClassVar[str] = "EVA ViT"


def map_values(pool: Any, tokens: torch.Tensor) -> torch.Tensor:
    """A MAP head's answer to each token ``(b, n, c)`` alone: ``(b, n, c)``."""
    width = pool.kv.out_features // 2
    bias = None if pool.kv.bias is None else pool.kv.bias[width:]
    values: torch.Tensor = pool.proj(functional.linear(tokens, pool.kv.weight[width:], bias))
    if pool.mlp is not None:
        values = values + pool.mlp(pool.norm(values))
    return values
