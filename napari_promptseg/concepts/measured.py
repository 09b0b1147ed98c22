"""Attributes that are measured from a region's exact pixels; no model is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.appearance import contrast, intensity, texture
from napari_promptseg.concepts.body import body_mask
from napari_promptseg.concepts.colour import colour
from napari_promptseg.concepts.concept import ATTRIBUTES, Attribute, Concept
from napari_promptseg.concepts.extent import number, size
from napari_promptseg.concepts.location import Frame, location
from napari_promptseg.concepts.margin import margin
from napari_promptseg.concepts.region import Region
from napari_promptseg.concepts.shape import shape
from napari_promptseg.concepts.surroundings import Surroundings
from napari_promptseg.images.stack import ImageStack

#: Kinds of picture in which places are told by the body.
WITH_BODY = ("ct", "mr")

#: Brightness that the first word of a colour says, too.
_SHADES = {"black": "dark", "dark": "dark", "white": "bright", "light": "bright", "pale": "bright", "bright": "bright"}


def measure_concept(
    stack: ImageStack,
    mask: npt.ArrayLike,
    *,
    plane: int = 0,
    modality: int = 0,
    image_kind: str = "",
) -> Concept:
    """Say in words what can be measured of a region.

    Parameters
    ----------
    stack : ImageStack
    mask : array-like
        ``(Y, X)`` of the plane: bool, or integers of which every value is a part of its own.
    plane, modality : int
        Which plane of which modality the mask belongs to.
    image_kind : str
        With ``"ct"`` or ``"mr"`` places are told by the body.

    Returns
    -------
    Concept
        Without name and candidates.

    Raises
    ------
    InputError
        If the mask does not fit the plane, or marks nothing, fewer than four pixels or everything.
    """
    region = Region.from_mask(mask, stack.plane_shape)
    body = None
    if image_kind in WITH_BODY or stack.modalities[modality].kind in WITH_BODY:
        body = body_mask(stack.picture(plane, modality=modality)[..., 1])
    around = Surroundings.of_region(region, stack, plane, modality, body)
    found: dict[str, Attribute | None] = {"number": number(region), "size": size(region), "shape": shape(region)}
    left_out = {} if found["shape"] else {"shape": "the parts are too small or too different for one word"}
    if around.has_both:
        found |= {
            "intensity": intensity(around, region.diameter),
            "contrast": contrast(around, region.diameter),
            "texture": texture(around, region.diameter),
            "margin": margin(around, region.diameter),
        }
        left_out |= {k: why for k, why in _UNDECIDED.items() if found[k] is None}
    else:
        left_out |= dict.fromkeys(("intensity", "contrast", "texture", "margin"), "too few pixels to compare with")
    found["colour"] = colour(around)
    if found["colour"] is None:
        left_out["colour"] = "the picture is grey"
    found["location"] = location(region, _frame(region, body))
    said = {k: a for k, a in found.items() if a is not None}
    reconcile(said, left_out)
    return Concept(tuple(said[k] for k in ATTRIBUTES if k in said), image_kind=image_kind, left_out=left_out)


def reconcile(said: dict[str, Attribute], left_out: dict[str, str]) -> None:
    """Take out words that another one contradicts, and switch off those that it repeats; both mappings change."""
    if "intensity" not in said or "colour" not in said:
        return
    intensity, colour = said["intensity"], said["colour"]
    shade = _SHADES.get(colour.word.split(" ")[0])
    if shade is None or intensity.word not in ("bright", "dark"):
        return
    if shade == intensity.word:
        said["intensity"] = replace(intensity, enabled=False)
    else:
        # both cannot be true of one thing: the less sure word is left out
        weaker, stronger = sorted((intensity, colour), key=lambda a: a.confidence)
        left_out[weaker.kind] = f"it would contradict the {stronger.kind} {stronger.word!r}"
        del said[weaker.kind]


_UNDECIDED = {
    "intensity": "about as bright as its surroundings",
    "texture": "about as much detail as its surroundings, or too few pixels",
    "margin": "neither clearly sharp nor clearly blurred, or no step at the border",
}


def _frame(region: Region, body: npt.NDArray[np.bool_] | None) -> Frame:
    if body is None:
        return (0, 0, *region.plane_shape)
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    return (int(rows[0]), int(columns[0]), int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1))
