"""Options for volumes: axes, planes, windows, clean-up and a table of sizes.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_promptseg.errors import OutputError

if TYPE_CHECKING:
    from napari_promptseg.label_jobs import Job
    from napari_promptseg.prompts.prompt_file import SavedPrompts
    from napari_promptseg.segmentation.volumes.plan import VolumePlan

# Written out because the module that defines them imports torch; a test compares them.
AXES = ("axial", "coronal", "sagittal")
LETTERS = ("z", "y", "x")


def add_volume_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``segment`` for volumes and stacks of planes."""
    group = parser.add_argument_group("volumes")
    group.add_argument(
        "--axis",
        choices=(*AXES, *LETTERS),
        default=AXES[0],
        metavar="AXIS",
        help="cut axial (z), coronal (y) or sagittal (x) planes (default: axial)",
    )
    group.add_argument(
        "--axes",
        choices=("one", "three"),
        default="one",
        help="three: the mean of what the planes of all three axes show, about three times as slow (default: one)",
    )
    group.add_argument(
        "--planes",
        type=_range,
        metavar="FIRST-LAST",
        help="only these planes, counted from 0 as in the viewer: 10-40, or one number",
    )
    group.add_argument(
        "--window",
        metavar="NAME|LOW,HIGH",
        help="what of CT is seen: soft tissue, lung, bone, brain, liver, or values that become black and white "
        "(default: soft tissue, or what the prompt file says); write --window=-160,240 where the first is negative",
    )
    group.add_argument(
        "--smooth",
        type=_size,
        default=0.0,
        metavar="MM",
        help="smooth labels from plane to plane: standard deviation in mm, or the stack's unit",
    )
    group.add_argument("--keep-largest", action="store_true", help="of every class keep its largest connected part")
    group.add_argument("--fill-holes", action="store_true", help="give background that a class encloses to it")
    group.add_argument(
        "--min-size",
        type=_size,
        default=0.0,
        metavar="MM3",
        help="remove connected parts that are smaller, in mm³, or the stack's unit cubed",
    )
    group.add_argument("--table", metavar="FILE", help="also write sizes, sections and intensities as CSV")


def volume_plan_of(options: argparse.Namespace, saved: SavedPrompts | None = None) -> VolumePlan:
    """What the options ask for, checked before a model is loaded; the window of a prompt file where none is given.

    Raises
    ------
    InputError
        For a window that is none.
    OutputError
        If the table exists and may not be replaced, or cannot be written.
    """
    from napari_promptseg.images.windows import parse_window
    from napari_promptseg.images.writers import check_writable
    from napari_promptseg.segmentation.volumes.cleanup import Cleanup
    from napari_promptseg.segmentation.volumes.plan import VolumePlan
    from napari_promptseg.segmentation.volumes.planes import PLANE_AXES, axis_of

    first = axis_of(options.axis)
    axes = (first, *(a for a in PLANE_AXES if a != first)) if options.axes == "three" else (first,)
    window = None
    if options.window is not None:
        window = parse_window(options.window)
    elif saved is not None and saved.normalisation.get("window"):
        low, high = saved.normalisation["window"]
        window = (float(low), float(high))
    if options.table is not None:
        if Path(options.table).exists() and not (options.overwrite or options.resume):
            raise OutputError(f"{options.table!r} exists already: pass --overwrite or choose another name.")
        check_writable(Path(options.table).parent)
    cleanup = Cleanup(options.smooth, options.keep_largest, options.fill_holes, options.min_size)
    return VolumePlan(axes, options.planes, cleanup, window, options.table is not None, options.window is not None)


def merge_tables(table: str | None, jobs: Sequence[Job], *, resumed: bool = False) -> bool:
    """Join the tables that were written beside the labels of some jobs to one, and take them away.

    Parameters
    ----------
    table : str, optional
    jobs : sequence of Job
    resumed : bool
        What the table says of other images stays: an earlier run wrote it.

    Returns
    -------
    bool
        Whether there is a table now.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    from napari_promptseg.images.writers import write_files

    # workers finish in any order
    parts = sorted(job.table for job in jobs if job.table.is_file())
    if table is None or not parts:
        return False
    heads, rows = zip(*(_lines(part) for part in parts), strict=True)
    new = [row for part in rows for row in part]
    there, old = _lines(Path(table)) if resumed and Path(table).is_file() else (heads[0], [])
    if there != heads[0]:
        raise OutputError(f"{table!r} holds another table: choose another name.")
    names = {_first(row) for row in new}
    whole = "".join([heads[0], *(row for row in old if _first(row) not in names), *new])
    write_files({Path(table): whole.encode("utf-8-sig")})
    for part in parts:
        part.unlink(missing_ok=True)
    return True


def _lines(table: Path) -> tuple[str, list[str]]:
    """The head and the rows of a table, with their ends of line."""
    head, *rows = table.read_text(encoding="utf-8-sig").splitlines(keepends=True) or [""]
    return head, rows


def _first(row: str) -> str:
    """The image that a row speaks of."""
    return next(csv.reader([row]))[0]


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d+)\s*(?:[-:]\s*(\d+)\s*)?", text)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if first > last:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of planes: write the first and the last, 10-40")
    return first, last


def _size(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: a number from 0 on is needed")
    return value
