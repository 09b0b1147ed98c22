"""What came of learning from regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_promptseg.learning.validation import Verdict
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.prompts.region_concepts import Inference, without_details


@dataclass(frozen=True, eq=False)
class RegionResult:
    """What came of learning from regions.

    Parameters
    ----------
    prompts : PromptSet
        With the chosen inference if it is better than what was given, otherwise as they were given.
    candidates : mapping of Inference to PromptSet
        Each way to look for the concepts, learned from all regions.
    scores : mapping of Inference to float
        Held-out Dice of each.
    chosen : Inference
        The one that was asked for, else the best of them.
    verdict : Verdict
        The prompts as given against the chosen ones, on what was held out.
    n_regions : int
    held_out : {"images", "regions", "parts"}
        What judged: other images where several show a region, else other regions, or other parts of the only one.
    drift : dict of str to float
        ``1 - cos`` between each class's pseudo-text as it began and as it is.
    cancelled : bool
        Stopped early, with the best so far.
    seconds : float
    notices : tuple of str
        What the user should know, such as a fall-back to the CPU.
    """

    prompts: PromptSet
    candidates: Mapping[Inference, PromptSet]
    scores: Mapping[Inference, float]
    chosen: Inference
    verdict: Verdict
    n_regions: int
    held_out: str = "parts"
    drift: Mapping[str, float] = field(default_factory=dict)
    cancelled: bool = False
    seconds: float = 0.0
    notices: tuple[str, ...] = ()

    @property
    def plain(self) -> dict[Inference, PromptSet]:
        """The candidates without what was learned on detail features, to see what each part adds."""
        return {name: without_details(prompts) for name, prompts in self.candidates.items()}

    @property
    def kept(self) -> bool:
        """Whether what was learned is better than what was there."""
        return self.verdict.kept

    @property
    def sentence(self) -> str:
        """One line for the user: ``pseudo-text: held-out Dice 0.41 → 0.83 from 3 regions, kept``."""
        return f"{self.chosen}: {self.verdict.sentence}"

    def report(self) -> dict[str, Any]:
        """Plain values for a ``.promptseg`` file."""
        return {
            "method": "roi",
            "sentence": self.sentence,
            "held_out_dice_before": self.verdict.before,
            "held_out_dice_after": self.verdict.after,
            "held_out": self.held_out,
            "regions": self.n_regions,
            "inference": self.chosen,
            "scores": dict(self.scores),
            "drift": dict(self.drift),
            "kept": self.kept,
            "cancelled": self.cancelled,
        }
