"""The option for the format of labels, and the one file that labels of many pictures can share.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from napari_promptseg.errors import OutputError

# Written out because the module that defines them imports more than --help needs; a test compares them.
FORMATS = (
    "tiff",
    "png",
    "nifti",
    "nrrd",
    "mha",
    "dicom-seg",
    "ome-zarr",
    "coco",
    "coco-polygons",
    "class-png",
)

#: Formats of which one file can hold many pictures, and what it is called.
_SHARED = {"coco": "all_labels.coco.json", "coco-polygons": "all_labels.polygons.json"}


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """``--format``."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"of the labels: {', '.join(FORMATS)} (default: nifti for medical volumes, else tiff)",
    )


def shared_file(options: argparse.Namespace, folder: Path) -> Path | None:
    """Where the labels of all pictures go together; None where the format keeps each by itself.

    Raises
    ------
    OutputError
        If it exists and may not be replaced.
    """
    if options.format not in _SHARED:
        return None
    path = folder / _SHARED[options.format]
    if path.exists() and not options.overwrite and not options.resume:
        raise OutputError(f"{str(path)!r} exists already: pass --overwrite or choose another folder.")
    return path


def write_shared(path: Path | None, labels: Sequence[Path]) -> bool:
    """Put the files of single pictures together, where there are several; gives whether it was done."""
    if path is None or len(labels) < 2:
        return False
    from napari_promptseg.images.coco import join_files

    join_files(sorted(labels), path)
    return True
