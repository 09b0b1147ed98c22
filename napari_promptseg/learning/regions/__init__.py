"""Learning from drawn regions: pseudo-text, its adaptation to the region, and text-free inference."""

from napari_promptseg.learning.regions.drawn import DrawnRegion
from napari_promptseg.learning.regions.learn import learn_regions
from napari_promptseg.learning.regions.result import RegionResult
from napari_promptseg.learning.regions.settings import RegionSettings
from napari_promptseg.prompts.region_concepts import Inference, inference_of, region_values, with_inference

__all__ = [
    "DrawnRegion",
    "Inference",
    "RegionResult",
    "RegionSettings",
    "inference_of",
    "learn_regions",
    "region_values",
    "with_inference",
]
