"""Pictures shipped with the package, as napari's *File > Open Sample* offers them.

Each function gives napari layer data: a list of ``(array, layer keywords, "image")``. They need neither a network nor
napari itself. Source, author and licence of every picture are in ``resources/samples/CREDITS.md``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_promptseg.images.readers import read_image
from napari_promptseg.images.stack import ImageStack
from napari_promptseg.reader_plugin import LayerData, layers_of
from napari_promptseg.resource_files import resource

#: Where the NAIP programme flew: ground size of a pixel.
_NAIP_METRES = 0.6


def cat() -> list[LayerData]:
    """Chelsea the cat, a photograph: ``(300, 451, 3)`` uint8. CC0, Stéfan van der Walt."""
    return [_photo("chelsea.png", "Chelsea", "cat", "Stéfan van der Walt, CC0")]


def coffee() -> list[LayerData]:
    """A cup of coffee on a table, a photograph: ``(400, 600, 3)`` uint8. CC0, Rachel Michetti."""
    return [_photo("coffee.png", "coffee", "cup, spoon, table", "Rachel Michetti, CC0")]


def rocket() -> list[LayerData]:
    """A rocket at its launch, a photograph: ``(427, 640, 3)`` uint8. Public domain, SpaceX."""
    return [_photo("rocket.jpg", "rocket", "rocket, sky", "SpaceX, public domain")]


def nuclei_fluorescence() -> list[LayerData]:
    """Cell nuclei in fluorescence: ``(520, 696)`` uint8. CC0, Data Science Bowl 2018."""
    stored = read_image(resource("samples", "nuclei_fluorescence.png"))
    # the file has three equal channels
    grey = ImageStack.from_array(stored.region()[..., 0])
    return [_layer(grey, "nuclei", "cell nucleus", "Data Science Bowl 2018, CC0", contrast_limits=(0, 255))]


def nuclei_stained() -> list[LayerData]:
    """Cell nuclei in stained tissue: ``(256, 320, 3)`` uint8. CC0, Data Science Bowl 2018."""
    return [_photo("nuclei_stained.png", "stained nuclei", "cell nucleus", "Data Science Bowl 2018, CC0")]


def skin_lesion() -> list[LayerData]:
    """A pigmented skin lesion through a dermatoscope: ``(681, 1024, 3)`` uint8. CC0, ISIC 2017."""
    return [_photo("skin_lesion.jpg", "skin lesion", "skin lesion", "ISIC archive, CC0")]


def farmland() -> list[LayerData]:
    """Farmland from the air as two layers, RGB ``(256, 256, 3)`` and near infrared ``(256, 256)``, 0.6 m per pixel.

    Public domain, USDA National Agriculture Imagery Program.
    """
    credit = "USDA NAIP, public domain"
    colour, near_infrared = (
        replace(read_image(resource("samples", file)), spacing=(_NAIP_METRES, _NAIP_METRES), units="meter")
        for file in ("farmland_rgb.png", "farmland_nir.png")
    )
    return [  # colour first: the first image that comes is the one in hand
        _layer(colour, "farmland", "forest, grass, water | pond, road", credit),
        _layer(near_infrared, "farmland near infrared", "", credit, contrast_limits=(0, 255), visible=False),
    ]


def abdomen_ct() -> list[LayerData]:
    """CT of an abdomen: ``(56, 101, 122)`` int16 in Hounsfield units, 3 mm. Apache-2.0, TotalSegmentator."""
    return [_volume("abdomen_ct.nii.gz", "abdomen CT", "liver, kidney, vertebra", (-160, 240))]


def abdomen_mr() -> list[LayerData]:
    """MR of an abdomen: ``(20, 91, 117)`` int16, 3 mm. Apache-2.0, TotalSegmentator."""
    return [_volume("abdomen_mr.nii.gz", "abdomen MR", "liver, kidney", (0, 600))]


def _photo(file: str, name: str, names_to_try: str, credit: str) -> LayerData:
    return _layer(read_image(resource("samples", file)), name, names_to_try, credit)


def _volume(file: str, name: str, names_to_try: str, contrast_limits: tuple[float, float]) -> LayerData:
    stack = read_image(resource("samples", file))
    return _layer(stack, name, names_to_try, "TotalSegmentator, Apache-2.0", contrast_limits=contrast_limits)


def _layer(stack: ImageStack, name: str, names_to_try: str, credit: str, **keywords: Any) -> LayerData:
    """A layer as opened files give it, with the credit kept with it."""
    about = {"credit": credit, "names_to_try": names_to_try}
    return layers_of(stack, name=name, metadata=about, **keywords)[0]
