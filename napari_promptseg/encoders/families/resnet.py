"""CLIP's modified ResNets with attention pooling."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from napari_promptseg.encoders.families.tokens import merge_heads, split_heads
from napari_promptseg.encoders.families.tower import ImageTower, TowerFeatures, stack_levels
from napari_promptseg.encoders.positions import resample_positions


class ClipResNet(ImageTower):
    """``open_clip.modified_resnet.ModifiedResNet`` (RN50, RN101, RN50x4 ...).

    The attention pool's value path gives each cell's own embedding, ``c_proj(v_proj(x))`` (MaskCLIP, Zhou et al.
    2022); ``vanilla`` runs the pool's attention with every cell as a query instead.
    """

    family: ClassVar[str] = "CLIP ResNet"
    modes: ClassVar[tuple[str, ...]] = ("maskclip", "vanilla")

    def __init__(self, visual: Any) -> None:
        self.visual: nn.Module = visual
        self._pool = visual.attnpool
        self._stages: list[nn.Module] = [visual.layer1, visual.layer2, visual.layer3, visual.layer4]
        self.stride = 32
        side = round((self._pool.positional_embedding.shape[0] - 1) ** 0.5)
        self.native_grid = (side, side)
        self.default_mode = "maskclip"
        self._lock = threading.Lock()

    def extract(self, pixels: torch.Tensor, mode: str) -> TowerFeatures:
        """See `ImageTower.extract`."""
        grid = pixels.shape[-2] // self.stride, pixels.shape[-1] // self.stride
        maps: dict[int, torch.Tensor] = {}

        def keep(number: int) -> Any:
            def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
                maps[number] = output

            return hook

        positions = resample_positions(self._pool.positional_embedding, self.native_grid, grid, 1)
        with self._lock, ExitStack() as stack:
            for number, stage in enumerate(self._stages):
                stack.callback(stage.register_forward_hook(keep(number)).remove)
            pooled = functional_call(self.visual, {"attnpool.positional_embedding": positions}, (pixels,))
        cells = maps[3].flatten(2).transpose(1, 2)
        if mode == "vanilla":
            semantic = self.attend(cells, positions)[:, 1:]
        else:
            semantic = self._pool.c_proj(self._pool.v_proj(cells))
        fine = 4 * grid[0], 4 * grid[1]
        semantic = semantic.reshape(semantic.shape[0], *grid, -1)
        return TowerFeatures(semantic, stack_levels([maps[0], maps[1], maps[2]], fine), pooled)

    def attend(self, cells: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The pool's attention with every token as a query: ``(b, 1 + n, d)``, the mean token first."""
        pool = self._pool
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1) + positions
        q, k, v = (split_heads(p(tokens), pool.num_heads) for p in (pool.q_proj, pool.k_proj, pool.v_proj))
        result: torch.Tensor = pool.c_proj(merge_heads(functional.scaled_dot_product_attention(q, k, v)))
        return result
