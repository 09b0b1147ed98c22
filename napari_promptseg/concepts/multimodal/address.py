"""The address of an endpoint: which host it is, and how far away that is."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from napari_promptseg.errors import InputError

#: How far a crop travels, nearest first: it stays on this machine, in a private network, or goes anywhere else.
Reach = Literal["machine", "network", "internet"]
REACHES: tuple[Reach, ...] = ("machine", "network", "internet")

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


def reach_of(ips: tuple[str, ...]) -> Reach:
    """How far the farthest of some IP addresses is."""
    return max((_reach(ip) for ip in ips), key=REACHES.index, default="internet")


def _reach(text: str) -> Reach:
    ip = ipaddress.ip_address(text.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback:
        return "machine"
    return "network" if ip.is_private and not ip.is_unspecified else "internet"
