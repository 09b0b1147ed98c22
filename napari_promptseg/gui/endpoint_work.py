"""What the panel of the larger model does in the worker, and what it needs from whoever shows it. No widget in here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from napari_promptseg.concepts.concept import Concept
from napari_promptseg.errors import InputError
from napari_promptseg.progress import Progress

if TYPE_CHECKING:
    from napari_promptseg.concepts.multimodal.disclosure import Consents, Disclosure
    from napari_promptseg.concepts.multimodal.filling import Asked
    from napari_promptseg.concepts.multimodal.teller import Teller
    from napari_promptseg.images.stack import ImageStack


@dataclass(frozen=True, eq=False)
class AskedRegion:
    """The region that would be asked about.

    Parameters
    ----------
    key : str
        By which its owner finds it again when the answer comes.
    concept : Concept
    mask : numpy.ndarray
        ``(Y, X)``.
    stack : callable
        Gives the image, of one plane; called in the worker.
    """

    key: str
    concept: Concept
    mask: npt.NDArray[np.bool_]
    stack: Callable[[], ImageStack]

    def is_same_place(self, other: AskedRegion) -> bool:
        """Whether it is the same region of the same image, whatever its words."""
        return self.key == other.key and self.mask is other.mask and self.stack == other.stack


class RegionOwner(Protocol):
    """Whoever shows the panel: has the regions, and takes what the model says."""

    def asked_region(self) -> AskedRegion | None:
        """The region in hand; None where there is none."""

    def take_answer(self, key: str, change: Callable[[Concept], Concept]) -> None:
        """Change the concept of that region, as it is by then; in the window's thread."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown before the first send.

    Parameters
    ----------
    disclosure : Disclosure
    key : str
        Where the key for this address was found; empty for none. Never the key.
    pixels : numpy.ndarray or None
        ``(y, x, 3)`` uint8, the crop that would be sent; None while there is no region.
    region : AskedRegion or None
        That the crop is of.
    hidden : bool
        Whether the crop is black around the region.
    """

    disclosure: Disclosure
    key: str
    pixels: npt.NDArray[np.uint8] | None
    region: AskedRegion | None
    hidden: bool


def make_teller(address: str, model: str, consents: Consents) -> Teller:
    """The model at an address, or in a folder where the text names one.

    Raises
    ------
    InputError, ModelError
        If it is neither, or something is missing.
    """
    typed = address.strip()
    if not typed:
        raise InputError("Type the address of a server, for example http://localhost:11434, or a folder with a model.")
    if "://" not in typed and (Path(typed).expanduser().is_dir() or typed.startswith(("/", "~", "."))):
        from napari_promptseg.concepts.multimodal.local_model import LocalModel

        return LocalModel(typed)
    from napari_promptseg.concepts.multimodal.address import Address
    from napari_promptseg.concepts.multimodal.endpoint import Endpoint
    from napari_promptseg.concepts.multimodal.exchange import check_client

    check_client()
    where = Address.parse(typed)
    if not model.strip():
        raise InputError("Type the model's name on that server, for example qwen2.5vl:7b.")
    return Endpoint(where, model, consents, how_to_allow="tick “Allow for this session”")


def look(teller: Teller, region: AskedRegion | None, hidden: bool) -> Shown:
    """What would be sent where; looks the host up.

    Raises
    ------
    InputError
        If the host is not found, the key cannot be used, or the mask is no region.
    """
    from napari_promptseg.concepts.multimodal.crop import crop_region
    from napari_promptseg.concepts.multimodal.keys import find_key

    crop = None if region is None else crop_region(region.stack(), region.mask, hidden=hidden)
    shown = teller.disclosure(crop)
    key = None if shown.address is None else find_key(shown.address)
    return Shown(shown, "" if key is None else key.source, None if crop is None else crop.pixels, region, hidden)


def ask(teller: Teller, region: AskedRegion, hidden: bool, progress: Progress) -> Asked:
    """What the model says about a region; see `ask_about`."""
    from napari_promptseg.concepts.multimodal.filling import ask_about, is_grey_concept

    grey = is_grey_concept(region.concept)
    return ask_about(teller, region.stack(), region.mask, grey=grey, hidden=hidden, progress=progress)
