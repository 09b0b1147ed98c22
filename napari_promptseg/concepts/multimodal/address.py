"""The address of an endpoint: which host it is, and how far away that is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from napari_promptseg.errors import InputError

#: How far a crop travels, nearest first: it stays on this machine, in a private network, or goes anywhere else.
Reach = Literal["machine", "network", "internet"]
REACHES: tuple[Reach, ...] = ("machine", "network", "internet")

#: What a person reads after "is" of an address that far away.
PLACES: dict[Reach, str] = {
    "machine": "on this machine",
    "network": "in a private network",
    "internet": "outside your network",
}

#: From host and port to the IP addresses that it stands for.
Resolve = Callable[[str, int], tuple[str, ...]]


@dataclass(frozen=True)
class Address:
    """Where an OpenAI-compatible endpoint listens.

    Parameters
    ----------
    scheme : {"http", "https"}
    host : str
        As it is looked up: in ASCII, so that no letter passes for another.
    port : int
    path : str
        Under which ``/chat/completions`` is, such as ``"/v1"``.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address such as ``http://localhost:11434``; ``/v1`` is added where there is no path.

        Raises
        ------
        InputError
            If it is no http or https address, or holds a name, a key, a query or a fragment.
        """
        wanted = "The address of the endpoint must look like http://localhost:11434/v1"
        given = text.strip()
        if not given.isprintable() or " " in given or "\\" in given:
            raise InputError(f"{wanted}: it holds characters that no address has.")
        try:
            parts = urlsplit(given)
            port = parts.port
            host = (parts.hostname or "").encode("idna").decode("ascii")
        except ValueError as error:  # UnicodeError is one
            raise InputError(f"{wanted}; its host or port cannot be read.") from error
        if parts.scheme not in ("http", "https"):
            raise InputError(f"{wanted}: it must begin with http:// or https://.")
        if parts.username is not None or parts.password is not None:
            raise InputError(
                f"{wanted}, without a user or key in it: give a key in the environment variable PROMPTSEG_VLM_KEY."
            )
        if not host or parts.query or parts.fragment:
            raise InputError(f"{wanted}: " + ("leave out what stands after ? or #." if host else "it names no host."))
        return cls(
            parts.scheme,
            host,
            (443 if parts.scheme == "https" else 80) if port is None else port,
            parts.path.rstrip("/") or "/v1",
        )

    @property
    def origin(self) -> str:
        """Scheme, host and, unless it is the usual one, port: what consent and keys belong to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return f"{self.scheme}://{host}" + ("" if self.port == usual else f":{self.port}")

    @property
    def url(self) -> str:
        """The whole address."""
        return self.origin + self.path


def look_up(host: str, port: int) -> tuple[str, ...]:
    """IP addresses of a host, by the system's resolver; may take as long as the network does.

    Raises
    ------
    InputError
        If the host is not found.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise InputError(f"The host {host!r} is not found: check the address and the network.") from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def reach_of(ips: Iterable[str]) -> Reach:
    """How far the farthest of some IP addresses is; those of this machine's own network cards are this machine."""
    return farthest(*(_reach(ip) for ip in ips))


def farthest(*reaches: Reach) -> Reach:
    """The farthest of some; where there is none, nothing is known and it may be anywhere."""
    return max(reaches, key=REACHES.index, default="internet")


def secrecy(encrypted: bool) -> str:
    """What a person reads of how something travels."""
    return "encrypted" if encrypted else "not encrypted"


def _reach(text: str) -> Reach:
    ip = ipaddress.ip_address(text.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_unspecified or ip.is_multicast:
        return "internet"
    if ip.is_loopback or _is_own(ip):
        return "machine"
    return "network" if ip.is_private else "internet"


def _is_own(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an IP address is one of this machine's: only those can be listened at."""
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True
