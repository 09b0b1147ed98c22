"""The embedded model's convolutional tower stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from napari_promptseg.encoders.aligned import detail_of
from napari_promptseg.encoders.aligned_space import JointSpace
from napari_promptseg.encoders.aligned_trunk import (
    CENTRES,
    MARGIN,
    STRIDE,
    DilatedTrunk,
    Level,
    input_size,
    level_of,
    resized,
)
from napari_promptseg.encoders.stages import Begun, StagedFeatures, StageHook, run_stage


class TrunkStages:
    """`StagedTower` of `AlignedEncoder`: its stages are the seven of EfficientNet-Lite0.

    Parameters
    ----------
    trunk : DilatedTrunk
    space : JointSpace
    area : int
        Pixels at which a picture is read.
    device : torch.device
    """

    #: Strides 8 and 16, early enough that several stages make something of what is added.
    default_stages: tuple[int, ...] = (2, 3, 4)

    def __init__(self, trunk: DilatedTrunk, space: JointSpace, area: int, device: torch.device) -> None:
        self._trunk, self._space, self._area, self._device = trunk, space, area, device
        with torch.no_grad():
            x = trunk.stem(torch.zeros(1, 3, 2 * STRIDE, 2 * STRIDE, device=device))
            found = []
            for index in range(len(CENTRES)):
                x = trunk.stage(index, x)
                found.append(int(x.shape[1]))
        self.widths = tuple(found)

    @torch.no_grad()
    def begin(self, picture: npt.NDArray[np.uint8], until: int, keep: Sequence[int] = ()) -> Begun:
        """See `StagedTower.begin`."""
        size = input_size((int(picture.shape[0]), int(picture.shape[1])), self._area)
        x = resized(picture, size, self._device)
        total = x.shape[-1] + 2 * MARGIN
        x = self._trunk.stem(x)
        levels, tokens, grids = [], {}, {}
        for index in range(until + 1):
            x = self._trunk.stage(index, x)
            levels.append(level_of(index, x, total))
            if index in keep:
                tokens[index], grids[index] = x.flatten(2).transpose(1, 2), (int(x.shape[2]), int(x.shape[3]))
        return Begun(until, tokens, grids, {"levels": levels, "size": size, "total": total})

    def finish(self, begun: Begun, hook: StageHook | None = None, *, checkpointed: bool = False) -> StagedFeatures:
        """See `StagedTower.finish`."""
        levels: list[Level] = list(begun.state["levels"])
        size, total = begun.state["size"], begun.state["total"]
        x = with_hook(hook, begun.stage, levels[-1].values)
        levels[-1] = level_of(begun.stage, x, total)
        for index in range(begun.stage + 1, len(CENTRES)):
            x = run_stage(partial(self._trunk.stage, index), x, checkpointed)
            x = with_hook(hook, index, x)
            levels.append(level_of(index, x, total))
        levels.append(Level(run_stage(self._trunk.top, x, checkpointed), STRIDE))
        return StagedFeatures(self._space.pixels(levels, size), detail_of(levels, size))


def with_hook(hook: StageHook | None, stage: int, values: torch.Tensor) -> torch.Tensor:
    """A map ``(b, c, h, w)`` with what a hook adds to its tokens."""
    if hook is None:
        return values
    b, c, h, w = values.shape
    added = hook(stage, values.flatten(2).transpose(1, 2), (h, w))
    return values if added is None else values + added.transpose(1, 2).reshape(b, c, h, w)
