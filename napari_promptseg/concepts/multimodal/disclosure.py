"""What is sent and where it goes, to be shown before the first send; and what the user allowed in this session."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from napari_promptseg.concepts.multimodal.address import (
    PLACES,
    REACHES,
    Address,
    Reach,
    Resolve,
    look_up,
    reach_of,
    secrecy,
)
from napari_promptseg.concepts.multimodal.crop import SIDE, Crop
from napari_promptseg.errors import InputError


@dataclass(frozen=True)
class Disclosure:
    """What a person must know before anything is sent.

    Parameters
    ----------
    address : Address or None
        None for a model that runs in this program.
    reach : {"machine", "network", "internet"}
        From the IP addresses of the host at the time of asking, never from its name.
    ips : tuple of str
        Those addresses.
    proxied : bool
        Whether it goes through a proxy that the environment names.
    crop : tuple
        Width, height and bytes of the crop; zeros where there is none yet.
    hidden : bool
        Whether the crop is black around the region.
    """

    address: Address | None
    reach: Reach
    ips: tuple[str, ...] = ()
    proxied: bool = False
    crop: tuple[int, int, int] = (0, 0, 0)
    hidden: bool = False

    @property
    def leaves_machine(self) -> bool:
        """Whether the crop leaves this machine."""
        return self.reach != "machine"

    @property
    def encrypted(self) -> bool:
        """Whether it travels encrypted."""
        return self.address is not None and self.address.scheme == "https"

    @property
    def what(self) -> str:
        """What is sent, without a verb."""
        width, height, n_bytes = self.crop
        size = (
            f"{width} × {height} pixels, {n_bytes / 1000:.0f} kB PNG" if n_bytes else f"at most {SIDE} × {SIDE} pixels"
        )
        around = ", black around it" if self.hidden else ""
        return f"the crop around the region ({size}{around}; no file name, nothing else of the image)"

    @property
    def where(self) -> str:
        """Where it goes, as a clause."""
        if self.address is None:
            return "the model runs in this program: nothing leaves this machine"
        clause = f"{self.address.url} is {PLACES[self.reach]}"
        if self.leaves_machine:
            clause += f": it leaves this machine, {secrecy(self.encrypted)}"
        else:
            clause += ", which it leaves only if that server passes it on"
        return clause + (", through the proxy of your environment" if self.proxied else "")

    def sentence(self) -> str:
        """One sentence: what is sent, and where it goes."""
        if self.address is None:
            return f"The model sees {self.what}; {self.where}."
        return f"Sent is {self.what}; {self.where}."


def disclose(address: Address | None, crop: Crop | None = None, *, resolve: Resolve = look_up) -> Disclosure:
    """Find out where a crop would go.

    Parameters
    ----------
    address : Address or None
        None for a model that runs in this program.
    crop : Crop, optional
    resolve : callable
        Finds the IP addresses of a host.

    Raises
    ------
    InputError
        If the host is not found.
    """
    size = (*crop.size, len(crop.png())) if crop is not None else (0, 0, 0)
    hidden = crop is not None and crop.hidden
    if address is None:
        return Disclosure(None, "machine", crop=size, hidden=hidden)
    ips = resolve(address.host, address.port)
    reach = reach_of(ips)
    return Disclosure(address, reach, ips, reach == "internet" and _has_proxy(address), size, hidden)


def _has_proxy(address: Address) -> bool:
    proxies = urllib.request.getproxies()
    given = proxies.get(address.scheme) or proxies.get("all")
    return bool(given) and not urllib.request.proxy_bypass(address.host)


class Consents:
    """Addresses to which the user allowed sending, for as long as this object lives; never written anywhere."""

    def __init__(self) -> None:
        self._allowed: dict[str, Reach] = {}

    def allow(self, disclosure: Disclosure) -> None:
        """Allow an address, as far away as it is now."""
        if disclosure.address is not None:
            self._allowed[disclosure.address.origin] = disclosure.reach

    def withdraw(self, address: Address) -> None:
        """Allow it no more."""
        self._allowed.pop(address.origin, None)

    def allows(self, disclosure: Disclosure) -> bool:
        """Whether that address was allowed, and is no farther away than it was then."""
        if disclosure.address is None:
            return True
        allowed = self._allowed.get(disclosure.address.origin)
        return allowed is not None and REACHES.index(disclosure.reach) <= REACHES.index(allowed)


def check_consent(disclosure: Disclosure, consents: Consents, how: str) -> None:
    """Refuse to send off this machine what was not allowed.

    Parameters
    ----------
    disclosure : Disclosure
    consents : Consents
    how : str
        What the user can do to allow it, for example ``"add --send-to-remote"``.

    Raises
    ------
    InputError
        Saying what would be sent where.
    """
    if disclosure.leaves_machine and not consents.allows(disclosure):
        raise InputError(f"Nothing was sent: it would be {disclosure.what}, and {disclosure.where}; {how} to allow it.")
