"""How a run over many files is carried out: where, in which blocks, and what an earlier run leaves to do."""

from __future__ import annotations

from dataclasses import dataclass

from napari_promptseg.large.cluster_address import ClusterAddress
from napari_promptseg.large.labelling import BLOCK_SIDE

#: A picture with a longer side is cut into blocks, in pixels: beyond this a plane's maps no longer fit a small machine.
BLOCKS_ABOVE = 16384


@dataclass(frozen=True)
class RunPlan:
    """What the command line's options for long runs ask for.

    Parameters
    ----------
    workers : int, optional
        Processes to start on this machine; none where not given: this process does the work.
    cluster : ClusterAddress, optional
        A Dask scheduler that runs already, instead.
    allowed : bool
        It may be off this machine.
    resume : bool
        Files that an earlier run of the same job finished count as done.
    blocks_above : int
        Longest side that is still segmented in one piece, in pixels.
    block_side : int
        Of a block, in pixels.
    """

    workers: int | None = None
    cluster: ClusterAddress | None = None
    allowed: bool = False
    resume: bool = False
    blocks_above: int = BLOCKS_ABOVE
    block_side: int = BLOCK_SIDE
