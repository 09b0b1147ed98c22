"""What stands under the pointer, in a few words."""

from __future__ import annotations

from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

#: A runner-up under this probability would read 0.00, as under pixels that the user painted.
_LEAST = 0.005


def hover_text(value: int, at: tuple[int, int], label_map: LabelMap | None, prompts: PromptSet) -> str:
    """``"cat 0.91 – then sofa 0.05"``: class, its probability, and the runner-up where it has a chance at all.

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
    second, chance = int(label_map.runner_up[at]), float(label_map.runner_up_confidence[at])
    if second != value and second in names and chance >= _LEAST:
        text += f" – then {names[second]} {chance:.2f}"
    return text
