"""What made a label map, in plain values that go into a file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import napari_promptseg
from napari_promptseg.encoders.encoder import Familiarity
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.settings import SegmentationSettings


def provenance(
    model: dict[str, Any],
    fingerprint: str,
    prompts: PromptSet,
    familiarity: Sequence[Familiarity],
    settings: SegmentationSettings,
    *,
    stack: ImageStack,
    plane: int,
    modality: int,
    quality: str,
    modalities: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Describe model, classes, settings and picture; `modalities` where several were fused.

    Returns
    -------
    dict
        Strings, numbers, booleans, lists and dicts only: it can be written as JSON.
    """
    return {
        "tool": "napari-promptseg",
        "version": napari_promptseg.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "fingerprint": fingerprint,
        "classes": [
            {
                "name": c.name,
                "value": c.value,
                "synonyms": list(c.synonyms),
                "sentences": list(c.sentences),
                "colour": c.colour,
                "threshold": c.threshold,
                "visible": c.visible,
                "familiarity": known,
            }
            for c, known in zip(prompts.classes, familiarity, strict=True)
        ],
        "background": list(prompts.background),
        "image_kind": prompts.image_kind,
        "pooling": prompts.pooling,
        "settings": settings.as_dict() | {"quality": quality},
        "image": {
            "source": stack.source,
            "name": stack.modalities[modality].name,
            "plane": plane,
            "shape": list(stack.plane_shape),
            "spacing": [float(s) for s in stack.spacing],
            "units": stack.units,
        },
        **({"modalities": list(modalities)} if modalities else {}),
    }
