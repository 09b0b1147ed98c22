"""What prompters are made of, and which of their parts are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from napari_promptseg.errors import InputError


@dataclass(frozen=True)
class GroupingSettings:
    """How prompters are built.

    Parameters
    ----------
    stages : tuple of int, optional
        After which stages of the tower they sit; its own choice where not given.
    rank : int
        Length of the vectors that they work on: what keeps them small.
    hard : bool
        Each token belongs to one class alone (Gumbel-softmax, straight-through), or to all by degrees.
    uni_modal : bool
        Use the class-aware uni-modal prompters; without, tokens of the other modalities are attended to as they are.
    cross_modal : bool
        Use the cross-modal prompter; without, a token gets the class that the token in its place was grouped into.
    shared : bool
        All auxiliary modalities share the cross-modal prompter's parameters.
    temperature : float
        Of the grouping.

    Raises
    ------
    InputError
        For numbers out of range, or neither part.
    """

    stages: tuple[int, ...] | None = None
    rank: int = 24
    hard: bool = True
    uni_modal: bool = True
    cross_modal: bool = True
    shared: bool = True
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= 1024:
            raise InputError(f"The rank of prompters must be a whole number from 1 to 1024, not {self.rank}.")
        if not self.temperature > 0:
            raise InputError(f"The temperature of the grouping must be above 0, not {self.temperature}.")
        if not (self.uni_modal or self.cross_modal):
            raise InputError("Prompters need a uni-modal part, a cross-modal one, or both.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GroupingSettings:
        """The same, from plain values; stages may be a list."""
        stages = values.get("stages")
        return cls(**{**values, "stages": None if stages is None else tuple(int(s) for s in stages)})
