"""Grouping prompt tuning (He, AAAI 2024): prompters between the stages of a frozen image tower.

Each auxiliary modality's tokens are grouped into the classes by a `ClassPrompter` of its own; a `CrossPrompter` brings
the grouped classes to the tokens of the first modality.
"""

from __future__ import annotations

from napari_promptseg.prompts.grouping.prompters import Prompters
from napari_promptseg.prompts.grouping.settings import GroupingSettings

__all__ = ["GroupingSettings", "Prompters"]
