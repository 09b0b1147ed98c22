"""Find a benchmark by name, run it, print what it measured and write it as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).resolve().parent


def names() -> list[str]:
    """Benchmarks there are: modules of this folder whose name does not begin with an underscore."""
    return sorted(p.stem for p in _FOLDER.glob("*.py") if not p.stem.startswith("_"))


def spelled(name: str) -> str:
    """The module's name of a benchmark, which may be written with a hyphen as options are."""
    return name.replace("-", "_")


def parser(name: str) -> argparse.ArgumentParser:
    """Arguments of one benchmark, with those that all share."""
    module = import_module(f"benchmarks.{name}")
    made = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=module.__doc__)
    made.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")
    made.add_argument("--threads", type=int, default=2, help="threads of the arithmetic library (default: 2)")
    module.add_arguments(made)
    return made


def environment(threads: int) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": load,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark; 0 on success, 2 for a name that is none."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and not given[0].startswith("-"):
        given[0] = spelled(given[0])
    if not given or given[0] not in names():
        wanted = f"There is no benchmark {given[0]!r}. " if given and given[0] not in ("-h", "--help") else ""
        print(f"{wanted}Usage: python -m benchmarks NAME [--json OUT] ...; NAME is one of: {', '.join(names())}.")
        return 0 if given and not wanted else 2
    args = parser(given[0]).parse_args(given[1:])
    import torch

    torch.set_num_threads(args.threads)
    described = environment(args.threads)
    result = {"benchmark": given[0], "environment": described, **import_module(f"benchmarks.{given[0]}").run(args)}
    text = json.dumps(result, indent=2)
    print(text)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
