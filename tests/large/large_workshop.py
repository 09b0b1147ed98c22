"""A small coloured picture, cut into many small blocks."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pixel_encoder import COLOURS, PixelEncoder

from napari_promptseg.label_jobs import Job, journal_path
from napari_promptseg.large.bench import Setup
from napari_promptseg.large.crew import Threads
from napari_promptseg.large.labelling import LargeResult, label_picture
from napari_promptseg.progress import silent
from napari_promptseg.prompts.prompt_set import PromptSet
from napari_promptseg.segmentation.segmenter import Segmenter
from napari_promptseg.segmentation.settings import SegmentationSettings

PROMPTS = PromptSet.from_text("red, green", background=("black",))
SETTINGS = SegmentationSettings(refinement="none", tile_size=64, tile_overlap=16, whole_up_to=64)


def squares(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``(30 rows, 30 columns, 3)`` squares of red, green and black, and their labels."""
    cells = np.random.default_rng(seed).integers(0, 3, (rows, columns))
    palette = np.array([COLOURS[c] for c in ("black", "red", "green")], np.uint8)
    labels = cells.repeat(30, 0).repeat(30, 1).astype(np.uint8)
    return palette[labels], labels


@dataclass
class Workshop:
    """One picture on the disk and everything that segments it."""

    image: Path
    labels: Path
    truth: np.ndarray | None = None
    encoder: Any = field(default_factory=PixelEncoder)
    prompts: PromptSet = PROMPTS
    settings: SegmentationSettings = SETTINGS

    def run(self, size: int = 1, side: int = 96, progress: Any = silent, **options: Any) -> LargeResult:
        """Segment it with some threads."""
        segmenter = Segmenter(self.encoder, settings=self.settings)
        setup = Setup.of(segmenter, self.prompts)
        crew = Threads(setup, self.encoder, size)
        try:
            job = Job(self.image, self.labels)
            return label_picture(job, segmenter, self.prompts, setup, crew, side=side, progress=progress, **options)
        finally:
            crew.close()

    def blocks(self) -> list[int]:
        """Numbers of the blocks in the journal, in order."""
        lines = [json.loads(line) for line in journal_path(self.labels).read_text().splitlines()]
        return [line["block"] for line in lines[1:]]

    def written(self) -> np.ndarray:
        """The labels on the disk."""
        import zarr

        return np.asarray(zarr.open_group(self.labels, mode="r")["0"])
