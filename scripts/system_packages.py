"""Find the system libraries that a Qt window needs, and install the missing ones where that is ours to do.

As root on Debian or Ubuntu they are installed; elsewhere the one command that installs them is printed and the
exit code is 1. Libraries are looked for by the name the loader uses, since package names differ between releases.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from display import has_display

#: Shared library that Qt's X11 plugin or napari's canvas loads -> Debian package that brings it.
DEBIAN_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}
#: The same, roughly, for other families of Linux: (package manager, command).
OTHER_COMMANDS = (
    (
        "dnf",
        "dnf install xorg-x11-server-Xvfb mesa-libEGL mesa-libGL mesa-dri-drivers libxkbcommon-x11 xcb-util-cursor "
        "xcb-util-image xcb-util-keysyms xcb-util-renderutil xcb-util-wm dejavu-sans-fonts",
    ),
    (
        "pacman",
        "pacman -S xorg-server-xvfb mesa libxkbcommon-x11 xcb-util-cursor xcb-util-image xcb-util-keysyms "
        "xcb-util-renderutil xcb-util-wm ttf-dejavu",
    ),
)


def is_loadable(library: str) -> bool:
    """Whether the loader finds a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_fonts() -> bool:
    """Whether there is any font to write with; without one Qt draws no text at all."""
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path.home() / ".local/share/fonts"]
    return any(next(folder.rglob("*.[to]t[fc]"), None) is not None for folder in folders if folder.exists())


def missing_packages() -> list[str]:
    """Debian packages for what is missing; empty where everything is there."""
    missing = [package for library, package in DEBIAN_LIBRARIES.items() if not is_loadable(library)]
    if "libgl1" in missing:
        missing.append("libgl1-mesa-dri")
    if not has_fonts():
        missing.append("fonts-dejavu-core")
    if importlib.util.find_spec("ensurepip") is None:
        # Debian parts its own Python from what makes virtual environments
        missing.append(f"python3.{sys.version_info.minor}-venv")
    if not has_display() and shutil.which("Xvfb") is None:
        missing.append("xvfb")
    return missing


def install_on_debian(packages: list[str]) -> bool:
    """Install packages with apt-get; whether that went well."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages],
    ):
        print(f"      {' '.join(command)}", flush=True)
        # a list that cannot be refreshed is no reason to stop: the old one may do
        if subprocess.run(command, env=environment, check=False).returncode and command[1] == "install":
            return False
    return True


def main() -> int:
    """Check, install or say how; 0 where a window can be opened afterwards."""
    if not sys.platform.startswith("linux"):
        return 0
    missing = missing_packages()
    if not missing:
        return 0
    print(f"[0/2] System libraries that napari's window needs are missing: {', '.join(missing)}", flush=True)
    if shutil.which("apt-get"):
        if os.geteuid() == 0:
            if install_on_debian(missing) and not missing_packages():
                return 0
            print("They could not all be installed (see above).")
        command = f"apt-get update && apt-get install -y {' '.join(missing)}"
        command = command if os.geteuid() == 0 else "sudo sh -c '" + command + "'"
    else:
        command = next((c for manager, c in OTHER_COMMANDS if shutil.which(manager)), "")
        command = f"sudo {command}" if command else ""
    if command:
        print(f"Install them with this command, then run the same make command again:\n\n    {command}\n", flush=True)
    else:
        print("Install them with this system's package manager, then run the same make command again.", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
