"""A frozen image tower run stage by stage, with a place between stages where something may be added to its tokens.

Convolutional and transformer towers look alike from here: a stage's output is a grid of tokens. Whatever is added is
all that a gradient can reach; the tower itself never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.checkpoint import checkpoint

from napari_promptseg.encoders.encoder import Encoder
from napari_promptseg.errors import InputError, ModelError

#: ``(stage, tokens (b, n, c), grid (h, w))`` to what is added to the tokens, of their shape; None for nothing.
StageHook = Callable[[int, torch.Tensor, tuple[int, int]], torch.Tensor | None]


@dataclass(frozen=True, eq=False)
class StagedFeatures:
    """What `encode_plane` gives in its single look, differentiable in what was added.

    Parameters
    ----------
    semantic : torch.Tensor
        ``(h, w, d)`` float32, see `DenseFeatures.semantic`.
    detail : torch.Tensor
        ``(h', w', d')`` float32, see `DenseFeatures.detail`.
    """

    semantic: torch.Tensor
    detail: torch.Tensor


@dataclass(frozen=True, eq=False)
class Begun:
    """A picture as far as the frozen tower went by itself.

    Parameters
    ----------
    stage : int
        The last one that ran.
    tokens : mapping of int to torch.Tensor
        ``(1, n, c)`` after each stage that was asked for.
    grids : mapping of int to tuple of int
        ``(h, w)`` of those.
    state : dict
        The tower's own.
    """

    stage: int
    tokens: Mapping[int, torch.Tensor]
    grids: Mapping[int, tuple[int, int]]
    state: dict[str, Any] = field(default_factory=dict)


class StagedTower(Protocol):
    """A tower in stages.

    Attributes
    ----------
    widths : tuple of int
        Channels after each stage.
    default_stages : tuple of int
        After which something is best added.
    """

    widths: tuple[int, ...]
    default_stages: tuple[int, ...]

    def begin(self, picture: npt.NDArray[np.uint8], until: int, keep: Sequence[int] = ()) -> Begun:
        """Run the stages up to `until` without gradients, keeping the tokens after those in `keep`.

        Parameters
        ----------
        picture : numpy.ndarray
            ``(Y, X, 3)`` uint8, resized as `encode_plane` does in its single look.
        until : int
            Counted from 0. The last stage of a tower can be run only by `finish`.
        keep : sequence of int
            None after `until`.
        """
        ...

    def finish(self, begun: Begun, hook: StageHook | None = None, *, checkpointed: bool = False) -> StagedFeatures:
        """Run all further stages; the hook is asked after `begun.stage` and after each of them.

        Parameters
        ----------
        begun : Begun
        hook : callable, optional
        checkpointed : bool
            Stages are computed again on the way back instead of being remembered: less memory, a third more time.
        """
        ...


def staged_tower(encoder: Encoder) -> StagedTower:
    """The encoder's image tower in stages.

    Raises
    ------
    ModelError
        If its family offers none.
    """
    made = getattr(encoder, "stages", None)
    if made is None:
        raise no_stages(encoder.name)
    tower: StagedTower = made()
    return tower


def no_stages(name: str) -> ModelError:
    """For a family that cannot be run stage by stage."""
    return ModelError(
        f"The image tower of {name!r} cannot be run stage by stage, so prompts for several kinds of pictures cannot be "
        "tuned inside it: choose the embedded model or a vision transformer."
    )


def checked_stages(tower: StagedTower, stages: Sequence[int] | None) -> tuple[int, ...]:
    """The stages in order, the tower's own choice where none are given; `InputError` for one it does not have.

    The last stage is left out: what is added there reaches no further layer.
    """
    if stages is None:
        return tower.default_stages
    found = tuple(sorted({int(s) for s in stages}))
    last = len(tower.widths) - 2
    if not found or found[0] < 0 or found[-1] > last:
        raise InputError(f"Stages must be whole numbers from 0 to {last} in this tower, not {list(stages)}.")
    return found


def run_stage(stage: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, checkpointed: bool) -> torch.Tensor:
    """One stage, remembered or not."""
    if checkpointed and torch.is_grad_enabled() and x.requires_grad:
        again: torch.Tensor = checkpoint(stage, x, use_reentrant=False)
        return again
    return stage(x)
