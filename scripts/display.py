"""Whether windows can be shown on this machine, and a virtual screen for where they cannot."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping

SCREEN = "1600x1000x24"
_SECONDS_TO_CONNECT = 2.0


def has_display(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a screen to open a window on; a stale ``DISPLAY`` does not count."""
    if not sys.platform.startswith("linux"):
        return True
    if environment.get("WAYLAND_DISPLAY"):
        return True
    return x_server_answers(environment.get("DISPLAY", ""))


def x_server_answers(display: str) -> bool:
    """Whether an X server listens at ``[host]:number[.screen]``."""
    host, colon, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not colon or not number.isdigit():
        return False
    local = host in ("", "unix")
    family = socket.AF_UNIX if local else socket.AF_INET
    addresses: list[str | tuple[str, int]] = [(host, 6000 + int(number))]
    if local:
        # some servers listen only in the abstract namespace, some containers share only the file
        addresses = [f"/tmp/.X11-unix/X{number}", f"\0/tmp/.X11-unix/X{number}"]
    for address in addresses:
        with socket.socket(family, socket.SOCK_STREAM) as connection, contextlib.suppress(OSError):
            connection.settimeout(_SECONDS_TO_CONNECT)
            connection.connect(address)
            return True
    return False


@contextlib.contextmanager
def virtual_screen() -> Iterator[str]:
    """Run Xvfb on the first free display number; gives its ``DISPLAY``, ends it on leaving."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", SCREEN, "+extension", "GLX", "-nolisten", "tcp"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()
        if not number:
            raise SystemExit("The virtual screen (Xvfb) did not start: run 'Xvfb :77' by hand to see its reason.")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()
