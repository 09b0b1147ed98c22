"""How modalities are tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_promptseg.errors import InputError
from napari_promptseg.prompts.grouping import GroupingSettings


@dataclass(frozen=True)
class ModalitySettings:
    """Settings of `tune_modalities`.

    Parameters
    ----------
    grouping : GroupingSettings or None
        Of the prompters; None trains weights on the frozen features alone.
    steps : int
        Of the prompters' training, one picture each.
    rate : float
        Largest learning rate.
    dice : float
        Weight of the Dice term beside cross-entropy.
    penalties : tuple of float
        Of the weights, per labelled pixel: candidates, the first where there is one picture. Stronger ones than these
        win among few pictures and lose on new ones.
    prior_weights : tuple of float
        How far the words are believed: candidates, the first where there is one picture.
    by_area : float
        How far pixels count by the area they stand for.
    points_per_class : int
        Most pixels of a class that weights are learned from.
    folds : int
        Parts in which pictures are left out.
    pixels_per_step : int
        Most labelled pixels of a picture in one step.
    held_out : float
        Share of the labels that judges.
    always : bool
        Use the prompters even where held-out labels prefer the weights without them: for comparisons.
    checkpointed : bool or None
        Compute stages again on the way back; None decides by the memory of the device.
    seed : int

    Raises
    ------
    InputError
        For numbers out of range.
    """

    grouping: GroupingSettings | None = field(default_factory=GroupingSettings)
    steps: int = 80
    rate: float = 1e-2
    dice: float = 0.5
    penalties: tuple[float, ...] = (0.004, 0.02, 0.001)
    prior_weights: tuple[float, ...] = (1.0, 0.0)
    by_area: float = 0.5
    points_per_class: int = 1500
    folds: int = 5
    pixels_per_step: int = 800
    held_out: float = 0.25
    always: bool = False
    checkpointed: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0:
            raise InputError("Tuning needs at least one step and a learning rate above 0.")
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError("Tuning needs at least one penalty, each above 0.")
        if not 0 < self.held_out < 1:
            raise InputError(f"The share of labels held out must lie between 0 and 1, not {self.held_out}.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "grouping"}
        plain["penalties"], plain["prior_weights"] = list(self.penalties), list(self.prior_weights)
        return {**plain, "grouping": None if self.grouping is None else self.grouping.as_dict()}
