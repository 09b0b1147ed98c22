"""A vision transformer stage by stage: each of its blocks is a stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.dense import check_mode, dense_tokens
from napari_promptseg.encoders.families.tokens import TokenTower, as_map
from napari_promptseg.encoders.families.tower import stack_levels
from napari_promptseg.encoders.openclip import standardised
from napari_promptseg.encoders.stages import Begun, StagedFeatures, StageHook, run_stage


class TokenStages:
    """`StagedTower` of an `OpenClipEncoder` whose tower is made of transformer blocks.

    Parameters
    ----------
    tower : TokenTower
    mode : str
        How the last block is recomputed, see `encoders.dense`.
    prepare : callable
        A picture to the pixels ``(1, 3, y, x)`` of the single look.

    Notes
    -----
    The library's own forward pass runs once per picture; what each block was given beside the tokens (rotary positions,
    masks) is kept, so that blocks can be called again by themselves whatever the family.
    """

    def __init__(self, tower: TokenTower, mode: str, prepare: Callable[[npt.NDArray[np.uint8]], torch.Tensor]) -> None:
        self._tower, self._prepare = tower, prepare
        self._mode = check_mode(mode, tower.modes, tower.family)
        depth = len(tower.blocks)
        self.widths = (tower.width,) * depth
        self.default_stages = tuple(sorted({max(0, round(depth * k / 4) - 1) for k in (1, 2, 3)}))
        self._thirds = sorted({max(0, depth // 3 - 1), max(0, 2 * depth // 3 - 1)})
        self._similar = max(0, round(depth * 9 / 12) - 1)

    @torch.no_grad()
    def begin(self, picture: npt.NDArray[np.uint8], until: int, keep: Sequence[int] = ()) -> Begun:
        """See `StagedTower.begin`."""
        tower = self._tower
        pixels = self._prepare(picture)
        grid = pixels.shape[-2] // tower.stride, pixels.shape[-1] // tower.stride
        outputs: dict[int, torch.Tensor] = {}
        calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        with tower.lock, ExitStack() as stack:
            for index, block in enumerate(tower.blocks):
                handle = block.register_forward_pre_hook(_keep_call(calls, index), with_kwargs=True)
                stack.callback(handle.remove)
                if index in {*keep, *self._thirds, self._similar, until}:
                    stack.callback(block.register_forward_hook(_keep_output(outputs, index)).remove)
            tower.forward(pixels, grid)
        tokens = {i: outputs[i][:, tower.prefix :] for i in keep}
        kept = {i: out for i, out in outputs.items() if i <= until}
        further = {i: call for i, call in calls.items() if i > until}
        state = {"outputs": kept, "calls": further, "grid": grid, "shallow": tower.shallow(pixels, grid)}
        return Begun(until, tokens, dict.fromkeys(keep, grid), state)

    def finish(self, begun: Begun, hook: StageHook | None = None, *, checkpointed: bool = False) -> StagedFeatures:
        """See `StagedTower.finish`."""
        tower, grid = self._tower, begun.state["grid"]
        outputs: dict[int, torch.Tensor] = dict(begun.state["outputs"])
        last = len(tower.blocks) - 1
        x = self._added(hook, begun.stage, outputs[begun.stage], grid)
        outputs[begun.stage] = x
        for index in range(begun.stage + 1, last):
            x = run_stage(self._block(index, *begun.state["calls"][index]), x, checkpointed)
            x = outputs[index] = self._added(hook, index, x, grid)
        if self._mode == "vanilla":
            tokens = run_stage(self._block(last, *begun.state["calls"][last]), x, checkpointed)[:, tower.prefix :]
        else:
            similar = outputs[self._similar][:, tower.prefix :]
            tokens = dense_tokens(tower.last_block, x, self._mode, grid, tower.prefix, similar)
        semantic = functional.normalize(tower.head(tokens)[0].reshape(*grid, -1).float(), dim=-1)
        levels = [as_map(outputs[i][:, tower.prefix :], grid) for i in self._thirds]
        if begun.state["shallow"] is not None:
            levels.insert(0, begun.state["shallow"])
        return StagedFeatures(semantic, standardised(stack_levels(levels, (2 * grid[0], 2 * grid[1]))[0].float()))

    def _added(self, hook: StageHook | None, stage: int, x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Class tokens stay as they are."""
        if hook is None:
            return x
        prefix = self._tower.prefix
        added = hook(stage, x[:, prefix:], grid)
        return x if added is None else torch.cat([x[:, :prefix], x[:, prefix:] + added], dim=1)

    def _block(
        self, index: int, given: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        block = self._tower.blocks[index]

        def call(x: torch.Tensor) -> torch.Tensor:
            result = block(x, *given, **keywords)
            out: torch.Tensor = result[0] if isinstance(result, tuple) else result
            return out

        return call


def _keep_call(calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]], index: int) -> Any:
    """Remember what a block is given beside the tokens."""

    def hook(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        calls[index] = (inputs[1:], keywords)

    return hook


def _keep_output(outputs: dict[int, torch.Tensor], index: int) -> Any:
    """Remember what a block returns."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        outputs[index] = output[0] if isinstance(output, tuple) else output

    return hook
