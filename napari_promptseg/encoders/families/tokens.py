"""Towers made of transformer blocks over patch tokens: what the families have in common.

The library's own forward pass runs unchanged; hooks read the tokens on the way. So the pooled embedding is the
library's own by construction, and only the last block is recomputed, from its weights (see `encoders.dense`).
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.dense import DENSE_MODES, LastBlock, check_mode, dense_tokens
from napari_promptseg.encoders.families.tower import ImageTower, TowerFeatures, stack_levels


class TokenTower(ImageTower):
    """An image tower whose blocks see ``prefix`` class tokens of ``width`` followed by the patches, row by row."""

    modes: ClassVar[tuple[str, ...]] = DENSE_MODES
    blocks: list[nn.Module]
    last_block: LastBlock
    prefix: int
    width: int

    def __init__(self, visual: nn.Module) -> None:
        self.visual = visual
        # the hooks and swapped embeddings of a forward pass belong to that one alone
        self.lock = threading.Lock()

    @abstractmethod
    def forward(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Run the library's tower with position embeddings for `grid`: pooled ``(b, d)``."""

    @abstractmethod
    def head(self, tokens: torch.Tensor) -> torch.Tensor:
        """Bring tokens ``(b, n, c)`` after the last block into the joint space, each on its own: ``(b, n, d)``."""

    @abstractmethod
    def shallow(self, pixels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor | None:
        """The earliest features ``(b, c, 2 h, 2 w)``, or None if the family has none at that grid."""

    def extract(self, pixels: torch.Tensor, mode: str) -> TowerFeatures:
        """See `ImageTower.extract`."""
        grid = pixels.shape[-2] // self.stride, pixels.shape[-1] // self.stride
        depth = len(self.blocks)
        thirds = sorted({max(0, depth // 3 - 1), max(0, 2 * depth // 3 - 1)})
        similar = max(0, round(depth * 9 / 12) - 1)
        kept: dict[str, torch.Tensor] = {}

        def keep(name: str) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                kept[name] = output[0] if isinstance(output, tuple) else output

            return hook

        def keep_input(module: nn.Module, inputs: Any, keywords: Any) -> None:
            kept["input"] = inputs[0] if inputs else next(iter(keywords.values()))

        with self.lock, ExitStack() as stack:
            for index in {*thirds, similar, depth - 1}:
                stack.callback(self.blocks[index].register_forward_hook(keep(str(index))).remove)
            handle = self.blocks[-1].register_forward_pre_hook(keep_input, with_kwargs=True)
            stack.callback(handle.remove)
            pooled = self.forward(pixels, grid)
        if mode == "vanilla":
            tokens = kept[str(depth - 1)][:, self.prefix :]
        else:
            tokens = dense_tokens(
                self.last_block,
                kept["input"],
                check_mode(mode, self.modes, self.family),
                grid,
                self.prefix,
                kept[str(similar)][:, self.prefix :],
            )
        semantic = self.head(tokens)
        semantic = semantic.reshape(semantic.shape[0], *grid, -1)
        levels = [as_map(kept[str(i)][:, self.prefix :], grid) for i in thirds]
        shallow = self.shallow(pixels, grid)
        if shallow is not None:
            levels.insert(0, shallow)
        return TowerFeatures(semantic, stack_levels(levels, (2 * grid[0], 2 * grid[1])), pooled)


def half_stride_patches(pixels: torch.Tensor, convolution: nn.Conv2d) -> torch.Tensor:
    """A patch embedding at half its stride: ``(b, c, 2 h, 2 w)``.

    Notes
    -----
    With a quarter patch of padding, the centre of output cell i lies at ``(i + 0.5) * patch / 2``: twice the grid,
    over exactly the same picture. Odd quarters are padded one pixel more after than before.
    """
    patch = convolution.kernel_size[0]
    step = patch // 2
    before = (patch - step) // 2
    padded = functional.pad(pixels, (before, patch - step - before, before, patch - step - before), mode="replicate")
    return functional.conv2d(padded, convolution.weight, convolution.bias, stride=step)


def as_map(tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Patch tokens ``(b, h * w, c)`` as a map ``(b, c, h, w)``."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def merge_heads(attended: torch.Tensor) -> torch.Tensor:
    """``(b, heads, n, c)`` to ``(b, n, heads * c)``."""
    return attended.transpose(1, 2).flatten(2)


def split_heads(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """``(b, n, heads * c)`` to ``(b, heads, n, c)``."""
    b, n, _ = projected.shape
    return projected.reshape(b, n, heads, -1).transpose(1, 2)
