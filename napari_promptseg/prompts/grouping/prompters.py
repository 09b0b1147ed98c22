"""All prompters of a tower: a class-aware one per auxiliary modality and stage, a cross-modal one per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from napari_promptseg.encoders.stages import Begun, StageHook
from napari_promptseg.prompts.grouping.class_prompter import ClassPrompter
from napari_promptseg.prompts.grouping.cross_prompter import CrossPrompter
from napari_promptseg.prompts.grouping.settings import GroupingSettings

#: Other modalities' tokens are averaged to a grid of at most so many a side before they are grouped.
MOST_SIDE = 32


class Prompters(nn.Module):
    """What is trained inside a frozen tower.

    Parameters
    ----------
    widths : mapping of int to int
        Channels after each stage that has prompters.
    words : torch.Tensor
        ``(C, d)`` unit vectors of the classes' words, background first.
    n_auxiliary : int
        Modalities beside the first.
    settings : GroupingSettings

    Notes
    -----
    What the auxiliary modalities add is summed, so that their order does not matter, and one that is absent leaves its
    term out. Initial weights are drawn from a generator of their own: the same settings give the same prompters.
    """

    def __init__(
        self, widths: Mapping[int, int], words: torch.Tensor, n_auxiliary: int, settings: GroupingSettings
    ) -> None:
        super().__init__()
        self.settings = settings
        self.stages = tuple(sorted(widths))
        self.widths = tuple(widths[stage] for stage in self.stages)
        self.n_classes = int(words.shape[0])
        n_cross = 1 if settings.shared else n_auxiliary
        start = class_starts(words.cpu(), settings.rank)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            made: dict[str, nn.Module] = {}
            for stage, width in sorted(widths.items()):
                for j in range(n_auxiliary):
                    if settings.uni_modal:
                        made[f"class_{stage}_{j}"] = ClassPrompter(width, start, settings)
                    else:
                        made[f"down_{stage}_{j}"] = nn.Linear(width, settings.rank)
                for j in range(n_cross):
                    made[f"cross_{stage}_{j}"] = CrossPrompter(
                        width, settings.rank, attention=settings.cross_modal, aligned=settings.uni_modal
                    )
            self.parts = nn.ModuleDict(made)

    @property
    def n_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(p.numel() for p in self.parameters())

    def hook(self, auxiliary: Sequence[Begun | None], generator: torch.Generator | None = None) -> StageHook:
        """What is added to the first modality's tokens.

        Parameters
        ----------
        auxiliary : sequence of Begun or None
            Tokens of each auxiliary modality; None for one that is absent.
        generator : torch.Generator, optional
            Draws the noise of the grouping in training.
        """

        def add(stage: int, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor | None:
            if stage not in self.stages:
                return None
            total: torch.Tensor | None = None
            for j, begun in enumerate(auxiliary):
                if begun is None:
                    continue
                added = self._added(stage, j, tokens, grid, begun, generator)
                total = added if total is None else total + added
            return total

        return add

    def _added(
        self,
        stage: int,
        j: int,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        begun: Begun,
        generator: torch.Generator | None,
    ) -> torch.Tensor:
        other, small = _shrunk(begun.tokens[stage], begun.grids[stage])
        cross: nn.Module = self.parts[f"cross_{stage}_{0 if self.settings.shared else j}"]
        if not self.settings.uni_modal:
            asked: torch.Tensor = self.parts[f"down_{stage}_{j}"](functional.layer_norm(other, other.shape[-1:]))
            alone: torch.Tensor = cross(tokens, asked, None)
            return alone
        grouped = self.parts[f"class_{stage}_{j}"](other, generator)
        out: torch.Tensor = cross(tokens, grouped.prompts, _spread(grouped.shares, small, grid))
        return out


def class_starts(words: torch.Tensor, rank: int) -> torch.Tensor:
    """Words ``(C, d)`` on a fixed frame of `rank` directions, the same for every model of that width: ``(C, rank)``."""
    generator = torch.Generator().manual_seed(int(words.shape[1]))
    frame = torch.randn(int(words.shape[1]), rank, generator=generator) / rank**0.5
    return functional.layer_norm(words.float() @ frame, (rank,))


def _shrunk(tokens: torch.Tensor, grid: tuple[int, int]) -> tuple[torch.Tensor, tuple[int, int]]:
    """Tokens ``(b, n, c)`` averaged to a grid of at most `MOST_SIDE` a side, and that grid."""
    step = -(-max(grid) // MOST_SIDE)
    if step == 1:
        return tokens, grid
    maps = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)
    small = (max(1, grid[0] // step), max(1, grid[1] // step))
    return functional.adaptive_avg_pool2d(maps, small).flatten(2).transpose(1, 2), small


def _spread(values: torch.Tensor, small: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor:
    """Values ``(b, m, k)`` of a small grid at the cells of a larger one: ``(b, n, k)``."""
    if small == grid:
        return values
    maps = values.transpose(1, 2).reshape(values.shape[0], -1, *small)
    return functional.interpolate(maps, grid, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
