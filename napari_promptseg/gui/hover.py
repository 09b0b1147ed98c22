"""What stands under the pointer, in a few words."""

from __future__ import annotations

from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap


def hover_text(value: int, at: tuple[int, int], label_map: LabelMap | None, prompts: PromptSet) -> str:
    """``"cat 0.91 – then sofa 0.05"``; the second figure is there where score maps were asked for.

    Parameters
    ----------
    value : int
        Label in the layer, which a person may have changed.
    at : tuple of int
        ``(row, column)``.
    label_map : LabelMap or None
        What was predicted for the plane.
    prompts : PromptSet
    """
    names = {0: "background", **{c.value: c.name for c in prompts.classes}}
    name = names.get(value, f"label {value}")
    if label_map is None or not (at[0] < label_map.labels.shape[0] and at[1] < label_map.labels.shape[1]):
        return name
    predicted = int(label_map.labels[at])
    if predicted != value:
        return f"{name}, as you painted it (was {names.get(predicted, predicted)})"
    text = f"{name} {float(label_map.confidence[at]):.2f}"
    second = int(label_map.runner_up[at])
    if second != value and second in names:
        text += f" – then {names[second]}"
        if second in label_map.probabilities:
            text += f" {float(label_map.probabilities[second][at]):.2f}"
    return text
