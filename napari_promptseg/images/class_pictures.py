"""One black and white picture per class."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from napari_promptseg.images.writers import Legend, LegendEntry


def encode_class_pictures(labels: npt.NDArray[Any], prompts: Legend) -> dict[str, bytes]:
    """PNG files by name: 255 where a class is, 0 elsewhere.

    Parameters
    ----------
    labels : numpy.ndarray
        ``(Y, X)``.
    prompts : PromptSet
    """
    from PIL import Image

    pictures = {}
    for c in prompts.classes:
        buffer = io.BytesIO()
        Image.fromarray((labels == c.value).astype(np.uint8) * np.uint8(255)).save(buffer, format="PNG")
        pictures[picture_name(c)] = buffer.getvalue()
    return pictures


def picture_name(entry: LegendEntry) -> str:
    """``"2_left_kidney.png"``: the number keeps names apart that differ only in what files cannot be called."""
    name = re.sub(r"[^\w-]+", "_", entry.name).strip("_")[:60]
    return f"{entry.value}_{name}.png" if name else f"{entry.value}.png"


def pictures_told(legend: Path) -> list[str]:
    """Names of the pictures that a legend tells of; none where it is not there, or something else."""
    try:
        entries = json.loads(legend.read_bytes())["classes"]
        told = [entry.get("picture") for entry in entries]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    # a name that leads out of the folder is none of ours
    return [name for name in told if isinstance(name, str) and Path(name).name == name and name.endswith(".png")]


def remove_pictures(folder: Path, names: Collection[str]) -> None:
    """Take pictures away that nothing tells of any more."""
    for name in names:
        with contextlib.suppress(OSError):  # gone already, or held open elsewhere: the legend leaves it out
            (folder / name).unlink()
