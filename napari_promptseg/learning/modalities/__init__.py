"""Tuning for scenes in several modalities: grouping prompt tuning (He, AAAI 2024) from a few labelled pixels."""

from __future__ import annotations

from napari_promptseg.learning.modalities.samples import ModalitySample
from napari_promptseg.learning.modalities.settings import ModalitySettings
from napari_promptseg.learning.modalities.tune import ModalityResult, tune_modalities

__all__ = ["ModalityResult", "ModalitySample", "ModalitySettings", "tune_modalities"]
