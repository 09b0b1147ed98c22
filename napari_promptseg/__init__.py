"""Prompt-driven, open-vocabulary segmentation: type class names, get masks.

Importing this package loads neither torch nor Qt: each public name is imported where it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_promptseg.encoders.encoder import Encoder
    from napari_promptseg.encoders.features import DenseFeatures
    from napari_promptseg.encoders.loading import load_encoder
    from napari_promptseg.errors import InputError, ModelError, OutputError, PromptSegError
    from napari_promptseg.images.dicom_files import read_dicom
    from napari_promptseg.images.dicom_series import SeriesInfo, list_series
    from napari_promptseg.images.readers import read_image
    from napari_promptseg.images.resampling import onto_grid
    from napari_promptseg.images.stack import ImageStack, Modality
    from napari_promptseg.prompts.prompt_set import ClassPrompt, PromptSet
    from napari_promptseg.segmentation.label_map import LabelMap
    from napari_promptseg.segmentation.segmenter import Segmenter

__version__ = "0.1.0"

_HOME = {
    "ClassPrompt": "prompts.prompt_set",
    "DenseFeatures": "encoders.features",
    "Encoder": "encoders.encoder",
    "ImageStack": "images.stack",
    "InputError": "errors",
    "LabelMap": "segmentation.label_map",
    "Modality": "images.stack",
    "ModelError": "errors",
    "OutputError": "errors",
    "PromptSegError": "errors",
    "PromptSet": "prompts.prompt_set",
    "Segmenter": "segmentation.segmenter",
    "SeriesInfo": "images.dicom_series",
    "list_series": "images.dicom_series",
    "load_encoder": "encoders.loading",
    "onto_grid": "images.resampling",
    "read_dicom": "images.dicom_files",
    "read_image": "images.readers",
}

__all__ = [
    "ClassPrompt",
    "DenseFeatures",
    "Encoder",
    "ImageStack",
    "InputError",
    "LabelMap",
    "Modality",
    "ModelError",
    "OutputError",
    "PromptSegError",
    "PromptSet",
    "Segmenter",
    "SeriesInfo",
    "list_series",
    "load_encoder",
    "onto_grid",
    "read_dicom",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
