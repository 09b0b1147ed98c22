"""Start the demonstration on the screen there is, or on a virtual one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from display import has_display, virtual_screen

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run ``python -m napari_promptseg.gui.demo`` with a display; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    options = parser.parse_args()
    command = [sys.executable, "-m", "napari_promptseg.gui.demo"]
    if has_display():
        print("Opening napari; close its window to end the demonstration.", flush=True)
        return subprocess.run(command, check=False).returncode
    print("There is no display: running the demonstration on a virtual screen.", flush=True)
    with virtual_screen() as display:
        environment = {**os.environ, "DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
        return subprocess.run([*command, "--output", options.output], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
