"""What each way makes of some test planes, side by side in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._modality_scenes import Scenes, stacked

#: Height of each plane in the picture, in pixels.
_HEIGHT = 170
_GAP = 6
_TITLE = 18
#: How strongly a mask is laid over its picture.
_SHARE = 0.55


def demonstrate(target: Path, segmenter: Any, scenes: Scenes, learned: Any, most: int = 4) -> None:
    """Write a PNG: per test plane the modalities, the labels, and the masks of each way."""
    from PIL import Image, ImageDraw

    prompts = learned.prompts
    classes = prompts["gopt"].classes
    names = [a.name for a in scenes.asked]
    rows, titles = [], [*names, "labels", *(f"{n} only" for n in names), "stacked", "GoPT"]
    labelled = [(p, *scenes.load(p)) for p in scenes.test]
    labelled = sorted(labelled, key=lambda f: -int(((f[2] > 0) & (f[2] < 255)).sum()))[:most]
    for _, stack, truth in labelled:
        pictures = [stack.picture(modality=j) for j in range(len(names))]
        found = [_over(pictures[0], truth, classes)]
        for j in range(len(names)):
            segmenter.set_image(stack, modalities=[j])
            found.append(_over(pictures[j], segmenter.segment(prompts["gopt"]).labels, classes))
        segmenter.set_image(stacked(stack))
        found.append(_over(pictures[0], segmenter.segment(prompts["stacked"]).labels, classes))
        segmenter.set_image(stack, modalities="all")
        found.append(_over(pictures[0], segmenter.segment(prompts["gopt"]).labels, classes))
        rows.append([_resized(p) for p in (*pictures, *found)])
    width = max(sum(p.shape[1] + _GAP for p in row) for row in rows) + _GAP
    sheet = np.full((_TITLE + len(rows) * (_HEIGHT + _GAP) + _GAP, width, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        x = _GAP
        for p in row:
            top = _TITLE + y * (_HEIGHT + _GAP)
            sheet[top : top + _HEIGHT, x : x + p.shape[1]] = p
            x += p.shape[1] + _GAP
    image = Image.fromarray(sheet)
    pen, x = ImageDraw.Draw(image), _GAP
    for title, p in zip(titles, rows[0], strict=True):
        pen.text((x, 3), title, fill=(0, 0, 0))
        x += p.shape[1] + _GAP
    target.parent.mkdir(parents=True, exist_ok=True)
    image.save(target)


def _over(picture: npt.NDArray[np.uint8], labels: npt.NDArray[Any], classes: Any) -> npt.NDArray[np.uint8]:
    """A mask in its classes' colours over a picture."""
    out = picture.astype(np.float32)
    for c in classes:
        colour = np.array([int(c.colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        here = labels == c.value
        out[here] = (1 - _SHARE) * out[here] + _SHARE * colour
    return out.astype(np.uint8)


def _resized(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    width = max(1, round(picture.shape[1] * _HEIGHT / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, _HEIGHT)))
