"""Large planes: refined and decided window by window, so that their maps never stand at full resolution."""

from __future__ import annotations

import torch

from napari_promptseg.progress import Progress
from napari_promptseg.segmentation.canvas import Canvas
from napari_promptseg.segmentation.decision import Rule, decide
from napari_promptseg.segmentation.refinement import make_refiner
from napari_promptseg.segmentation.sampling import bilinear_matrix, centres, resample
from napari_promptseg.segmentation.scene import Scene
from napari_promptseg.segmentation.settings import SegmentationSettings
from napari_promptseg.segmentation.tiling import windows


def decide_windows(
    scene: Scene,
    maps: torch.Tensor,
    rule: Rule,
    settings: SegmentationSettings,
    canvas: Canvas,
    progress: Progress,
) -> None:
    """Refine and decide a large plane window by window; each is read with a margin, so that no seam shows."""
    shape = scene.view.shape
    parts = list(windows(shape, settings.tile_size, settings.tile_overlap))
    for i, (inner, outer) in enumerate(parts):
        progress(i, len(parts), f"segmenting part {i + 1} of {len(parts)}")
        matrices = []
        for start, length, whole, cells in (
            (outer.top, outer.height, shape[0], maps.shape[-2]),
            (outer.left, outer.width, shape[1], maps.shape[-1]),
        ):
            # twice as fine as the map, since the window's cells do not line up with it
            n = max(1, min(length, round(2 * length * cells / whole)))
            matrices.append(bilinear_matrix(centres(n, start / whole, (start + length) / whole), cells))
        refiner = make_refiner(scene.view.picture(outer.rows, outer.columns), settings, maps.device)
        refined = refiner(resample(maps, *matrices))
        top, left = inner.top - outer.top, inner.left - outer.left
        inside = (slice(top, top + inner.height), slice(left, left + inner.width))
        canvas.put(inner.rows, inner.columns, refined, decide(refined, rule), inside)
    progress(len(parts), len(parts), "segmented")
