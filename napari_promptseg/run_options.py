"""Options of runs that take long: worker processes, a Dask cluster, blocks of large pictures, going on after a kill.

Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_promptseg.command_options import count
from napari_promptseg.errors import InputError

if TYPE_CHECKING:
    from napari_promptseg.large.run_plan import RunPlan
    from napari_promptseg.segmentation.segmenter import Segmenter

# Written out because the modules that define them import more than --help needs; a test compares them.
BLOCKS_ABOVE = 16384
BLOCK_SIDE = 3584


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Options for many files, large pictures and clusters."""
    group = parser.add_argument_group("long runs and large pictures")
    where = group.add_mutually_exclusive_group()
    where.add_argument("--workers", type=count, metavar="N", help="work with N processes on this machine (Dask)")
    where.add_argument("--cluster", metavar="URL", help="work on a running Dask cluster, such as tcp://localhost:8786")
    group.add_argument(
        "--send-to-remote", action="store_true", help="allow a cluster that is not on this machine to get the job"
    )
    group.add_argument(
        "--resume", action="store_true", help="count files that an earlier run of the same job finished as done"
    )
    group.add_argument(
        "--blocks-above",
        type=count,
        default=BLOCKS_ABOVE,
        metavar="SIDE",
        help="pictures with a longer side, in pixels, are read and written block by block, as OME-Zarr; after a kill "
        "the same command goes on where it was (default: %(default)s)",
    )
    group.add_argument(
        "--block-side",
        type=count,
        default=BLOCK_SIDE,
        metavar="SIDE",
        help="of a block, in pixels; smaller ones take less memory (default: %(default)s)",
    )
    group.add_argument(
        "--tile",
        type=count,
        metavar="SIDE",
        help="pixels of large pictures that the model sees at a time; twice as many are four times as fast and find "
        "things twice as large (default: 1024)",
    )


def run_plan_of(options: argparse.Namespace) -> RunPlan:
    """What the options ask for, checked before a model is loaded.

    Raises
    ------
    InputError
        If Dask is missing, or the cluster's address is none or not on this machine without leave.
    """
    from napari_promptseg.large.cluster_address import ClusterAddress, check_allowed
    from napari_promptseg.large.run_plan import RunPlan

    address = None
    if options.cluster is not None:
        address = ClusterAddress.parse(options.cluster)
    elif options.send_to_remote:
        raise InputError("--send-to-remote belongs to --cluster URL: add that or leave --send-to-remote out.")
    if options.workers is not None or address is not None:
        from napari_promptseg.large.cluster import check_installed

        check_installed()
    if address is not None:
        check_allowed(address.url, address.reach(), options.send_to_remote)
    return RunPlan(
        workers=options.workers,
        cluster=address,
        allowed=options.send_to_remote,
        resume=options.resume,
        blocks_above=options.blocks_above,
        block_side=options.block_side,
    )


def with_tiles(segmenter: Segmenter, side: int | None) -> None:
    """Give a segmenter tiles of another size; an eighth of a tile is shared with its neighbours.

    Raises
    ------
    InputError
        If the side is too small.
    """
    from dataclasses import replace

    if side is None:
        return
    tiles: dict[str, Any] = {"tile_size": side, "tile_overlap": side // 8}
    whole = max(side, segmenter.settings.whole_up_to)
    segmenter.settings = replace(segmenter.settings, whole_up_to=whole, **tiles)
