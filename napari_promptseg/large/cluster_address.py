"""The address of a Dask scheduler, how far away it is, and whether the user allowed to send there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from napari_promptseg.concepts.multimodal.address import REACHES, Reach, Resolve, look_up, reach_of
from napari_promptseg.errors import InputError

#: What the command line says to allow it.
ALLOW = "--send-to-remote"

_WANTED = "The address of the cluster must look like tcp://localhost:8786"
_WHERE: dict[Reach, str] = {
    "machine": "is on this machine",
    "network": "is in a private network",
    "internet": "is not in your network",
}


@dataclass(frozen=True)
class ClusterAddress:
    """Where a Dask scheduler listens.

    Parameters
    ----------
    scheme : {"tcp", "tls"}
    host : str
    port : int
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ClusterAddress:
        """Read an address.

        Raises
        ------
        InputError
            If it is none.
        """
        try:
            parts = urlsplit(text.strip())
            host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
        except ValueError as error:  # UnicodeError is one
            raise InputError(f"{_WANTED}; its host or port cannot be read.") from error
        if parts.scheme not in ("tcp", "tls"):
            raise InputError(f"{_WANTED}: it must begin with tcp:// or tls://.")
        if not host or port is None or parts.path.strip("/") or parts.query or parts.username is not None:
            raise InputError(f"{_WANTED}: a host, a colon and a port.")
        return cls(parts.scheme, host, port)

    @property
    def url(self) -> str:
        """The whole address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def reach(self, resolve: Resolve = look_up) -> Reach:
        """How far away it is, by the rule for larger models; this machine's own addresses are this machine.

        Raises
        ------
        InputError
            If the host is not found.
        """
        return reach_of_hosts(resolve(self.host, self.port))


def reach_of_hosts(ips: Iterable[str]) -> Reach:
    """How far the farthest of some IP addresses is from this machine."""
    return max(("machine" if is_own(ip) else reach_of((ip,)) for ip in ips), key=REACHES.index, default="internet")


def farthest(*reaches: Reach) -> Reach:
    """The farthest of some."""
    return max(reaches, key=REACHES.index)


def is_own(ip: str) -> bool:
    """Whether an IP address is one of this machine's: only those can be listened at."""
    address = ipaddress.ip_address(ip.split("%")[0])
    if address.is_loopback:
        return True
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return not address.is_unspecified


def disclosure(url: str, reach: Reach) -> str:
    """One sentence: what goes where.

    Parameters
    ----------
    url : str
        Of the scheduler.
    reach : {"machine", "network", "internet"}
        Of the scheduler and its workers, whichever is farthest.
    """
    if reach == "machine":
        return f"The cluster {url} is on this machine: nothing leaves it."
    hidden = "encrypted" if url.startswith("tls://") else "not encrypted"
    return (
        f"The cluster {url}, or a worker of it, {_WHERE[reach]}: its workers read the pictures themselves, and class "
        f"names, what was learned, file names and labels leave this machine, {hidden}."
    )


def check_allowed(url: str, reach: Reach, allowed: bool) -> None:
    """Refuse a cluster off this machine that was not allowed.

    Raises
    ------
    InputError
        Saying what would be sent where.
    """
    if reach != "machine" and not allowed:
        raise InputError(f"Nothing was sent: {disclosure(url, reach)[:-1]}; add {ALLOW} to allow it.")
