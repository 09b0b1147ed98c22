"""What stands under the pointer, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.label_map import LabelMap

if TYPE_CHECKING:
    from napari_promptseg.gui.session import Session

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


def hover_at(session: Session) -> str:
    """What to say of the place under the viewer's pointer; empty where there is no mask."""
    source, result = session.picture.in_sight, session.result
    found = None if source is None or result is None else result.value_at(source.index, session.viewer.cursor.position)
    if source is None or result is None or found is None:
        return ""
    return hover_text(*found, result.prediction(source.index), session.prompts)
