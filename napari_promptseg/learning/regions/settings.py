"""How concepts are learned from regions."""

from __future__ import annotations

from dataclasses import dataclass

from napari_promptseg.errors import InputError


@dataclass(frozen=True)
class RegionSettings:
    """How concepts are learned from regions.

    Parameters
    ----------
    steps : int
        Of the slot tokens; 0 leaves them as the transform gives them.
    rate : float
        Of AdamW on the tokens, in units of their spread.
    offset_rate : float
        Of AdamW on the offset in the joint space.
    reading : float
        Weight of what the text tower reads, beside what sets the region apart, where tuning begins.
    anchor, known_anchor : float
        Weight of ``1 - cos`` to where tuning began; the second where the model knows the class's name, which has been
        tried on more than these regions.
    inside, outside : int
        Pixels drawn of the regions and of what surrounds them, over all planes.
    lookalikes : float
        Share of the surroundings that may be left out since it looks as the region does.
    distil : bool
        Also train a text-free student.
    distil_steps : int
        Of it.
    detail : bool
        Also fit weights on joint and detail features, which see what the joint space does not.
    folds : int
        Parts that judge in turn.
    seed : int

    Raises
    ------
    InputError
        For a number out of range.
    """

    steps: int = 20
    rate: float = 0.02
    offset_rate: float = 2e-3
    reading: float = 0.5
    anchor: float = 0.3
    known_anchor: float = 10.0
    inside: int = 400
    outside: int = 800
    lookalikes: float = 0.1
    distil: bool = True
    distil_steps: int = 30
    detail: bool = True
    folds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("steps", 0, 10_000),
            ("rate", 1e-8, 1),
            ("offset_rate", 0, 1),
            ("reading", 0, 100),
            ("anchor", 0, 1000),
            ("known_anchor", 0, 1000),
            ("inside", 8, 100_000),
            ("outside", 8, 100_000),
            ("lookalikes", 0, 0.9),
            ("distil_steps", 0, 10_000),
            ("folds", 2, 20),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InputError(f"The setting {name} of learning from regions is {value}; use {low} to {high}.")
