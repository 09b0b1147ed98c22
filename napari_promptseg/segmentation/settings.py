"""How score maps become masks: every choice a user or a script may make."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from napari_promptseg.encoders.encoder import Quality
from napari_promptseg.errors import InputError

#: How coarse score maps reach the pixels' edges; ``benchmarks/refinement.py`` measures cost and gain of each.
Refinement = Literal["none", "guided", "superpixels", "pamr"]

#: The choices there are.
REFINEMENTS: tuple[str, ...] = get_args(Refinement)


@dataclass(frozen=True)
class SegmentationSettings:
    """Settings of a :class:`~napari_promptseg.segmentation.segmenter.Segmenter`.

    Parameters
    ----------
    quality : {"fast", "fine"}
        One resized encoder pass, or more and closer ones: overlapping windows, or a second and larger pass.
    refinement : {"none", "guided", "superpixels", "pamr"}
        How score maps are brought to the edges of the picture.
    whole_up_to : int
        A plane with no side longer than this, in pixels, is encoded whole; a larger one in tiles.
    tile_size, tile_overlap : int
        Side of an encoder tile and how much neighbours share, in pixels.
    guided_radius : int
        Half the window of the guided filter, in cells of its grid (`guided_side` cells on the longer side).
    guided_strength : float
        The filter's epsilon, for a guide in ``[0, 1]``: smaller follows fainter edges.
    guided_side : int
        Cells on the longer side of the grid where the filter's coefficients are computed.
    working_side : int
        Cells on the longer side of the grid where labels are first decided; pixels where they change are
        decided at full resolution.
    superpixels : int
        Number of superpixels per plane or tile.
    pamr_iterations : int
        Rounds of pixel-adaptive refinement.
    unknown_ceiling : float
        Highest probability a class gets whose name the model does not know: under the default threshold,
        so that it is never drawn as a confident mask.

    Raises
    ------
    InputError
        For a name that is not a choice or a number out of range.
    """

    quality: Quality = "fast"
    refinement: Refinement = "guided"
    whole_up_to: int = 2048
    tile_size: int = 1024
    tile_overlap: int = 128
    guided_radius: int = 2
    guided_strength: float = 3e-4
    guided_side: int = 96
    working_side: int = 320
    superpixels: int = 1000
    pamr_iterations: int = 10
    unknown_ceiling: float = 0.49

    def __post_init__(self) -> None:
        if self.quality not in get_args(Quality):
            raise InputError(f"Quality {self.quality!r} is not a choice: use fast or fine.")
        if self.refinement not in REFINEMENTS:
            raise InputError(f"Refinement {self.refinement!r} is not a choice: use {', '.join(REFINEMENTS)}.")
        if self.tile_size < 64 or self.whole_up_to < self.tile_size:
            raise InputError(
                f"Tiles of {self.tile_size} pixels do not fit: use at least 64 and at most {self.whole_up_to}."
            )
        if not 0 <= self.tile_overlap <= self.tile_size // 2:
            raise InputError(
                f"A tile overlap of {self.tile_overlap} does not fit: use 0 to {self.tile_size // 2} pixels."
            )
        for name in ("guided_radius", "guided_side", "working_side", "superpixels", "pamr_iterations"):
            if getattr(self, name) < 1:
                raise InputError(f"The setting {name} is {getattr(self, name)}; it must be 1 or more.")
        if not self.guided_strength > 0:
            raise InputError(f"The setting guided_strength is {self.guided_strength}; it must be above 0.")
        if not 0 <= self.unknown_ceiling <= 1:
            raise InputError(f"The setting unknown_ceiling is {self.unknown_ceiling}; it must be from 0 to 1.")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return asdict(self)
