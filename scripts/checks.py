"""Run every check of the project, go on after a failure, and end with pytest's own closing line."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

#: Test processes, one per core; each takes about 2 GB with its window and its model.
WORKERS = min(4, os.cpu_count() or 1)

LINT: tuple[tuple[str, list[str]], ...] = (
    ("style", [sys.executable, "-m", "ruff", "check", "."]),
    ("format", [sys.executable, "-m", "ruff", "format", "--check", "."]),
    ("import contracts", [str(BIN / "lint-imports"), "--no-cache"]),
    ("types", [sys.executable, "-m", "mypy"]),
)


def run(command: list[str]) -> tuple[int, str]:
    """Run a command, show what it prints as it comes, and give its exit code and last line."""
    tail = b""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 8192):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            tail = (tail + chunk)[-8192:]
    lines = [line for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    return process.returncode, re.sub(r"\x1b\[[0-9;]*m", "", lines[-1]) if lines else ""


def main() -> int:
    """Run the checks; 0 only if every one passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lint-only", action="store_true", help="leave the test suite out")
    parser.add_argument("pytest_arguments", nargs="*", help="passed on to pytest")
    options = parser.parse_args()
    checks = list(LINT)
    if not options.lint_only:
        # CI reads the log of a run that may be cut off, so that slow tests are named too
        # files in the order of their names: those with few but slow tests come first, and no process waits for them
        share = ["-n", str(WORKERS), "--dist", "loadfile", "--no-loadscope-reorder"] if WORKERS > 1 else []
        pytest = [sys.executable, "-m", "pytest", "--durations=10", *share, *options.pytest_arguments]
        checks.append(("tests", pytest))
    failed: list[str] = []
    closing = ""
    for number, (name, command) in enumerate(checks, start=1):
        print(f"== [{number}/{len(checks)}] {name}", flush=True)
        start = time.monotonic()
        code, closing = run(command)
        print(
            f"   {name}: {'passed' if code == 0 else f'FAILED, exit code {code}'} in {time.monotonic() - start:.0f} s"
        )
        if code:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}.")
    if not options.lint_only:
        print(closing, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
