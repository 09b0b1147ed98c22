"""The address of a Dask scheduler, how far away it is, and whether the user allowed to send there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from napari_promptseg.concepts.multimodal.address import PLACES, Reach, Resolve, look_up, reach_of, secrecy
from napari_promptseg.errors import InputError

#: What the command line says to allow it.
ALLOW = "--send-to-remote"

_WANTED = "The address of the cluster must look like tcp://localhost:8786"


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
        """How far away it is, by the rule for larger models.

        Raises
        ------
        InputError
            If the host is not found.
        """
        return reach_of(resolve(self.host, self.port))


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
    how = secrecy(url.startswith("tls://"))
    return (
        f"The cluster {url}, or a worker of it, is {PLACES[reach]}: its workers read the pictures themselves, and "
        f"class names, what was learned, file names and labels leave this machine, {how}."
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
