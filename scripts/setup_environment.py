"""Make the virtual environment and install the project into it, once; the next run only looks.

Uses the standard library alone, because it runs before anything is installed:
``python scripts/setup_environment.py --venv .venv --extras all,testing``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints-cpu.txt"
STAMP = "promptseg-installed.json"
#: What the installed environment takes on disk without CUDA, with room for pip's own copies.
NEEDED_GB = 4.0
HEARTBEAT_SECONDS = 30.0


def say(text: str) -> None:
    """Print at once, also into a pipe or a log."""
    print(text, flush=True)


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is loaded, in which case the normal torch with CUDA is wanted."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def wants_cpu_torch() -> bool:
    """On Linux the normal torch brings gigabytes of CUDA, of no use without a GPU; elsewhere it does not."""
    return platform.system() == "Linux" and not has_nvidia_gpu()


def environment_python(venv: Path) -> Path:
    """The environment's interpreter, whether or not it is there yet."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def works(python: Path) -> bool:
    """Whether that interpreter starts and has pip; not so after its base Python was removed or a half-made venv."""
    if not python.exists():
        return False
    result = subprocess.run([python, "-c", "import pip"], capture_output=True, check=False)
    return result.returncode == 0


def fingerprint(cpu: bool) -> str:
    """Digest of all that decides what gets installed and where."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode(), sys.version.encode()]
    if cpu:
        parts.append(CONSTRAINTS.read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_installed(venv: Path, extras: set[str], wanted: str) -> bool:
    """Whether an earlier run finished with the same project file and at least these extras."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return stamp.get("fingerprint") == wanted and extras <= set(stamp.get("extras", ()))


def make_environment(venv: Path) -> None:
    """Create the virtual environment, replacing one that no longer works."""
    if works(environment_python(venv)):
        say(f"[1/2] Virtual environment: {venv} is there.")
        return
    if importlib.util.find_spec("ensurepip") is None:
        raise SystemExit(
            "This Python cannot make virtual environments: install its venv package (Debian and Ubuntu: "
            f"apt-get install python3.{sys.version_info.minor}-venv), then run the same command again."
        )
    say(f"[1/2] Virtual environment: making {venv} with Python {platform.python_version()}.")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=False)
    if result.returncode:
        raise SystemExit(f"The virtual environment {venv} could not be made (see above).")


def heartbeat(stop: threading.Event) -> None:
    """Say now and then that pip is still at work, where its own progress bar is not shown."""
    start = time.monotonic()
    while not stop.wait(HEARTBEAT_SECONDS):
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        say(f"      ... still installing after {minutes} min {seconds:02d} s")


def install(venv: Path, extras: set[str], cpu: bool) -> None:
    """Install the project, editable, with its dependencies; pip shows what it fetches."""
    free = shutil.disk_usage(venv).free / 1e9
    if free < NEEDED_GB:
        say(f"      Only {free:.1f} GB of disk are free beside {venv}; about {NEEDED_GB:.0f} GB are needed.")
    what = "about 0.6 GB to download" if cpu else "0.6 GB to download, several GB where torch comes with CUDA"
    say(f"[2/2] Installing napari-promptseg[{','.join(sorted(extras))}]: {what}; 3 to 15 minutes, the first time only.")
    command = [environment_python(venv), "-m", "pip", "install", "--disable-pip-version-check"]
    if cpu:
        say("      No NVIDIA GPU found: taking the torch named in constraints-cpu.txt.")
        command += ["-c", CONSTRAINTS]
    command += ["-e", f"{ROOT}[{','.join(sorted(extras))}]"]
    # pip gives up on a silent connection after 15 s, too soon for a slow network
    environment = {"PIP_DEFAULT_TIMEOUT": "60", **os.environ}
    stop = threading.Event()
    if not sys.stdout.isatty():
        threading.Thread(target=heartbeat, args=(stop,), daemon=True).start()
    start = time.monotonic()
    try:
        result = subprocess.run(command, env=environment, check=False)
    finally:
        stop.set()
    if result.returncode:
        raise SystemExit(
            "Installing failed (pip's reason is above). If the network broke off, run the same command again: "
            "what is downloaded already is kept."
        )
    say(f"      Installed in {time.monotonic() - start:.0f} s.")


def main() -> None:
    """Bring the environment up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--extras", default="all", help="comma-separated extras of pyproject.toml")
    options = parser.parse_args()
    venv: Path = options.venv.absolute()
    extras = {e.strip() for e in options.extras.split(",") if e.strip()}
    cpu = wants_cpu_torch()
    wanted = fingerprint(cpu)
    if works(environment_python(venv)) and is_installed(venv, extras, wanted):
        return
    make_environment(venv)
    (venv / STAMP).unlink(missing_ok=True)
    install(venv, extras, cpu)
    stamp = {"fingerprint": wanted, "extras": sorted(extras)}
    (venv / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
